"""Queued runs in: claim them, hand each to its provider, record what became of it."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from datetime import timedelta
from queue import SimpleQueue

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    ClaimLost,
    ConcurrentUpdate,
    LeaseLost,
    Misconfigured,
    NotNow,
    NotSent,
    OutcomeUnknown,
    Rejected,
    StorageMisconfigured,
    StorageUnavailable,
    Unprovable,
)
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.providers import Accepted, ProviderDirectory, Submission, WorkflowProvider
from wes_daemon.application.ports.submissions import Acceptance, Claim, ClaimedRun, SubmissionQueue
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.runtime import fault_points
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.recording import Recorder
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.application.submitting.outcomes import Outcome, Result, SubmissionPolicy, Submissions
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import Attachment, ProviderType, RunId, RunSummary

_log = logging.getLogger(__name__)

# All that is queued is gone through for each, however much of it was enrolled before.
_ENROL_BATCH = 5_000
# Of a batch, so that whoever calls a provider has something to do while more is claimed, and not a few at a time.
_ENOUGH = 0.5
_LOOK_FOR_NEWS = timedelta(seconds=1)
# To look for what is new in a long queue takes long: a twentieth of a pass at most, but for a very long one.
_RESTS_FOR = 20
_LONGEST_REST = timedelta(minutes=1)
_UNTIL_TRIED = timedelta(seconds=1)

_PUT_OFF = (Outcome.DEFERRED, Outcome.RELEASED, Outcome.UNRESOLVED)

_Call = Future[Result | Acceptance]
_Enrol = Callable[..., int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitReport:
    """What one pass did.

    Attributes:
        blocked: providers that are misconfigured; none of their runs was touched.
    """

    enrolled: int = 0
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    blocked: Collection[ProviderType] = frozenset()

    @property
    def accepted(self) -> int:
        """Runs that a provider took."""
        return self.outcomes.get(Outcome.ACCEPTED, 0)

    @property
    def rejected(self) -> int:
        """Runs that ended, since they can never work."""
        return self.outcomes.get(Outcome.REJECTED, 0)

    @property
    def put_off(self) -> int:
        """Runs that are to be tried again, most of them soon."""
        return sum(self.outcomes.get(outcome, 0) for outcome in _PUT_OFF)


@dataclass
class _Tally:
    """What a pass has come to so far.

    Attributes:
        blocked: added to by the calls themselves, so that those that wait behind them know at once.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    blocked: set[ProviderType] = field(default_factory=set)

    def count(self, results: Iterable[Result]) -> None:
        self.outcomes.update(result.outcome for result in results)


class _Calls:
    """What is under way."""

    def __init__(self) -> None:
        self._runs: dict[_Call, ClaimedRun] = {}
        self._ended: SimpleQueue[_Call] = SimpleQueue()

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def run_ids(self) -> Collection[RunId]:
        """Which runs these are."""
        return [each.run.id for each in self._runs.values()]

    def add(self, call: _Call, claimed: ClaimedRun) -> None:
        """One more has begun."""
        self._runs[call] = claimed
        call.add_done_callback(self._ended.put)

    def ended(self) -> Sequence[tuple[_Call, ClaimedRun]]:
        """Those that have ended since, and where there are none, the next one."""
        calls = [self._ended.get()]
        while not self._ended.empty():
            calls.append(self._ended.get())
        return [(call, self._runs.pop(call)) for call in calls]


class SubmitQueuedRuns:
    """A pass enrols what is new, then claims and submits until nothing more may go out.

    `serving` are the providers whose runs this instance submits; with one instance for each provider, none holds up
    another. The intent to submit is committed with the claim, before any call; no transaction is open during a call.
    """

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        recorder: Recorder,
        providers: ProviderDirectory,
        daemon_session: DaemonSession,
        clock: Clock,
        pool: Executor,
        stop: StopSignal,
        policy: SubmissionPolicy,
        serving: Collection[ProviderType] = frozenset(ProviderType),
    ) -> None:
        self._units = units
        self._recorder = recorder
        self._providers = providers
        self._daemon_session = daemon_session
        self._clock = clock
        self._pool = pool
        self._stop = stop
        self._policy = policy
        self._others = _all_but(serving, policy.default_provider)
        self._submissions = Submissions(recorder=recorder, clock=clock, policy=policy)

    def __call__(self) -> SubmitReport:
        """Make one pass and return when all its calls have ended."""
        enrolled = self._enrol(lambda queue: queue.enrol)
        return replace(self._submit_up_to(self._policy.cap), enrolled=enrolled)

    def at_once(self) -> SubmitReport:
        """As a pass, where a run was queued a moment ago: what else may be taken up has time until the next one."""
        enrolled = self._enrol(lambda queue: queue.enrol_queued)
        return replace(self._submit_up_to(self._policy.cap), enrolled=enrolled) if enrolled else self()

    def resolve(self) -> SubmitReport:
        """Only resolve what is in doubt or was left by daemons that are gone; a cheap look that may be taken often."""
        return self._submit_up_to(0)

    def _submit_up_to(self, cap: int) -> SubmitReport:
        """Keep calls under way, with as many runs claimed ahead of them, until nothing more may go out."""
        report, calls = _Tally(), _Calls()
        next_look = self._clock.monotonic() + _LOOK_FOR_NEWS
        try:
            while not self._stop.is_raised:
                if len(calls) <= self._policy.batch * _ENOUGH:
                    if cap and self._clock.monotonic() >= next_look:
                        next_look = self._look_for_news()
                    for each in self._claim(cap, report.blocked, calls.run_ids):
                        calls.add(self._pool.submit(self._submit, each, report.blocked), each)
                if not calls:
                    break
                report.count(self._settled(calls.ended()))
        finally:
            # Whatever goes wrong with a claim: the answers of what is under way are worth being written down.
            while calls:
                report.count(self._settled(calls.ended()))
        return SubmitReport(outcomes=dict(report.outcomes), blocked=frozenset(report.blocked))

    def _look_for_news(self) -> timedelta:
        """Enrol what was queued since; a backlog may take hours, and the shares of those who come meanwhile count, too.

        Returns:
            When to look again, by the clock that nobody sets.
        """
        began = self._clock.monotonic()
        self._enrol(lambda queue: queue.enrol_queued)
        ended = self._clock.monotonic()
        return ended + min(max(_LOOK_FOR_NEWS, (ended - began) * _RESTS_FOR), _LONGEST_REST)

    def _settled(self, ended: Sequence[tuple[_Call, ClaimedRun]]) -> Iterator[Result]:
        """What became of each; what providers have accepted is written down first, all of it at once."""
        found = [(claimed, self._found(call, claimed)) for call, claimed in ended]
        accepted = [(claimed, each) for claimed, each in found if isinstance(each, Acceptance)]
        yield from self._recorded(accepted) if accepted else ()
        yield from (each for _, each in found if isinstance(each, Result))

    def _found(self, call: _Call, claimed: ClaimedRun) -> Result | Acceptance:
        """What a call has come to; one that ended as nobody foresaw leaves the intent, and keeps no other waiting."""
        error = call.exception()
        if error is None:
            return call.result()
        _log.error("bug during=submit of=%s", claimed.run.id, exc_info=error)
        try:
            return self._submissions.unresolved(claimed, f"{error.__class__.__name__}: {error}")
        except (StorageUnavailable, StorageMisconfigured, ConcurrentUpdate) as trouble:
            return self._not_recorded(claimed.run.id, trouble)

    def _recorded(self, accepted: Sequence[tuple[ClaimedRun, Acceptance]]) -> Sequence[Result]:
        try:
            return guarded(
                lambda: self._submissions.accepted_all(accepted),
                # One that nobody foresaw must not keep the others from being written down.
                otherwise=lambda _: [result for one in accepted for result in self._recorded_alone(one)],
                during="record",
                of=f"{len(accepted)} runs",
            )
        except (StorageUnavailable, StorageMisconfigured, ConcurrentUpdate) as error:
            return [self._not_recorded(claimed.run.id, error) for claimed, _ in accepted]

    def _recorded_alone(self, one: tuple[ClaimedRun, Acceptance]) -> Sequence[Result]:
        claimed, _ = one
        try:
            return guarded(
                lambda: self._submissions.accepted_all([one]),
                otherwise=lambda error: [self._submissions.after_bug(claimed, error)],
                during="record",
                of=claimed.run.id,
            )
        except ConcurrentUpdate as error:
            return [self._not_recorded(claimed.run.id, error)]

    def _not_recorded(self, run_id: RunId, error: Exception) -> Result:
        """The intent is stored: whoever comes next, this daemon or another, resolves it by the key."""
        log_event(_log, logging.WARNING, "submit.not_recorded", run_id=run_id, reason=error)
        return Result(Outcome.UNRESOLVED)

    def _enrol(self, means: Callable[[SubmissionQueue], _Enrol]) -> int:
        total = 0
        while not self._stop.is_raised:
            with self._units() as work:
                enrolled = means(work.submissions)(self._destination, limit=_ENROL_BATCH, share=self._share)
                work.commit()
            total += enrolled
            if enrolled < _ENROL_BATCH:
                break
        return total

    def _destination(self, run: RunSummary) -> ProviderType | None:
        try:
            return run.destination(self._policy.default_provider)
        except InvalidRequest:
            return None

    def _share(self, run: RunSummary) -> str:
        tag = self._policy.share_tag
        return str(run.tags.get(tag, "")) if tag and isinstance(run.tags, Mapping) else ""

    def _claim(self, cap: int, blocked: Collection[ProviderType], under_way: Collection[RunId]) -> Sequence[ClaimedRun]:
        """Nothing where two leases in a row have run out over it: waiting for a lock may take longer than one lasts."""
        self._daemon_session.ensure_trust()
        for _ in range(2):
            try:
                return self._claim_as(self._daemon_session.id, cap, blocked, under_way)
            except LeaseLost as error:
                log_event(_log, logging.WARNING, "claim.too_late", reason=error)
                self._daemon_session.renew()
        return []

    def _claim_as(
        self, owner: SessionId, cap: int, blocked: Collection[ProviderType], under_way: Collection[RunId]
    ) -> Sequence[ClaimedRun]:
        with self._units() as work:
            claimed = work.submissions.claim(
                owner,
                limit=self._policy.batch - len(under_way),
                cap=cap,
                provider_caps=self._policy.provider_caps,
                excluding=self._others | frozenset(blocked),
                destination=self._destination,
                under_way=under_way,
            )
            if claimed:
                fault_points.reached("claim.before_commit")
            work.commit()
        if claimed:
            fault_points.reached("claim.after_commit")
        claimed_since = self._clock.monotonic()
        return [replace(each, claimed_since=claimed_since) for each in claimed]

    def _submit(self, claimed: ClaimedRun, blocked: set[ProviderType]) -> Result | Acceptance:
        """Bring one run as far as it comes; what was accepted has yet to be written down.

        Args:
            blocked: providers of which nothing more should go out; those that turn out to be such are added.
        """
        found = self._submitted(claimed, blocked)
        if isinstance(found, Result):
            blocked.update(found.blocked)
        return found

    def _submitted(self, claimed: ClaimedRun, blocked: Collection[ProviderType]) -> Result | Acceptance:
        try:
            if self._stop.is_raised:
                return self._submissions.released(claimed.claim, wait=timedelta(0))
            if claimed.destination in blocked:
                # Claimed before it was known that nothing of this provider should go out.
                reason = f"{claimed.destination} could take no other run a moment ago"
                return self._submissions.released(claimed.claim, wait=_UNTIL_TRIED, reason=reason)
            return guarded(
                lambda: self._hand_over(claimed),
                otherwise=lambda error: self._submissions.after_bug(claimed, error),
                during="submit",
                of=claimed.run.id,
            )
        except ClaimLost as error:
            return self._submissions.claim_lost(claimed.run.id, error)
        except (StorageUnavailable, StorageMisconfigured, ConcurrentUpdate) as error:
            return self._not_recorded(claimed.run.id, error)

    def _hand_over(self, claimed: ClaimedRun) -> Result | Acceptance:
        type = claimed.destination
        if type in self._others and not claimed.claim.resumed:
            # Its tags were changed since it was enrolled: it is for the instance that serves its provider now.
            return self._submissions.released(claimed.claim, wait=timedelta(0))
        try:
            type = type or claimed.run.destination(self._policy.default_provider)
            provider, submission = self._made_ready(claimed, type)
            held = self._through_all_steps(claimed.claim, provider, submission)
            return Acceptance(claimed.claim, type, held.id)
        except (InvalidRequest, Rejected) as error:
            return self._submissions.rejected(claimed, type, str(error))
        except LeaseLost as error:
            # Whoever has a lease, this daemon again or another, goes on.
            log_event(_log, logging.WARNING, "submit.lease_ending", run_id=claimed.run.id, reason=error)
            return self._submissions.released(claimed.claim, wait=timedelta(0))
        except NotSent as error:
            return self._submissions.held_back(claimed.claim, type or self._policy.default_provider, error)
        except NotNow as error:
            return self._submissions.deferred(claimed, error)
        except Unprovable as error:
            return self._submissions.in_review(claimed, str(error))
        except OutcomeUnknown as error:
            return self._submissions.unresolved(claimed, str(error))
        except Misconfigured as error:
            return self._submissions.blocked(claimed.claim, type, error)

    def _made_ready(self, claimed: ClaimedRun, type: ProviderType) -> tuple[WorkflowProvider, Submission]:
        """Everything that is needed for the call.

        What an earlier call may have started is not undone by a row or a configuration that has become wrong since:
        it stays in doubt until somebody mends that.
        """
        try:
            return self._providers.provider(type), self._submission(claimed)
        except (InvalidRequest, Rejected) as error:
            if not claimed.claim.resumed:
                raise
            raise OutcomeUnknown(f"{type} may have the run already, but it cannot be asked: {error}") from error

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
            claimed_since=claimed.claimed_since,
        )

    def _attachments(self, run_id: RunId) -> Sequence[Attachment]:
        with self._units() as work:
            return work.runs.attachments(run_id)

    def _through_all_steps(self, claim: Claim, provider: WorkflowProvider, submission: Submission) -> Accepted:
        self._daemon_session.require_trust()
        fault_points.reached("submit.before_call")
        answer = provider.submit(submission)
        fault_points.reached("submit.after_answer")
        if isinstance(answer, Accepted):
            return answer
        prepared = answer.id
        self._submissions.prepared(claim, prepared)
        self._daemon_session.require_trust()
        fault_points.reached("start.before_call")
        answer = provider.submit(replace(submission, prepared_id=prepared))
        fault_points.reached("start.after_answer")
        if isinstance(answer, Accepted):
            return answer
        raise OutcomeUnknown(f"the provider prepared the run as {answer.id} instead of starting {prepared}")


def _all_but(serving: Collection[ProviderType], default: ProviderType) -> frozenset[ProviderType | None]:
    """What an instance leaves to others; runs whose provider cannot be told go with the default one."""
    others: set[ProviderType | None] = {type for type in ProviderType if type not in serving}
    return frozenset(others if default in serving else {*others, None})
