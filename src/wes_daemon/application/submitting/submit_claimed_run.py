"""The submission of one claimed run to its provider."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    AmbiguousRefusal,
    ClaimLost,
    LeaseLost,
    Misconfigured,
    NotNow,
    NotSent,
    OutcomeUnknown,
    Rejected,
    Unprovable,
    WrongProvider,
)
from wes_daemon.application.ports.leases import LONGEST_GAP
from wes_daemon.application.ports.providers import Accepted, ProviderDirectory, Submission, WorkflowProvider
from wes_daemon.application.ports.submissions import Acceptance, Claim, ClaimedRun
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.application.submitting.outcomes import NOT_RECORDED, OutcomeRecorder, SubmissionResult
from wes_daemon.application.submitting.set_up_evidence import SetUpEvidence
from wes_daemon.application.submitting.submission_policy import SubmissionPolicy
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import PROVIDER_ID_TAG, Attachment, ProviderType, Run, RunId

_log = logging.getLogger(__name__)

_NO_WAIT = timedelta(0)
# A watched run appeared at most `LONGEST_GAP` before it could be enrolled. As much is added for a lease of the greatest
# length in a database that was restored, and as much for the enrolment and for the clock of the process that queued it.
_ENROLLED_AFTER = 3 * LONGEST_GAP
# The wait of a run that was claimed before its provider turned out to be unusable.
_BLOCKED_WAIT = timedelta(seconds=1)


class SubmitClaimedRun:
    """Submits one claimed run.

    The intent to submit was committed with the claim. No transaction is open during a call to a provider.
    """

    def __init__(
        self,
        *,
        outcomes: OutcomeRecorder,
        units: UnitsOfWork,
        providers: ProviderDirectory,
        daemon_session: DaemonSession,
        clock: Clock,
        stop: StopSignal,
        policy: SubmissionPolicy,
        serving: Collection[ProviderType | None],
    ) -> None:
        self._outcomes = outcomes
        self._units = units
        self._providers = providers
        self._daemon_session = daemon_session
        self._clock = clock
        self._evidence = SetUpEvidence(clock.monotonic)
        self._stop = stop
        self._policy = policy
        self._serving = serving

    def __call__(self, claimed: ClaimedRun, *, blocked: Mapping[ProviderType, str]) -> SubmissionResult | Acceptance:
        """Submit the run and record its outcome.

        Args:
            blocked: unusable providers, to which nothing is sent, and why.

        Returns:
            The recorded result, or an acceptance that the caller has to record.
        """
        try:
            if self._stop.is_raised:
                return self._outcomes.record_return(claimed.claim, wait=_NO_WAIT)
            if claimed.destination is not None and claimed.destination in blocked:
                why = blocked[claimed.destination]
                reason = f"{claimed.destination} was unusable for another run a moment before: {why}"
                return self._outcomes.record_return(claimed.claim, wait=_BLOCKED_WAIT, reason=reason)
            return guarded(
                lambda: self._submit(claimed),
                otherwise=lambda error: self._outcomes.record_bug(claimed, error),
                during="submit",
                of=claimed.run.id,
            )
        except ClaimLost as error:
            return self._outcomes.report_claim_lost(claimed.run.id, error)
        except NOT_RECORDED as error:
            return self._outcomes.report_not_recorded(claimed.run.id, error)

    def _submit(self, claimed: ClaimedRun) -> SubmissionResult | Acceptance:
        claim, provider = claimed.claim, claimed.destination
        if provider not in self._serving and not claim.resumed:
            # Its tags were changed after it was enrolled: the instance that serves its present provider submits it.
            return self._outcomes.record_return(claim, wait=_NO_WAIT)
        try:
            provider = provider or claimed.run.destination(self._policy.default_provider, self._policy.engine_providers)
            call, sent_at = self._prepare_call(claimed, provider), self._clock.monotonic()
            accepted = self._send(claim, *call)
            if not claim.resumed:
                # A run in doubt may have been accepted by an earlier call.
                self._evidence.note_acceptance(claimed.run, provider, sent_at=sent_at)
            return Acceptance(claim=claim, provider=provider, provider_run_id=accepted.id)
        except WrongProvider as error:
            advice = self._policy.advice(claimed.run, provider) if provider else ""
            return self._outcomes.record_rejection(claimed, provider, f"{error}{advice}")
        except (InvalidRequest, Rejected) as error:
            return self._outcomes.record_rejection(claimed, provider, str(error))
        except LeaseLost as error:
            # A daemon with a valid lease, this one or another, continues.
            log_event(_log, logging.WARNING, "submit.lease_ending", run_id=claimed.run.id, reason=error)
            return self._outcomes.record_return(claim, wait=_NO_WAIT)
        except NotSent as error:
            return self._outcomes.record_not_sent(claim, provider or self._policy.default_provider, error)
        except NotNow as error:
            return self._outcomes.record_deferral(claimed, error)
        except Unprovable as error:
            return self._outcomes.record_review(claimed, str(error))
        except OutcomeUnknown as error:
            return self._outcomes.record_doubt(claimed, str(error))
        except AmbiguousRefusal as error:
            return self._record_ambiguous_refusal(claimed, provider, error)
        except Misconfigured as error:
            return self._outcomes.record_misconfiguration(claimed, provider, error)

    def _record_ambiguous_refusal(
        self, claimed: ClaimedRun, provider: ProviderType | None, error: AmbiguousRefusal
    ) -> SubmissionResult:
        """End the run if it is to blame for its refusal; if an earlier call may have started it, it needs review."""
        if provider is None or not self._evidence.is_run_to_blame(claimed.run, provider):
            return self._outcomes.record_misconfiguration(claimed, provider, error)
        reason = f"{error}; the refusal concerns this run, since {provider} accepts others with the same set-up"
        if claimed.claim.resumed:
            return self._outcomes.record_review(claimed, f"{reason}; but an earlier call may have started it")
        return self._outcomes.record_rejection(claimed, provider, reason)

    def _prepare_call(self, claimed: ClaimedRun, provider: ProviderType) -> tuple[WorkflowProvider, Submission]:
        """Collect what the call needs.

        If the row or the configuration has become invalid, an earlier call may still have started the run. Such a run
        stays in doubt until a person corrects the row or the configuration.
        """
        try:
            return self._providers.provider(provider), self._submission(claimed)
        except (InvalidRequest, Rejected) as error:
            if not claimed.claim.resumed:
                raise
            raise OutcomeUnknown(f"{provider} may have the run already, but cannot be called: {error}") from error

    def _submission(self, claimed: ClaimedRun) -> Submission:
        run = claimed.run
        run.request.validate()
        return Submission(
            key=run.idempotency_key,
            run_id=run.id,
            request=run.request,
            tags=run.tag_values,
            attachments=self._attachments(run.id) if claimed.has_attachments else (),
            prepared_id=claimed.prepared_id,
            resumed=claimed.claim.resumed,
            in_doubt_for=claimed.in_doubt_for,
            queued_for=_queued_for(claimed),
            claimed_since=claimed.claimed_since,
        )

    def _attachments(self, run_id: RunId) -> Sequence[Attachment]:
        with self._units() as work:
            return work.runs.attachments(run_id)

    def _send(self, claim: Claim, provider: WorkflowProvider, submission: Submission) -> Accepted:
        """Have the provider start the run: in one call, or in two with a recorded draft between them.

        `adapters/resilience/stack.py` defines the decorators between this call and the provider.
        """
        self._daemon_session.require_lease()
        answer = provider.submit(submission)
        if isinstance(answer, Accepted):
            return answer
        draft_id = answer.id
        self._outcomes.commit_draft(claim, draft_id)
        self._daemon_session.require_lease()
        answer = provider.submit(replace(submission, prepared_id=draft_id))
        if isinstance(answer, Accepted):
            return answer
        raise OutcomeUnknown(f"the provider prepared the run as {answer.id} instead of starting {draft_id}")


def _queued_for(claimed: ClaimedRun) -> timedelta | None:
    """Return the longest time for which the run can have been queued; None if it is not known."""
    if not claimed.is_watched or _was_queued_again(claimed.run):
        return None
    return claimed.waiting_for + _ENROLLED_AFTER


def _was_queued_again(run: Run) -> bool:
    """Whether the row shows that the run has ended or was accepted before a person or a service queued it again."""
    return run.end_time is not None or PROVIDER_ID_TAG in run.tag_values
