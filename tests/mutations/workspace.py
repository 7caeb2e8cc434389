"""A copy of package and tests in which mutants are planted; the working tree is never changed."""

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
_FOLDERS = ("docs", "src", "tests")
_FIRST_FAILURE = re.compile(r"^(?:FAILED|ERROR) (?:[\w/]+/)?(.+?)(?: - .*)?$", re.MULTILINE)

# Exit codes of pytest.
_PASSED, _FAILED = 0, 1


class Verdict(StrEnum):
    """The result of a run of tests."""

    PASSED = "passed"
    FAILED = "failed"
    HUNG = "hung"
    BROKEN = "broken"
    """pytest could not run a test: the copy, or the selection of tests, is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one run of tests has ended.

    Attributes:
        detail: the first test that failed; the output of pytest if no test could be run.
    """

    verdict: Verdict
    detail: str = ""


class Workspace:
    """One copy, with at most one mutant at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._session: subprocess.Popen[str] | None = None
        for name in _FOLDERS:
            shutil.copytree(_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(_ROOT / "pyproject.toml", folder)
        # Bytecode is validated by content: a file may change twice within a second and keep its time and length.
        compileall.compile_dir(folder / "src", quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        self._require_own_package()

    @contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """Plant the mutant for the duration of the block."""
        file = self._folder / mutant.path
        text = file.read_text()
        file.write_text(mutant.planted_in(text))
        try:
            yield
        finally:
            file.write_text(text)

    def run_tests(self, tests: Sequence[str], *, timeout: timedelta, jobs: int = 1) -> Outcome:
        """Run tests on the copy, up to the first failure."""
        spread = ["-n", str(jobs)] if jobs > 1 else []
        # The empty `-m` overrides a default that leaves tests out.
        options = ["-x", "-q", "-m", "", "-p", "no:cacheprovider", "--tb=no", "--show-capture=no", *spread]
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
                output, _ = session.communicate(timeout=timeout.total_seconds())
            except subprocess.TimeoutExpired:
                return Outcome(verdict=Verdict.HUNG)
            finally:
                self.stop()
        return _outcome(session.returncode, output)

    def stop(self) -> None:
        """Kill the running tests, if there are any."""
        if self._session is not None and self._session.poll() is None:
            os.killpg(self._session.pid, signal.SIGKILL)

    def _require_own_package(self) -> None:
        """An installed package that takes precedence would be tested instead, and no mutant would be detected."""
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
        # The variables that pytest sets for its children would confuse a session of its own.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return {**kept, "PYTHONPATH": path}


def _outcome(exit_code: int, output: str) -> Outcome:
    if exit_code == _PASSED:
        return Outcome(verdict=Verdict.PASSED)
    failure = _FIRST_FAILURE.search(output)
    if exit_code == _FAILED and failure is not None:
        return Outcome(verdict=Verdict.FAILED, detail=failure[1])
    return Outcome(verdict=Verdict.BROKEN, detail=output.strip())
