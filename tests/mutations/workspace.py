"""A copy of package and tests into which bugs are planted; the working tree is never touched."""

import compileall
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from py_compile import PycInvalidationMode

from tests.mutations.mutant import PACKAGE, Mutant

_ROOT = Path(__file__).parents[2]
_FOLDERS = ("src", "tests")
_FIRST_FAILURE = re.compile(r"^(?:FAILED|ERROR) (?:[\w/]+/)?(.+?)(?: - .*)?$", re.MULTILINE)

# pytest's own words for how a session has ended.
_PASSED, _FAILED = 0, 1


class Verdict(StrEnum):
    """What tests have said of a copy."""

    PASSED = "passed"
    FAILED = "failed"
    HUNG = "hung"
    BROKEN = "broken"
    """pytest did not come as far as to run a test: the copy, or the choice of tests, is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one run of tests has ended.

    Attributes:
        words: the first test that failed; where none could be run, what pytest printed.
    """

    verdict: Verdict
    words: str = ""


class Workspace:
    """One copy; one bug at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._session: subprocess.Popen[str] | None = None
        for name in _FOLDERS:
            shutil.copytree(_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(_ROOT / "pyproject.toml", folder)
        # By content: within one second a bug may come and go without its file's time or length telling so.
        compileall.compile_dir(folder / "src", quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        self._require_own_package()

    @contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """Have the bug in the copy for a while."""
        file = self._folder / mutant.path
        text = file.read_text()
        file.write_text(mutant.planted_in(text))
        try:
            yield
        finally:
            file.write_text(text)

    def judged(self, tests: Sequence[str], *, within: timedelta, jobs: int = 1) -> Outcome:
        """Run tests on the copy as it is, up to the first that fails."""
        spread = ["-n", str(jobs)] if jobs > 1 else []
        options = ["-x", "-q", "-p", "no:cacheprovider", "--tb=no", "--show-capture=no", *spread]
        with subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as session:
            self._session = session
            try:
                printed, _ = session.communicate(timeout=within.total_seconds())
            except subprocess.TimeoutExpired:
                return Outcome(verdict=Verdict.HUNG)
            finally:
                self.stop()
        return _read(session.returncode, printed)

    def stop(self) -> None:
        """End the tests that are being run, if there are any."""
        if self._session is not None and self._session.poll() is None:
            os.killpg(self._session.pid, signal.SIGKILL)

    def _require_own_package(self) -> None:
        """An installed package that came first would be tested instead, and no bug ever found."""
        found = subprocess.run(
            [sys.executable, "-c", "import wes_daemon; print(wes_daemon.__file__)"],
            cwd=self._folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        if Path(found) != self._folder / PACKAGE / "__init__.py":
            raise RuntimeError(f"the tests would import {found} instead of the copy in {self._folder}")

    def _environment(self) -> Mapping[str, str]:
        path = os.pathsep.join([str(self._folder / "src"), str(self._folder)])
        # What pytest tells its children is not for a session of its own.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return {**kept, "PYTHONPATH": path}


def _read(returned: int, printed: str) -> Outcome:
    if returned == _PASSED:
        return Outcome(verdict=Verdict.PASSED)
    failure = _FIRST_FAILURE.search(printed)
    if returned == _FAILED and failure is not None:
        return Outcome(verdict=Verdict.FAILED, words=failure[1])
    return Outcome(verdict=Verdict.BROKEN, words=printed.strip())
