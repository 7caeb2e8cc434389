"""What the core asks of the database when it is compared with the providers, and mended.

Reads take no locks. What they tell may be out of date a moment later, so that every write looks again.
Every method may raise `StorageUnavailable`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import Claim, SubmissionState
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState

UNSETTLED = (
    SubmissionState.READY,
    SubmissionState.INTENT,
    SubmissionState.PREPARED,
    SubmissionState.REVIEW,
)
"""Submissions of runs that no provider has by the record, and one may yet come to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the database knows of one run.

    Attributes:
        state: None where the run's row is gone.
        submission: None where no daemon has seen the run yet.
        provider: where it is or will be sent.
        provider_run_id: who holds it.
        prepared_id: the draft that is recorded to be started.
        is_claimed: a living daemon is at work on it.
    """

    run_id: RunId
    state: RunState | None
    submission: SubmissionState | None = None
    provider: ProviderType | None = None
    provider_run_id: ProviderRunId | None = None
    prepared_id: ProviderRunId | None = None
    is_claimed: bool = False

    @property
    def is_open(self) -> bool:
        """Whether no provider has the run by this record, and one may yet come to have it."""
        if self.state is None or self.provider_run_id is not None:
            return False
        return self.submission in UNSETTLED or (self.submission is None and self.state is RunState.QUEUED)

    def may_start(self, draft: ProviderRunId) -> bool:
        """Whether this draft may yet be started for the run: it is the recorded one, or none is recorded."""
        return self.is_open and self.prepared_id in (None, draft)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedRun:
    """A run that the database believes to be active at its provider.

    Attributes:
        state: None where the run's row is gone.
        known_state: what the provider said last.
    """

    run_id: RunId
    provider_run_id: ProviderRunId
    state: RunState | None
    known_state: RunState


class Ledger(Protocol):
    """Reads."""

    def entries(self, run_ids: Collection[RunId]) -> Mapping[RunId, Entry]:
        """What is known of each; runs of which nothing is are absent."""

    def holders(self, provider: ProviderType, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, RunId]:
        """Which run each of the provider's runs belongs to, ended ones included; unknown ones are absent."""

    def followed(self, provider: ProviderType, *, after: RunId | None, limit: int) -> Sequence[FollowedRun]:
        """Runs whose end the provider has not told yet, in the order of their ids, behind `after`."""

    def has_used(self, provider: ProviderType) -> bool:
        """Whether any run was ever held by it."""


class Mending(UnitOfWork, Protocol):
    """One transaction in which something is put right."""

    def take(self, run_id: RunId, owner: SessionId, provider: ProviderType) -> Claim:
        """Claim this run, which no provider has by the record and no living daemon is at work on.

        A run that no daemon has seen yet is enrolled for `provider`. Good for the same transaction: what it is
        claimed for has to be recorded in it.

        Raises:
            ClaimLost: it has a provider's run, is settled, or is being worked on.
        """

    def hasten(self, run_id: RunId, id: ProviderRunId) -> bool:
        """Make the run due to be asked for now; whether it is still followed under this id."""


Mendings = Callable[[], Mending]
"""Gives a new one, not yet entered."""
