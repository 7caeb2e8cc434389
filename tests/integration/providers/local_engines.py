"""External engines for tests of the local provider."""

import sys
from datetime import timedelta
from pathlib import Path

from wes_daemon.adapters.providers.local.engines import ExternalEngine

FAKE = Path(__file__).with_name("fake_engine.py")
GRACE = timedelta(seconds=60)


def script(path: Path, content: str) -> Path:
    """Write a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)
    return path


def fake_engine(*options: str, grace: timedelta = GRACE) -> ExternalEngine:
    """The fake engine under a name that the daemon does not know."""
    return ExternalEngine(command=(sys.executable, str(FAKE), *options), grace=grace)


def fake_toil(
    folder: Path, *options: str, grace: timedelta = GRACE, cancel_jobs: tuple[str, ...] = ()
) -> ExternalEngine:
    """The fake engine under the name of Toil."""
    program = script(folder / "bin" / "toil-cwl-runner", f"#!{sys.executable}\n{FAKE.read_text()}")
    return ExternalEngine(command=(str(program), *options), grace=grace, cancel_jobs=cancel_jobs)
