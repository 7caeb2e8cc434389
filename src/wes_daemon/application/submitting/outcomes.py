"""The outcomes of a submission, and how each is recorded."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    AmbiguousRefusal,
    ClaimLost,
    ConcurrentUpdate,
    Misconfigured,
    NotNow,
    NotSent,
    StorageMisconfigured,
    StorageRefused,
    StorageUnavailable,
)
from wes_daemon.application.ports.runs import RunUpdate
from wes_daemon.application.ports.submissions import Acceptance, Claim, ClaimedRun
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.group_commit import GroupCommit
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.late_writer import plain_text
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.recording import PlannedUpdate, Recorder, Recording
from wes_daemon.application.submitting.submission_policy import SubmissionPolicy
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId, RunSummary
from wes_daemon.domain.states import RunState

_log = logging.getLogger(__name__)

NOT_RECORDED = (StorageUnavailable, StorageMisconfigured, StorageRefused, ConcurrentUpdate)
"""The errors after which an outcome is not recorded. The intent is stored, so the run is in doubt."""

# The wait of a run whose provider is unusable: longer than a pass, and short for a person who has just repaired it.
_UNUSABLE_WAIT = timedelta(seconds=30)


class Outcome(StrEnum):
    """The outcome of one claimed run."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    IN_DOUBT = "in_doubt"
    NEEDS_REVIEW = "needs_review"
    REJECTED = "rejected"
    RETURNED = "returned"
    CLAIM_LOST = "claim_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionResult:
    """The result of submitting one claimed run.

    Attributes:
        unusable: the provider, if it can accept no other run for the rest of the pass.
        reason: why the provider is unusable; empty if it is not.
    """

    outcome: Outcome
    unusable: ProviderType | None = None
    reason: str = ""


@dataclass(eq=False)
class _Draft:
    """A draft that a provider has prepared for a claimed run."""

    claim: Claim
    id: ProviderRunId
    is_recorded: bool = False


class OutcomeRecorder:
    """Records the outcome of each claimed run. The claim's fencing token guards every write."""

    def __init__(self, *, recorder: Recorder, clock: Clock, policy: SubmissionPolicy) -> None:
        self._recorder = recorder
        self._clock = clock
        self._policy = policy
        self._throttle = LogThrottle(clock, every=timedelta(minutes=1))
        self._drafts = GroupCommit(self._commit_group)
        # On the monotonic clock: since when each provider has accepted no run at all.
        self._blocked_since: dict[ProviderType | None, timedelta] = {}

    def commit_draft(self, claim: Claim, id: ProviderRunId) -> None:
        """Commit the draft of a claimed run. Only a committed draft may be started.

        Drafts of several threads are committed together.

        Raises:
            ClaimLost: the draft was not recorded and must not be started.
        """
        draft = _Draft(claim, id)
        self._drafts(draft)
        if not draft.is_recorded:
            # The claim is lost, or another draft of the group failed. Only a commit of this draft alone shows which.
            self._commit_alone(draft)

    def commit_acceptances(self, acceptances: Sequence[Acceptance]) -> Sequence[SubmissionResult]:
        """Commit that providers have accepted these runs, in one transaction."""
        recorded: Collection[RunId] = ()

        def write(recording: Recording) -> None:
            nonlocal recorded
            recorded = recording.work.submissions.record_acceptances(
                acceptances, first_poll_after=self._policy.first_poll_after
            )
            recording.write(
                {each.claim.run_id: _update(recording, each) for each in acceptances if each.claim.run_id in recorded}
            )

        self._recorder.record_durably(write)
        return [self._report_acceptance(acceptance, acceptance.claim.run_id in recorded) for acceptance in acceptances]

    def record_rejection(self, claimed: ClaimedRun, provider: ProviderType | None, reason: str) -> SubmissionResult:
        """End a run that is not submitted any more: it is invalid, or it is given up."""
        now = self._clock.now()

        def write(recording: Recording, reason: str) -> None:
            recording.work.submissions.close(claimed.claim, reason=reason)
            recording.change(claimed.run.id, lambda run: run.rejected(reason, now), reason)

        self._record(write, reason)
        log_event(_log, logging.ERROR, "submit.rejected", run_id=claimed.run.id, provider=provider, reason=reason)
        return SubmissionResult(outcome=Outcome.REJECTED)

    def record_deferral(self, claimed: ClaimedRun, error: NotNow) -> SubmissionResult:
        """Defer a run after an attempt that started nothing.

        The run ends if its attempts or its time are used up. It needs review if it has been in doubt for too long.
        """
        if claimed.claim.resumed and self._policy.is_in_doubt_too_long(claimed):
            return self.record_review(claimed, f"in doubt for {_rounded(claimed.in_doubt_for)}: {error}")
        if not claimed.claim.resumed and self._policy.is_exhausted(claimed):
            tried = f"{claimed.attempts + 1} attempts in {_rounded(claimed.failing_for)}"
            return self.record_rejection(claimed, claimed.destination, f"given up after {tried}: {error}")
        self._blocked_since.pop(claimed.destination, None)
        claim, reason, wait = claimed.claim, str(error), self._policy.wait_after(claimed.attempts, error.retry_after)
        self._record(lambda rec, reason: rec.work.submissions.defer(claim, wait=wait, reason=reason), reason)
        self._log_retry("submit.deferred", claimed, wait, reason)
        return SubmissionResult(outcome=Outcome.DEFERRED)

    def record_doubt(self, claimed: ClaimedRun, reason: str) -> SubmissionResult:
        """Leave a run in doubt that may have been started; require review if it has been in doubt for too long."""
        if self._policy.is_in_doubt_too_long(claimed):
            return self.record_review(claimed, f"in doubt for {_rounded(claimed.in_doubt_for)}: {reason}")
        claim, wait = claimed.claim, self._policy.wait_after(claimed.attempts)
        self._record(lambda rec, reason: rec.work.submissions.mark_in_doubt(claim, wait=wait, reason=reason), reason)
        self._log_retry("submit.in_doubt", claimed, wait, reason)
        return SubmissionResult(outcome=Outcome.IN_DOUBT)

    def record_bug(self, claimed: ClaimedRun, error: BaseException) -> SubmissionResult:
        """Leave a run in doubt after an unforeseen error: it does not prove that nothing was started."""
        return self.record_doubt(claimed, f"{error.__class__.__name__}: {error}")

    def record_refused_acceptance(
        self, claimed: ClaimedRun, acceptance: Acceptance, error: StorageRefused
    ) -> SubmissionResult:
        """Leave a run in doubt whose acceptance the database refuses to record. The reason names the provider run."""
        self._recorder.refusals.log(claimed.run.id, error, during="accept")
        accepted = f"accepted by {acceptance.provider} as {acceptance.provider_run_id}"
        try:
            return self.record_doubt(claimed, f"{accepted}, but the database refuses to record that: {error}")
        except NOT_RECORDED as not_recorded:
            return self.report_not_recorded(claimed.run.id, not_recorded)

    def record_review(self, claimed: ClaimedRun, reason: str) -> SubmissionResult:
        """Require a person's decision, because no call has shown whether the provider has the run."""

        def write(recording: Recording, reason: str) -> None:
            recording.work.submissions.require_review(claimed.claim, reason=reason)
            recording.note(claimed.run.id, f"needs review: {reason}")

        self._record(write, reason)
        log_event(
            _log,
            logging.ERROR,
            "submit.needs_review",
            run_id=claimed.run.id,
            provider=claimed.destination,
            key=claimed.run.idempotency_key,
            reason=reason,
        )
        return SubmissionResult(outcome=Outcome.NEEDS_REVIEW)

    def record_misconfiguration(
        self, claimed: ClaimedRun, provider: ProviderType | None, error: Misconfigured
    ) -> SubmissionResult:
        """Return the claim: the provider accepts no run until a person acts. Logged at most once a minute.

        A run whose provider has refused it for too long ends; if an earlier call may have started it, it needs review.
        """
        reason = str(error)
        if self._throttle.allows(str(provider)):
            log_event(_log, logging.ERROR, "provider.misconfigured", provider=provider, reason=reason)
        if claimed.claim.resumed and self._policy.is_in_doubt_too_long(claimed):
            result = self.record_review(claimed, f"in doubt for {_rounded(claimed.in_doubt_for)}: {reason}")
            return replace(result, unusable=provider, reason=reason)
        blocked_for = self._blocked_for(claimed, provider, error)
        if not claimed.claim.resumed and blocked_for >= self._policy.timeout:
            given_up = f"given up after {_rounded(blocked_for)}: {reason}"
            return replace(self.record_rejection(claimed, provider, given_up), unusable=provider, reason=reason)
        claim, wait = claimed.claim, _UNUSABLE_WAIT
        self._record(lambda rec, text: rec.work.submissions.return_misconfigured(claim, wait=wait, reason=text), reason)
        return SubmissionResult(outcome=Outcome.RETURNED, unusable=provider, reason=reason)

    def _blocked_for(self, claimed: ClaimedRun, provider: ProviderType | None, error: Misconfigured) -> timedelta:
        """Return for how long the run could not be submitted, also while others were tried in its place."""
        if isinstance(error, AmbiguousRefusal):
            return claimed.failing_for
        now = self._clock.monotonic()
        provider_blocked_for = now - self._blocked_since.setdefault(provider, now)
        return max(claimed.failing_for, min(claimed.waiting_for, provider_blocked_for))

    def record_not_sent(self, claim: Claim, provider: ProviderType, error: NotSent) -> SubmissionResult:
        """Return the claim: nothing was sent to the provider, and nothing is sent to it for a while."""
        wait, reason = error.retry_after or _UNUSABLE_WAIT, str(error)
        return replace(self.record_return(claim, wait=wait, reason=reason), unusable=provider, reason=reason)

    def record_return(self, claim: Claim, *, wait: timedelta, reason: str | None = None) -> SubmissionResult:
        """Return the claim of a run that was not sent; no attempt is counted."""
        self._record(lambda rec, text: rec.work.submissions.return_claim(claim, wait=wait, reason=text or None), reason)
        return SubmissionResult(outcome=Outcome.RETURNED)

    def report_claim_lost(self, run_id: RunId, reason: object) -> SubmissionResult:
        """Log that another daemon has the run, so that nothing was written."""
        log_event(_log, logging.WARNING, "submit.claim_lost", run_id=run_id, reason=reason)
        return SubmissionResult(outcome=Outcome.CLAIM_LOST)

    def report_not_recorded(self, run_id: RunId, error: Exception) -> SubmissionResult:
        """Log that no outcome was recorded. The intent is stored; a takeover resolves it by the idempotency key."""
        log_event(_log, logging.WARNING, "submit.not_recorded", run_id=run_id, reason=error)
        return SubmissionResult(outcome=Outcome.IN_DOUBT)

    def _record(self, write: Callable[[Recording, str], None], reason: str | None) -> None:
        """Record an outcome. If the database refuses it, write its reason in ASCII: every database can hold that."""
        text = reason or ""
        try:
            self._recorder.record_durably(lambda recording: write(recording, text))
        except StorageRefused:
            if text.isascii():
                raise
            self._recorder.record_durably(lambda recording: write(recording, plain_text(text)))

    def _commit_group(self, drafts: Sequence[_Draft]) -> None:
        if len(drafts) == 1:
            self._commit_alone(drafts[0])
            drafts[0].is_recorded = True
            return
        try:
            recorded = guarded(
                lambda: self._commit_together(drafts),
                otherwise=lambda _: (),
                during="record",
                of=f"{len(drafts)} drafts",
            )
        except StorageRefused:
            # Each thread then commits its own draft, so that only the refused one fails.
            recorded = ()
        for draft in drafts:
            draft.is_recorded = draft.claim.run_id in recorded

    def _commit_together(self, drafts: Sequence[_Draft]) -> Collection[RunId]:
        recorded: Collection[RunId] = ()

        def write(recording: Recording) -> None:
            nonlocal recorded
            recorded = recording.work.submissions.record_drafts({draft.claim: draft.id for draft in drafts})

        self._recorder.record_durably(write)
        return recorded

    def _commit_alone(self, draft: _Draft) -> None:
        claim = draft.claim

        def write(recording: Recording) -> None:
            if not recording.work.submissions.record_drafts({claim: draft.id}):
                raise ClaimLost(f"run {claim.run_id}: the claim {claim.fencing_token} of daemon {claim.owner} is lost")

        self._recorder.record_durably(write)

    def _report_acceptance(self, acceptance: Acceptance, is_recorded: bool) -> SubmissionResult:
        run_id = acceptance.claim.run_id
        if not is_recorded:
            return self.report_claim_lost(run_id, "another daemon has taken the run over")
        self._blocked_since.pop(acceptance.provider, None)
        log_event(
            _log,
            logging.INFO,
            "submit.accepted",
            run_id=run_id,
            provider=acceptance.provider,
            provider_id=acceptance.provider_run_id,
        )
        return SubmissionResult(outcome=Outcome.ACCEPTED)

    def _log_retry(self, event: str, claimed: ClaimedRun, wait: timedelta, reason: str) -> None:
        attempts = claimed.attempts + 1
        log_event(_log, logging.WARNING, event, run_id=claimed.run.id, attempts=attempts, wait=wait, reason=reason)


def _update(recording: Recording, acceptance: Acceptance) -> PlannedUpdate:
    provider, provider_run_id = acceptance.provider, acceptance.provider_run_id
    why = f"accepted by {provider} as {provider_run_id}"

    def build(run: RunSummary) -> RunUpdate:
        if run.state.has_ended or run.state is RunState.CANCELING:
            # It was cancelled during its submission.
            recording.needs_hint = True
        return recording.update(run, run.accepted(provider, provider_run_id), why)

    return why, build


def _rounded(time: timedelta) -> str:
    """Return the time as text for a message, in whole seconds."""
    return str(timedelta(seconds=round(time.total_seconds())))
