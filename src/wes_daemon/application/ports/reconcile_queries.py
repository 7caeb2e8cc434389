"""The reads and the repairs of the database that reconciliation needs.

The reads take no locks. A result may be outdated a moment later, so each repair reads the database again.
Every method may raise `StorageUnavailable`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import Claim, SubmissionState
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId, RunSummary
from wes_daemon.domain.states import RunState

NOT_ACCEPTED = (
    SubmissionState.INHERITED,
    SubmissionState.READY,
    SubmissionState.INTENT,
    SubmissionState.PREPARED,
    SubmissionState.REVIEW,
)
"""States of a submission that has no recorded provider run and may still get one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """The database's record of one run.

    Attributes:
        state: None if the run's row was deleted.
        submission: None if the run is not enrolled.
        provider: the provider that the run was, or will be, submitted to.
        provider_run_id: None until a provider has accepted the run.
        prepared_id: the recorded draft.
        is_claimed: the run is claimed by a daemon whose lease is valid.
    """

    run_id: RunId
    state: RunState | None
    submission: SubmissionState | None = None
    provider: ProviderType | None = None
    provider_run_id: ProviderRunId | None = None
    prepared_id: ProviderRunId | None = None
    is_claimed: bool = False

    @property
    def awaits_acceptance(self) -> bool:
        """Whether the run has no recorded provider run and may still get one."""
        if self.state is None or self.provider_run_id is not None:
            return False
        if self.submission is SubmissionState.INHERITED and self.state.has_ended:
            return False
        return self.submission in NOT_ACCEPTED or (self.submission is None and self.state is RunState.QUEUED)

    def may_start(self, draft: ProviderRunId) -> bool:
        """Whether the draft may still be started: it is the recorded draft, or no draft is recorded."""
        return self.awaits_acceptance and self.prepared_id in (None, draft)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedRun:
    """A run that is active at its provider according to the database.

    Attributes:
        state: None if the run's row was deleted.
        known_state: the state that the provider reported last.
        cancel_was_sent: whether its provider was asked to cancel it.
    """

    run_id: RunId
    provider_run_id: ProviderRunId
    state: RunState | None
    known_state: RunState
    cancel_was_sent: bool = False

    @property
    def is_withdrawn(self) -> bool:
        """Whether its service has ended or deleted it."""
        return self.state is None or self.state.has_ended


@dataclass(frozen=True, slots=True, kw_only=True)
class UnexplainedRun:
    """A run that another daemon may have submitted, and for which no provider run is known.

    Attributes:
        is_inherited: its submission is `INHERITED`. Else it has no submission.
    """

    run: RunSummary
    is_inherited: bool


class ReconcileQueries(Protocol):
    """The reads that reconciliation needs."""

    def recorded_runs(self, run_ids: Collection[RunId]) -> Mapping[RunId, RecordedRun]:
        """Return the record of each run. Unknown runs are absent."""

    def run_ids_of(self, provider: ProviderType, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, RunId]:
        """Return the run that each provider run is recorded for, ended runs included. Unknown ids are absent."""

    def followed_runs(self, provider: ProviderType, *, after: RunId | None, limit: int) -> Sequence[FollowedRun]:
        """Return the runs whose end the provider has not reported yet, sorted by run id, starting after `after`."""

    def unexplained_runs(self) -> Sequence[UnexplainedRun]:
        """Return the unexplained runs, sorted by run id.

        These are inherited runs that have not ended, and rows in an active state (`UNKNOWN` included) that have no
        submission and that `SubmissionQueue.enrol` cannot adopt.
        """

    def has_inherited_runs(self) -> bool:
        """Whether there is an inherited run to release: it is queued, cancelled, ended or deleted."""

    def has_inherited_ended_runs(self) -> bool:
        """Whether there is an inherited run whose row has ended or was deleted."""

    def ended_runs_naming(self, provider: ProviderType, *, since: datetime) -> Sequence[FollowedRun]:
        """Return the runs that a service or another daemon has ended, and whose tags name a run of this provider.

        Left out are runs that have a submission, runs that started and ended before `since`, and runs whose provider
        run is named by the tags of an active row, too.
        """

    def has_accepted(self, provider: ProviderType) -> bool:
        """Whether this provider has ever accepted a run."""


class RepairUnit(UnitOfWork, Protocol):
    """One transaction that repairs something."""

    def claim_for_repair(self, run_id: RunId, owner: SessionId, provider: ProviderType) -> Claim:
        """Claim a run that has no recorded provider run and is not claimed by a live daemon.

        A queued or active run that is not enrolled yet is enrolled for `provider`. The claim is valid in this
        transaction only: the provider run must be recorded in the same transaction.

        Raises:
            ClaimLost: the run has a provider run, its submission is closed, or a live daemon has claimed it.
        """

    def release(self, run_ids: Collection[RunId]) -> int:
        """Delete the submissions of these inherited runs that are `QUEUED` or `CANCELING`; return their number.

        A queued run is then enrolled like any other, and a cancelled one ended.
        """

    def release_ended(self) -> int:
        """Delete the submissions of all inherited runs whose row has ended or was deleted; return their number."""

    def make_due(self, run_id: RunId, id: ProviderRunId) -> bool:
        """Set the run's next poll to now. Returns whether the run is still followed under this id."""

    def record_cancel(self, run_id: RunId, id: ProviderRunId) -> bool:
        """Record that the provider is asked to cancel a run that its service has ended or deleted, and make it due.

        A daemon repeats the cancellation after a minute.

        Returns:
            Whether the run is still ended or deleted, and followed as active under this id.
        """


RepairUnits = Callable[[], RepairUnit]
"""Returns a new repair unit that is not entered yet."""
