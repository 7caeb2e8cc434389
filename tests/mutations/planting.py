"""Bugs planted one after the other, several at a time, each in a copy of its own."""

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter

from tests.mutations.mutant import Mutant, NoPlace
from tests.mutations.workspace import Outcome, Verdict, Workspace

_FOR_ONE = timedelta(minutes=3)
_FOR_ALL = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One bug, and what the tests have made of it."""

    mutant: Mutant
    outcome: Outcome
    took: timedelta

    @property
    def is_found(self) -> bool:
        """Whether a test has failed because of it."""
        hung = self.outcome.verdict is Verdict.HUNG and self.mutant.hangs_after is not None
        return hung or self.outcome.verdict is Verdict.FAILED


class Garden:
    """Copies of the package for so many bugs at once."""

    def __init__(self, workspaces: Sequence[Workspace]) -> None:
        self._workspaces = workspaces
        self._free: SimpleQueue[Workspace] = SimpleQueue()
        for workspace in workspaces:
            self._free.put(workspace)

    def without_bugs(self, mutants: Sequence[Mutant]) -> Outcome:
        """What the tests of all these say where none is planted: they have to pass."""
        tests = dict.fromkeys(test for mutant in mutants for test in mutant.tests)
        return self._workspaces[0].judged(list(tests), within=_FOR_ALL, jobs=len(self._workspaces))

    def trials(self, mutants: Sequence[Mutant]) -> Iterator[Trial]:
        """Plant each; tell of each when it is done."""
        with ThreadPoolExecutor(max_workers=len(self._workspaces)) as pool:
            under_way = [pool.submit(self._trial, mutant) for mutant in mutants]
            try:
                for done in as_completed(under_way):
                    yield done.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                for workspace in self._workspaces:
                    workspace.stop()

    def _trial(self, mutant: Mutant) -> Trial:
        workspace, begun = self._free.get(), perf_counter()
        try:
            with workspace.planted(mutant):
                outcome = workspace.judged(mutant.tests, within=mutant.hangs_after or _FOR_ONE)
        except NoPlace as error:
            outcome = Outcome(verdict=Verdict.BROKEN, words=str(error))
        finally:
            self._free.put(workspace)
        return Trial(mutant=mutant, outcome=outcome, took=timedelta(seconds=perf_counter() - begun))


@contextmanager
def garden(*, jobs: int) -> Iterator[Garden]:
    """A garden for so many bugs at once; nothing of it is left afterwards."""
    with ExitStack() as folders:
        made = [folders.enter_context(tempfile.TemporaryDirectory(prefix="wes-mutants-")) for _ in range(jobs)]
        # Where temporary folders are reached through a link, Python names modules by what the link leads to.
        yield Garden([Workspace(Path(folder).resolve()) for folder in made])
