"""What may become of a submission, and how that is written down."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Misconfigured, NotNow, NotSent
from wes_daemon.application.ports.runs import RunUpdate
from wes_daemon.application.ports.submissions import Acceptance, Claim, ClaimedRun, Preparation
from wes_daemon.application.runtime import fault_points
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.group_commit import GroupCommit
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.recording import Recorder, Recording
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId, RunSummary

_log = logging.getLogger(__name__)

# How long a run rests whose provider a person has to mend: longer than a pass, shorter than anybody's patience.
_MENDING = timedelta(seconds=30)


class Outcome(StrEnum):
    """What became of one claimed run."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    UNRESOLVED = "unresolved"
    IN_REVIEW = "in_review"
    REJECTED = "rejected"
    RELEASED = "released"
    CLAIM_LOST = "claim_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionPolicy:
    """How runs are submitted.

    Attributes:
        cap: runs that providers may hold at once, over all daemons.
        batch: runs that are claimed and not settled yet at a time, of which as many as there are threads are called.
        check_after: when an accepted run is first asked for.
        first_wait, longest_wait: what is put off waits for the first, doubling at every attempt up to the second.
        provider_caps: runs that single providers may hold at once; those that are not named have the common cap alone.
        share_tag: the tag whose values part the runs into shares that are served alike; None for one share.
        timeout: how long a submission may fail, or be in doubt, before it is given up, or put in review.
        attempts: submissions that may fail before the run is given up; None for any number.
    """

    cap: int = 10
    provider_caps: Mapping[ProviderType, int] = field(default_factory=dict)
    share_tag: str | None = None
    timeout: timedelta = timedelta(days=1)
    attempts: int | None = None
    batch: int = 16
    default_provider: ProviderType = ProviderType.SEVENBRIDGES
    check_after: timedelta = timedelta(seconds=300)
    first_wait: timedelta = timedelta(seconds=5)
    longest_wait: timedelta = timedelta(minutes=10)

    def wait_after(self, attempts: int, asked: timedelta | None = None) -> timedelta:
        """How long a run waits that was put off `attempts` times before."""
        grown = self.first_wait * (1 << min(attempts, 30))
        return max(min(grown, self.longest_wait), asked or timedelta(0))

    def is_exhausted(self, claimed: ClaimedRun) -> bool:
        """Whether a run that has just failed to be submitted once more has had all its attempts or all its time."""
        tried_often = self.attempts is not None and claimed.attempts + 1 >= self.attempts
        return tried_often or claimed.failing_for >= self.timeout

    def is_past_hope(self, claimed: ClaimedRun) -> bool:
        """Whether a run whose submission is still in doubt has been so for too long to ask on."""
        return claimed.in_doubt_for >= self.timeout


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one claimed run, and the provider that proved unusable on the way."""

    outcome: Outcome
    blocked: frozenset[ProviderType] = frozenset()


@dataclass(eq=False)
class _Draft:
    """What a provider has prepared, and whether it is written down."""

    preparation: Preparation
    is_recorded: bool = False


class Submissions:
    """Writes down what became of each claimed run; all of it under the guard of its claim."""

    def __init__(self, *, recorder: Recorder, clock: Clock, policy: SubmissionPolicy) -> None:
        self._recorder = recorder
        self._clock = clock
        self._policy = policy
        self._complaints = LogThrottle(clock, every=timedelta(minutes=1))
        self._gathering = GroupCommit(self._prepared_together)

    @property
    def gathered(self) -> Sequence[Preparation]:
        """What threads have prepared and wait to have written down together."""
        return [each.preparation for each in self._gathering.waiting]

    def prepared(self, claim: Claim, id: ProviderRunId) -> None:
        """A provider has prepared the run under this id; only what is recorded here is ever started.

        What several threads have prepared at the same time is written down together.

        Raises:
            ClaimLost: nothing was recorded, so nothing may be started.
        """
        draft = _Draft(Preparation(claim, id))
        self._gathering(draft)
        if not draft.is_recorded:
            # Its claim is gone, or the trouble of others was in the way: alone it is told what is wrong.
            self._prepared_alone(draft.preparation)
        fault_points.reached("prepared.after_commit")

    def _prepared_together(self, drafts: Sequence[_Draft]) -> None:
        if len(drafts) == 1:
            self._prepared_alone(drafts[0].preparation)
            drafts[0].is_recorded = True
            return
        recorded: Collection[RunId] = ()

        def write(recording: Recording) -> None:
            nonlocal recorded
            recorded = recording.work.submissions.prepared_all([each.preparation for each in drafts])
            fault_points.reached("prepared.before_commit")

        def record() -> Collection[RunId]:
            self._recorder.record_durably(write)
            return recorded

        written = guarded(record, otherwise=lambda _: (), during="record", of=f"{len(drafts)} drafts")
        for each in drafts:
            each.is_recorded = each.preparation.claim.run_id in written

    def _prepared_alone(self, prepared: Preparation) -> None:
        def write(recording: Recording) -> None:
            recording.work.submissions.prepared(prepared.claim, prepared.id)
            fault_points.reached("prepared.before_commit")

        self._recorder.record_durably(write)

    def accepted_all(self, accepted: Sequence[tuple[ClaimedRun, Acceptance]]) -> Sequence[Result]:
        """Providers hold these runs; all of it is written at once."""
        recorded: Collection[RunId] = ()

        def write(recording: Recording) -> None:
            nonlocal recorded
            recorded = recording.work.submissions.accepted_all(
                [acceptance for _, acceptance in accepted], check_after=self._policy.check_after
            )
            recording.write(
                {one.claim.run_id: _acceptance(recording, one) for _, one in accepted if one.claim.run_id in recorded}
            )
            fault_points.reached("accepted.before_commit")

        self._recorder.record_durably(write)
        fault_points.reached("accepted.after_commit")
        return [self._told(one, one.claim.run_id in recorded) for _, one in accepted]

    def _told(self, one: Acceptance, is_recorded: bool) -> Result:
        if not is_recorded:
            return self.claim_lost(one.claim.run_id, "another daemon holds the run now")
        log_event(
            _log, logging.INFO, "submit.accepted", run_id=one.claim.run_id, provider=one.provider, provider_id=one.id
        )
        return Result(Outcome.ACCEPTED)

    def claim_lost(self, run_id: RunId, reason: object) -> Result:
        """Somebody else has it, so nothing was written."""
        log_event(_log, logging.WARNING, "submit.claim_lost", run_id=run_id, reason=reason)
        return Result(Outcome.CLAIM_LOST)

    def rejected(self, claimed: ClaimedRun, type: ProviderType | None, reason: str) -> Result:
        """The run can never be submitted, and ends."""
        now = self._clock.now()

        def write(recording: Recording) -> None:
            recording.work.submissions.closed(claimed.claim, reason=reason)
            recording.change(claimed.run.id, lambda run: run.rejected(reason, now), reason)

        self._recorder.record_durably(write)
        log_event(_log, logging.ERROR, "submit.rejected", run_id=claimed.run.id, provider=type, reason=reason)
        return Result(Outcome.REJECTED)

    def deferred(self, claimed: ClaimedRun, error: NotNow) -> Result:
        """Certainly nothing was started."""
        if claimed.claim.resumed and self._policy.is_past_hope(claimed):
            return self.in_review(claimed, f"it could not be told for {_span(claimed.in_doubt_for)}: {error}")
        if not claimed.claim.resumed and self._policy.is_exhausted(claimed):
            tried = f"{claimed.attempts + 1} attempts in {_span(claimed.failing_for)}"
            return self.rejected(claimed, claimed.destination, f"given up after {tried}: {error}")
        claim, reason, rest = claimed.claim, str(error), self._policy.wait_after(claimed.attempts, error.retry_after)
        self._recorder.record_durably(lambda rec: rec.work.submissions.deferred(claim, wait=rest, reason=reason))
        self._log_put_off("submit.deferred", claimed, rest, reason)
        return Result(Outcome.DEFERRED)

    def unresolved(self, claimed: ClaimedRun, reason: str) -> Result:
        """Perhaps something was started."""
        if self._policy.is_past_hope(claimed):
            return self.in_review(claimed, f"it could not be told for {_span(claimed.in_doubt_for)}: {reason}")
        claim, rest = claimed.claim, self._policy.wait_after(claimed.attempts)
        self._recorder.record_durably(lambda rec: rec.work.submissions.unresolved(claim, wait=rest, reason=reason))
        self._log_put_off("submit.unresolved", claimed, rest, reason)
        return Result(Outcome.UNRESOLVED)

    def in_review(self, claimed: ClaimedRun, reason: str) -> Result:
        """Perhaps something was started, and asking again will not tell: a person has to decide."""

        def write(recording: Recording) -> None:
            recording.work.submissions.review(claimed.claim, reason=reason)
            recording.note(claimed.run.id, f"needs review: {reason}")

        self._recorder.record_durably(write)
        log_event(
            _log,
            logging.ERROR,
            "submit.needs_review",
            run_id=claimed.run.id,
            provider=claimed.destination,
            key=claimed.run.idempotency_key,
            reason=reason,
        )
        return Result(Outcome.IN_REVIEW)

    def after_bug(self, claimed: ClaimedRun, error: Exception) -> Result:
        """Nothing can be concluded from a bug, least of all that nothing was started."""
        return self.unresolved(claimed, f"{error.__class__.__name__}: {error}")

    def blocked(self, claim: Claim, type: ProviderType | None, error: Misconfigured) -> Result:
        """Nothing of this provider can be submitted until somebody acts; said once a minute at most."""
        if self._complaints.allows(str(type)):
            log_event(_log, logging.ERROR, "provider.misconfigured", provider=type, reason=error)
        released = self.released(claim, wait=_MENDING, reason=str(error))
        return replace(released, blocked=frozenset() if type is None else frozenset({type}))

    def held_back(self, claim: Claim, type: ProviderType, error: NotSent) -> Result:
        """Nothing was sent, and nothing more of this provider should be for a while."""
        released = self.released(claim, wait=error.retry_after or _MENDING, reason=str(error))
        return replace(released, blocked=frozenset({type}))

    def released(self, claim: Claim, *, wait: timedelta, reason: str | None = None) -> Result:
        """Nothing was tried."""
        self._recorder.record_durably(lambda rec: rec.work.submissions.released(claim, wait=wait, reason=reason))
        return Result(Outcome.RELEASED)

    def _log_put_off(self, event: str, claimed: ClaimedRun, wait: timedelta, reason: str) -> None:
        attempts = claimed.attempts + 1
        log_event(_log, logging.WARNING, event, run_id=claimed.run.id, attempts=attempts, wait=wait, reason=reason)


def _acceptance(recording: Recording, one: Acceptance) -> Callable[[RunSummary], RunUpdate]:
    why = f"accepted by {one.provider} as {one.id}"
    return lambda run: recording.update(run, run.accepted(one.provider, one.id), why)


def _span(time: timedelta) -> str:
    """A time as people read it, without fractions."""
    return str(timedelta(seconds=round(time.total_seconds())))
