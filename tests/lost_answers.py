"""Units of work that are committed and do not say so."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from wes_daemon.application.ports.errors import StorageRefused, StorageUnavailable
from wes_daemon.application.ports.late_updates import LateUpdates
from wes_daemon.application.ports.leases import LeaseRepository
from wes_daemon.application.ports.polls import PollSchedule
from wes_daemon.application.ports.runs import RunRepository
from wes_daemon.application.ports.submissions import SubmissionQueue
from wes_daemon.application.ports.unit_of_work import UnitOfWork, UnitsOfWork
from wes_daemon.domain.runs import RunId


class LosingAnswers:
    """Gives units of work like others; of one commit the answer is lost after it was done."""

    def __init__(self, units: UnitsOfWork) -> None:
        self._units = units
        self._commits_until: int | None = None

    def lose(self, number: int) -> None:
        """Lose the answer to the commit of this number, counted from 1 and from now on."""
        self._commits_until = number

    @property
    def lost(self) -> bool:
        """Whether it has come to that."""
        return self._commits_until is None

    def __call__(self) -> UnitOfWork:
        """A new unit of work."""
        return _UnitOfWork(self._units(), self)

    def committed(self) -> None:
        """A commit is done.

        Raises:
            StorageUnavailable: nobody was told.
        """
        if self._commits_until is None:
            return
        self._commits_until -= 1
        if self._commits_until == 0:
            self._commits_until = None
            raise StorageUnavailable("the answer to the commit was lost")


class _UnitOfWork:
    def __init__(self, real: UnitOfWork, answers: LosingAnswers) -> None:
        self._real = real
        self._answers = answers

    @property
    def runs(self) -> RunRepository:
        return self._real.runs

    @property
    def submissions(self) -> SubmissionQueue:
        return self._real.submissions

    @property
    def polls(self) -> PollSchedule:
        return self._real.polls

    @property
    def leases(self) -> LeaseRepository:
        return self._real.leases

    @property
    def late_updates(self) -> LateUpdates:
        return self._real.late_updates

    def isolate_refusals(self) -> Mapping[RunId, StorageRefused]:
        return self._real.isolate_refusals()

    def __enter__(self) -> Self:
        self._real.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._real.__exit__(kind, error, trace)

    def commit(self) -> None:
        self._real.commit()
        self._answers.committed()
