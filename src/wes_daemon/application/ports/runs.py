"""The runs themselves, as a WES service stores and reads them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.domain.runs import Attachment, Run, RunId, RunSummary, TaskLog
from wes_daemon.domain.states import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One recorded change of a run.

    Attributes:
        before, after: equal if the state did not change.
        by: the daemon session or the person that made the change.
        why: the reason, for a person.
        provider_status: the provider's own status, if it reported one.
    """

    at: datetime
    before: RunState | None
    after: RunState
    by: str
    why: str
    provider_status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUpdate:
    """Everything that one change of a run writes.

    Attributes:
        before, after: the run; equal if its row stays as it is.
        entry: for the timeline; None writes none.
        provider_status, provider_message: the provider's latest status and explanation; None if they did not change.
        details, tasks: as the provider reported them; None and empty if they were not read.
    """

    before: RunSummary
    after: RunSummary
    entry: TimelineEntry | None = None
    provider_status: str | None = None
    provider_message: str = ""
    details: RunDetails | None = None
    tasks: Sequence[TaskLog] = ()

    @property
    def changes_run(self) -> bool:
        """Whether the run's row is written."""
        return self.after != self.before


class RunRepository(Protocol):
    """The runs themselves, as a WES service reads them. Values longer than their column are truncated with a mark."""

    def add(self, run: Run, *, attachments: Sequence[Attachment], entry: TimelineEntry) -> None:
        """Store a new run, with everything that its request carries."""

    def get(self, run_id: RunId) -> Run:
        """Return the run with its request and lock its row until this unit of work ends.

        Raises:
            RunNotFound: there is none.
            RunLocked: another session keeps the row locked.
        """

    def get_summaries(self, run_ids: Collection[RunId]) -> Mapping[RunId, RunSummary]:
        """Return the runs that have a row, without their requests, and lock their rows.

        Runs whose row another transaction has locked are absent: this method waits for no lock.
        The provider and its id are as they were when the statement began. No other daemon writes these two while the
        caller has the run's claim or its lease for polling. A caller that has neither must not commit.
        """

    def read_summaries(self, run_ids: Collection[RunId]) -> Mapping[RunId, RunSummary]:
        """As `get_summaries`, as the rows were committed last, and without locking them: also those that are locked."""

    def write(self, updates: Collection[RunUpdate]) -> None:
        """Write all updates in few statements; task logs with known ids are updated in place.

        `before` of each is what `get` or `get_summaries` returned in this unit of work, so that its row is locked. For
        an update that does not change the row, `read_summaries` suffices.

        Raises:
            ConcurrentUpdate: a row is gone.
            StorageRefused: a value, a constraint or a trigger refuses one of the updates; nothing can be committed.
        """

    def note_deleted(self, reasons: Mapping[RunId, str], *, at: datetime, by: str) -> None:
        """Add one timeline entry for each of these runs, whose row was deleted.

        The state before and after is the last one in its timeline; `UNKNOWN` if there is none.
        """

    def is_empty(self) -> bool:
        """Whether there is not a single row of a run."""

    def attachments(self, run_id: RunId) -> Sequence[Attachment]:
        """Return the files of the request, in the order of their names; none if the run is unknown."""
