"""Runs the tests of mutants, several mutants at a time, each planted in a copy of the repository."""

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter

from tests.mutations.mutant import Mutant
from tests.mutations.picks import NoPlace
from tests.mutations.workspace import Outcome, Verdict, Workspace

_TIMEOUT_OF_ONE = timedelta(minutes=3)
_TIMEOUT_OF_ALL = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One mutant and the outcome of its tests."""

    mutant: Mutant
    outcome: Outcome
    duration: timedelta

    @property
    def is_detected(self) -> bool:
        """Whether a test failed, or hung where the mutant says that it hangs."""
        hung = self.outcome.verdict is Verdict.HUNG and self.mutant.hangs_after is not None
        return hung or self.outcome.verdict is Verdict.FAILED


class MutantRunner:
    """Plants mutants in copies of the repository and runs their tests, one mutant per copy at a time."""

    def __init__(self, workspaces: Sequence[Workspace]) -> None:
        self._workspaces = workspaces
        self._free: SimpleQueue[Workspace] = SimpleQueue()
        for workspace in workspaces:
            self._free.put(workspace)

    def baseline(self, mutants: Sequence[Mutant]) -> Outcome:
        """Run the tests of all these mutants on an unchanged copy; they have to pass."""
        tests = dict.fromkeys(test for mutant in mutants for test in mutant.tests)
        return self._workspaces[0].run_tests(list(tests), timeout=_TIMEOUT_OF_ALL, jobs=len(self._workspaces))

    def trials(self, mutants: Sequence[Mutant]) -> Iterator[Trial]:
        """Plant each mutant and run its tests; yield each trial when it has ended."""
        with ThreadPoolExecutor(max_workers=len(self._workspaces)) as pool:
            futures = [pool.submit(self._trial, mutant) for mutant in mutants]
            try:
                for done in as_completed(futures):
                    yield done.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                for workspace in self._workspaces:
                    workspace.stop()

    def _trial(self, mutant: Mutant) -> Trial:
        workspace, started = self._free.get(), perf_counter()
        try:
            with workspace.planted(mutant):
                outcome = workspace.run_tests(mutant.tests, timeout=mutant.hangs_after or _TIMEOUT_OF_ONE)
        except NoPlace as error:
            outcome = Outcome(verdict=Verdict.BROKEN, detail=str(error))
        finally:
            self._free.put(workspace)
        return Trial(mutant=mutant, outcome=outcome, duration=timedelta(seconds=perf_counter() - started))


@contextmanager
def mutant_runner(*, jobs: int) -> Iterator[MutantRunner]:
    """Create a runner for this number of mutants at a time; its copies are deleted afterwards."""
    with ExitStack() as folders:
        created = [folders.enter_context(tempfile.TemporaryDirectory(prefix="wes-mutants-")) for _ in range(jobs)]
        # If temporary folders are reached through a link, Python names modules by the link's target.
        yield MutantRunner([Workspace(Path(folder).resolve()) for folder in created])
