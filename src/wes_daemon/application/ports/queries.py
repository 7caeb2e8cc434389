"""Reads for people and services, without locks and outside of any unit of work."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, Self

from wes_daemon.application.ports.leases import DaemonInfo
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderType, Run, RunId, TaskLog
from wes_daemon.domain.states import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to list. An empty collection permits all values.

    Attributes:
        provider: runs that this provider accepted or that are to be submitted to it.
        submissions: runs whose submission is in one of these states.
        limit: at most this many, newest first.
    """

    states: Collection[RunState] = ()
    provider: ProviderType | None = None
    submissions: Collection[SubmissionState] = ()
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run with everything that is recorded about it.

    Attributes:
        queued_at: when the run was enrolled; None before that.
        destination: the provider that it was or will be submitted to; None if it cannot be determined.
        provider_status, provider_message: the provider's latest status and explanation.
        submission: None before the run is enrolled.
        attempts: how many submissions of the run have failed.
        last_reason: the latest recorded reason, such as why a submission was deferred or closed.
        unserved: why no daemon serves the provider of a run that has not ended; None if one does.
        row_behind: why the run's row does not show its latest recorded change; None if it does.
    """

    run: Run
    queued_at: datetime | None = None
    destination: ProviderType | None = None
    provider_status: str | None = None
    provider_message: str = ""
    submission: SubmissionState | None = None
    attempts: int = 0
    last_reason: str | None = None
    unserved: str | None = None
    row_behind: str | None = None
    attachments: Sequence[str] = ()
    details: RunDetails = field(default_factory=RunDetails)
    tasks: Sequence[TaskLog] = ()
    timeline: Sequence[TimelineEntry] = ()

    def as_served(self, unserved: Mapping[ProviderType, str]) -> Self:
        """The record with the reason if its provider is one of those that no daemon serves."""
        reason = None if self.run.state.has_ended or self.destination is None else unserved.get(self.destination)
        return replace(self, unserved=reason) if reason else self


ROW_IS_LOCKED = "another session keeps the row locked"
"""Why a row is behind whose change was never refused."""


class RunQueries(Protocol):
    """Reads for people and services, without locks and outside of any unit of work."""

    def list(self, filter: RunFilter) -> Sequence[RunRecord]:
        """Return the runs, newest first, without details, tasks, attachments and timeline."""

    def get(self, run_id: RunId) -> RunRecord:
        """Return one run with everything.

        Raises:
            RunNotFound: there is none.
        """

    def timeline(self, run_id: RunId) -> Sequence[TimelineEntry]:
        """Return the timeline of a run, also of one whose row was deleted; empty if none was recorded."""

    def daemons(self) -> Sequence[DaemonInfo]:
        """Return the daemon sessions whose lease is valid, oldest first."""
