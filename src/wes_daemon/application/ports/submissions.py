"""Submissions: which daemon submits which run, and how far each submission has come."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from wes_daemon.application.ports.leases import SessionId
from wes_daemon.domain.runs import ProviderRunId, ProviderType, Run, RunId, RunSummary


class SubmissionState(StrEnum):
    """How far the submission of a run has come.

    `INHERITED` (another daemon may have submitted the run) → `ACCEPTED`, or deleted once no provider run was found.
    `READY` → `INTENT` (claimed; a call may have been made) → [`PREPARED` →] `ACCEPTED` → `CLOSED`.
    `INTENT` returns to `READY` after an attempt that started nothing.
    `INTENT` and `PREPARED` become `REVIEW` when the doubt cannot be resolved; a person resolves it from there.
    Every state before `ACCEPTED` becomes `CLOSED` when the run ends without a provider run.
    """

    INHERITED = "INHERITED"
    READY = "READY"
    INTENT = "INTENT"
    PREPARED = "PREPARED"
    REVIEW = "REVIEW"
    ACCEPTED = "ACCEPTED"
    CLOSED = "CLOSED"


IN_DOUBT = (SubmissionState.INTENT, SubmissionState.PREPARED)
"""The states in which a call may have been made and its outcome is not recorded."""

COUNTED = (*IN_DOUBT, SubmissionState.REVIEW, SubmissionState.ACCEPTED)
"""The states that count towards the concurrency limits: a provider has the run, or may have it."""

Destination = Callable[[RunSummary], ProviderType | None]
"""Returns the provider that a run goes to; None if its tags name no known provider."""

Share = Callable[[RunSummary], str]
"""Returns the group that a run belongs to for fair shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The exclusive right of one daemon to submit one run.

    Attributes:
        fencing_token: grows with each claim and each takeover of the run, and guards every later write.
        resumed: the submission was in doubt before this claim, so an earlier call may have started the run.
    """

    run_id: RunId
    owner: SessionId
    fencing_token: int
    resumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedRun:
    """A claimed run.

    Attributes:
        run: the run at the time of the claim. If an earlier call may have sent it, it has the request and the tags
            of that call: a service may change the row, but a repeated call must be the same.
        attempts: number of failed submissions before this one.
        failing_for: time since the first of these failures, or since the provider first accepted no run until a person
            acts; zero if there was neither.
        waiting_for: time since the run was enrolled.
        in_doubt_for: time since the claim before the first call that may have started the run; zero if there was none.
        prepared_id: the draft that an earlier attempt recorded. The run is submitted with it.
        destination: the provider that was recorded before the first call, the same at every attempt.
            None if the tags name no known provider; then no call was ever made.
        has_attachments: whether the request has attachments.
        claimed_since: a time by which the claim had been committed, on the monotonic clock of this process.
            Stores leave it None.
        is_watched: whether the run was enrolled while the queue was watched (`SubmissionQueue.watch`). Else its row may
            be much older than its enrolment, and a database that was restored may have lost an earlier call.
    """

    claim: Claim
    run: Run
    attempts: int = 0
    failing_for: timedelta = timedelta(0)
    waiting_for: timedelta = timedelta(0)
    in_doubt_for: timedelta = timedelta(0)
    prepared_id: ProviderRunId | None = None
    destination: ProviderType | None = None
    has_attachments: bool = False
    claimed_since: timedelta | None = None
    is_watched: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A provider has accepted a claimed run under this id."""

    claim: Claim
    provider: ProviderType
    provider_run_id: ProviderRunId


def no_share(run: RunSummary) -> str:
    """Put all runs into one group, for which fair shares have no effect."""
    del run
    return ""


class SubmissionQueue(Protocol):
    """The submission of each run: which daemon has claimed it, and how far it has come.

    A method that takes one claim raises `ClaimLost` if the claim is no longer valid, and `AlreadyRecorded` if its
    owner has ended it before. `record_drafts` and `record_acceptances` take many claims: they leave out each run whose
    claim has ended, and return the ids of the recorded runs.
    """

    def inherit(self) -> int:
        """Enrol as `INHERITED` what another daemon may have left, if this database has had no daemon session yet.

        These are rows that were not queued through this package: those that are `QUEUED`, `CANCELING` or `CANCELED`,
        and active rows whose tags name no provider run. None of them is submitted or ended before
        `RepairUnit.release` or an adoption. It must be called in the transaction that opens a session.

        Returns:
            The number of rows.
        """

    def watch(self) -> bool:
        """Begin to watch the queue, unless it is watched or a row may be older than its enrolment will be.

        Such a row is `QUEUED` and not enrolled, and was not queued through this package within `LONGEST_GAP`. While it
        is there, the queue is not watched. A run that is enrolled while the queue is watched appeared at most
        `LONGEST_GAP` before, even if the database was restored: the queue is watched only as long as there were valid
        leases without a longer gap. It must be called in a process that has a session.

        Returns:
            Whether the queue is watched.
        """

    def enrol(
        self, destination: Destination, *, limit: int, share: Share = no_share, leaving_out: Collection[RunId] = ()
    ) -> int:
        """Enrol rows that the queue does not have yet, oldest first, and return their number (0: there are no more).

        A `QUEUED` row becomes `READY` for the provider that `destination` returns, in the group that `share`
        returns. The group never changes.
        A row in an active state (`CANCELING` and `UNKNOWN` included) whose tags name a provider and its run id was left
        by another daemon. It becomes `ACCEPTED` and is followed. Other rows are not enrolled.

        A closed row that the service has made active again is enrolled again. It is followed if a provider had the
        run; if none had and the row is `QUEUED`, it becomes `READY`. A run with a late update is not.

        Args:
            leaving_out: runs whose enrolment the store has refused lately.
        """

    def enrol_queued(
        self, destination: Destination, *, limit: int, share: Share = no_share, leaving_out: Collection[RunId] = ()
    ) -> int:
        """Enrol only the `QUEUED` rows that the queue does not have yet, as `enrol` does.

        This is cheap. It suffices when the change feed has reported a queued run.
        """

    def claim(
        self,
        owner: SessionId,
        *,
        limit: int,
        concurrency_limit: int,
        serving: Collection[ProviderType | None],
        destination: Destination,
        per_provider_limits: Mapping[ProviderType, int] = MappingProxyType({}),
        under_way: Collection[RunId] = (),
    ) -> Sequence[ClaimedRun]:
        """Claim runs to submit now. Committing the claim commits the intent.

        Takeovers come first: due submissions in doubt that have no owner, or whose owner has no valid lease or is
        `owner` itself, except the runs in `under_way`. The concurrency limits do not apply to them, because they
        count towards the limits already.
        Then come `READY` submissions that are due and whose row is still `QUEUED`, as long as fewer than
        `concurrency_limit` runs are active, and fewer than the limit of their own provider if it has one, over all
        daemons. Active runs are those that are claimed, need review or were accepted by a provider. The next run is
        the oldest of the group with the fewest active runs; between equal groups the oldest run goes first.

        A run that was never sent goes to the provider that `destination` returns for its present row. Provider and
        request are recorded with the intent. A run that may have been sent keeps the provider and the request of the
        first call.

        A run whose row was deleted is not claimed. It is closed, or needs review if it may have been sent.
        A run is never claimed by two owners at once.

        Args:
            limit: how many runs to claim at most.
            serving: the providers whose runs may be claimed. None stands for runs whose provider is unknown.
            under_way: runs that `owner` is submitting now.

        Raises:
            LeaseLost: the owner has no valid lease, so its claims would be void.
        """

    def record_drafts(self, drafts: Mapping[Claim, ProviderRunId]) -> Collection[RunId]:
        """Record the drafts that providers have prepared, and return the recorded runs. The claims stay."""

    def record_acceptances(
        self, acceptances: Collection[Acceptance], *, first_poll_after: timedelta
    ) -> Collection[RunId]:
        """Record that providers have accepted these runs, end the claims, and put the runs on the poll schedule.

        The known state of each becomes `INITIALIZING`, whatever its row says, and even if its row was deleted.

        Returns:
            The runs recorded now, and those recorded earlier under the same claim and provider run id.

        Raises:
            AlreadyRecorded: all recorded runs were recorded earlier, and there is at least one.
        """

    def defer(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        """End the claim of a run that was not started this time. It is due after `wait` and counts one attempt more.

        The submission becomes `READY`. If an earlier call may have started the run (`claim.resumed`) or a draft is
        recorded, it stays `INTENT` or `PREPARED`.
        """

    def mark_in_doubt(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        """End the claim of a run that a call may have started. It keeps its state and counts one attempt more.

        Any daemon may take it over after `wait`.
        """

    def return_claim(self, claim: Claim, *, wait: timedelta, reason: str | None = None) -> None:
        """End the claim of a run that was not sent: as `defer`, without counting an attempt.

        Args:
            reason: None keeps the last reason.
        """

    def return_misconfigured(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        """End the claim of a run that its provider accepts only after a person has acted.

        As `return_claim`, but the time of `ClaimedRun.failing_for` begins, if it has not begun.
        """

    def close(self, claim: Claim, *, reason: str) -> None:
        """End the claim and the submission: the run has ended without a provider."""

    def require_review(self, claim: Claim, *, reason: str) -> None:
        """End the claim of a run, because no call can prove whether a provider has the run.

        No daemon claims the run until a person has decided.
        """

    def hold_back(self, run_id: RunId, *, wait: timedelta, reason: str) -> None:
        """Let a `READY` run wait, because the store refuses to record its claim; no attempt is counted."""

    def explain(self, run_id: RunId, reason: str) -> None:
        """Record the latest reason, for a person; nothing else changes, and no claim is needed."""

    def adopt(self, run_id: RunId, id: ProviderRunId, *, first_poll_after: timedelta) -> ProviderType:
        """Follow a run that needs review as this provider run, because a person has decided so; return the provider.

        Raises:
            NotInReview: the run does not need review, or another run has this provider run.
        """

    def send_again(self, run_id: RunId) -> None:
        """Submit a run that needs review once more under the same key, because a person has decided so.

        Its attempts and its time in doubt start from zero.

        Raises:
            NotInReview: the run does not need review.
        """

    def give_up(self, run_id: RunId, *, reason: str) -> None:
        """Close a run that needs review: a person has found that no provider has it.

        Raises:
            NotInReview: the run does not need review.
        """

    def close_unserved(self, provider: ProviderType, *, waiting_for: timedelta, limit: int) -> Sequence[RunId]:
        """Close submissions of this provider that were never sent and have waited for so long; return their runs."""

    def close_withdrawn(self, *, limit: int) -> Sequence[RunId]:
        """Close submissions that were never sent and whose run is no longer `QUEUED`.

        Returns:
            The `CANCELING` runs to end: those whose submission was closed now or before, and those never enrolled.
            Also the runs that a service has ended without an end time, if their submission was closed now.
        """
