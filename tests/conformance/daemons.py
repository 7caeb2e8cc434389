"""A daemon with the local provider for the tests of the CWL standard."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SEARCH_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
"""Where tools find their programs: some tests need `python`, which not every machine has under that name."""

_PREFIXES = ("DAEMON_", "DATABASE_", "AWS_", "SEVENBRIDGES_")
_STOPPED_WITHIN = 60


@contextmanager
def running_daemon(directory: Path, *, at_once: int) -> Iterator[Mapping[str, str]]:
    """Run a daemon during the block; yield the variables that name its database, its provider and the programs.

    Args:
        directory: an empty one, for the database, the runs and the daemon's log.
        at_once: how many runs may be active at once.
    """
    settings = {
        "PATH": SEARCH_PATH,
        "DATABASE_URI": f"sqlite:///{directory / 'runs.db'}",
        "DAEMON_LOCAL_WORKDIR": str(directory / "runs"),
        "DAEMON_DEFAULT_PROVIDER": "local",
        "DAEMON_POLL_INTERVAL": "0.5",
        "DAEMON_STATUS_CHECK_INTERVAL": "0.5",
        "DAEMON_STATUS_CHECK_FLOOR": "0.5",
        "DAEMON_MAX_CONCURRENT_WORKFLOWS": str(at_once),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIXES)}
    environment = {**inherited, **settings}
    program = [sys.executable, "-m", "wes_daemon"]
    subprocess.run([*program, "db", "upgrade"], env=environment, cwd=directory, stdout=subprocess.DEVNULL, check=True)
    with (directory / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(
            program, env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield settings
        finally:
            daemon.terminate()
            daemon.wait(_STOPPED_WITHIN)
