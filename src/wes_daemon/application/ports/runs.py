"""The runs themselves, as a WES service stores and reads them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.domain.runs import Attachment, Run, RunId, TaskLog
from wes_daemon.domain.states import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """What happened to a run, when, by whom and why.

    Attributes:
        before, after: equal where the state did not change.
        by: the daemon or the person that did it.
        provider_status: the provider's own word, where it had one.
    """

    at: datetime
    before: RunState | None
    after: RunState
    by: str
    why: str
    provider_status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUpdate:
    """What is to be written of one run.

    Attributes:
        before, after: equal where its row stays as it is.
        entry: for the timeline; None for none.
        provider_status, provider_message: the provider's own words; None and empty where they are known.
        details, tasks: once they were had.
    """

    before: Run
    after: Run
    entry: TimelineEntry | None = None
    provider_status: str | None = None
    provider_message: str = ""
    details: RunDetails | None = None
    tasks: Sequence[TaskLog] = ()


class RunRepository(Protocol):
    """The runs themselves, as a WES service reads them. Values longer than a column holds are cut with a mark."""

    def add(self, run: Run, *, attachments: Sequence[Attachment], entry: TimelineEntry) -> None:
        """Store a new run, with everything that its request carries."""

    def get(self, run_id: RunId) -> Run:
        """The run, kept from being changed by others until this unit of work ends.

        Raises:
            RunNotFound: there is none.
        """

    def get_many(self, run_ids: Collection[RunId]) -> Mapping[RunId, Run]:
        """As `get`, for all that have a row, but with `UNREAD` for their requests.

        Who holds a run is as it was when this was asked: nobody else writes that while the run's claim or its poll is
        the caller's, and where it is not, the unit of work must come to nothing.
        """

    def write(self, news: Collection[RunUpdate]) -> None:
        """Write all of it, in few statements; task logs with known ids are updated in place.

        `before` is what `get_many` gave in this unit of work, so that its row is there and nobody can change it.
        """

    def attachments(self, run_id: RunId) -> Sequence[Attachment]:
        """What came with the request, in the order of names; nothing where the run is unknown."""

    def save(self, before: Run, after: Run, entry: TimelineEntry) -> None:
        """Write what differs between the two and note `entry` in the timeline.

        Raises:
            ConcurrentUpdate: the stored state is no longer that of `before`.
            RunNotFound: the row is gone.
        """
