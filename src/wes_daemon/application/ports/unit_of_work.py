"""Units of work: one database transaction with the repositories that take part in it.

The daemon keeps submissions, claims and polls in narrow tables of its own. It writes the wide row of a run only when a
value has changed that readers of the row see.

The store counts all durations on its own clock, so that daemons whose clocks differ agree.
Every method may raise `StorageUnavailable`, and every method that writes `StorageRefused`.
"""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol, Self

from wes_daemon.application.ports.errors import StorageRefused
from wes_daemon.application.ports.late_updates import LateUpdates
from wes_daemon.application.ports.leases import LeaseRepository
from wes_daemon.application.ports.polls import PollSchedule
from wes_daemon.application.ports.runs import RunRepository
from wes_daemon.application.ports.submissions import SubmissionQueue
from wes_daemon.domain.runs import RunId


class UnitOfWork(Protocol):
    """One transaction. Leaving the block without `commit` rolls everything back.

    A unit of work belongs to one thread. Units of work must not be nested: the inner one might wait for the outer one.
    """

    @property
    def runs(self) -> RunRepository: ...
    @property
    def submissions(self) -> SubmissionQueue: ...
    @property
    def polls(self) -> PollSchedule: ...
    @property
    def leases(self) -> LeaseRepository: ...
    @property
    def late_updates(self) -> LateUpdates: ...

    def isolate_refusals(self) -> Mapping[RunId, StorageRefused]:
        """From now on, let enrolments and claims leave out runs that the store refuses, instead of failing.

        This needs more statements, so it is for the repetition of a unit of work that was refused.

        Returns:
            The runs that were left out, with the reasons. It grows with each statement.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def commit(self) -> None:
        """Commit and end this unit of work; it cannot be used afterwards."""


UnitsOfWork = Callable[[], UnitOfWork]
"""Returns a new unit of work that is not entered yet."""
