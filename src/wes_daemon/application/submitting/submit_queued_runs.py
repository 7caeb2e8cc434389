"""The submission pass: enrol queued rows, claim runs, submit them in parallel, record the outcomes."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from queue import SimpleQueue

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import ConcurrentUpdate, LeaseLost, StorageRefused
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.providers import ProviderDirectory
from wes_daemon.application.ports.submissions import Acceptance, ClaimedRun, SubmissionQueue
from wes_daemon.application.ports.unit_of_work import UnitOfWork, UnitsOfWork
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.isolation import commit_isolated
from wes_daemon.application.runtime.recording import Recorder
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.application.submitting.outcomes import NOT_RECORDED, Outcome, OutcomeRecorder, SubmissionResult
from wes_daemon.application.submitting.submission_policy import SubmissionPolicy
from wes_daemon.application.submitting.submit_claimed_run import SubmitClaimedRun
from wes_daemon.domain.runs import ProviderType, RunId, RunSummary

_log = logging.getLogger(__name__)

# Each enrolment reads all queued rows, however many of them were enrolled before.
_ENROL_BATCH = 5_000
# More runs are claimed when this share of a batch is left, so that workers do not wait and one claim covers many runs.
_CLAIM_BELOW = 0.5
# Enrolment during a pass: at most once a second, and at most a twentieth of the time, but at least once a minute.
_ENROL_EVERY = timedelta(seconds=1)
_ENROL_PAUSE_FACTOR = 20
_LONGEST_ENROL_PAUSE = timedelta(minutes=1)

_RETRIED = (Outcome.DEFERRED, Outcome.RETURNED, Outcome.IN_DOUBT)

_Call = Future[SubmissionResult | Acceptance]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitReport:
    """What one pass did.

    Attributes:
        blocked: providers that turned out to be unusable. None of their runs was changed.
    """

    enrolled: int = 0
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    blocked: Collection[ProviderType] = frozenset()

    @property
    def accepted(self) -> int:
        """Runs that a provider accepted."""
        return self.outcomes.get(Outcome.ACCEPTED, 0)

    @property
    def rejected(self) -> int:
        """Runs that ended because they can never be submitted."""
        return self.outcomes.get(Outcome.REJECTED, 0)

    @property
    def to_retry(self) -> int:
        """Runs that are submitted again later, most of them soon."""
        return sum(self.outcomes.get(outcome, 0) for outcome in _RETRIED)


class _Pass:
    """The state of one pass.

    Attributes:
        blocked: unusable providers, and why. Calls add to it, so that runs claimed earlier are not sent there.
    """

    def __init__(self) -> None:
        self.blocked: dict[ProviderType, str] = {}
        self._outcomes: Counter[Outcome] = Counter()
        self._under_way: dict[_Call, ClaimedRun] = {}
        self._ended: SimpleQueue[_Call] = SimpleQueue()

    @property
    def under_way(self) -> Collection[RunId]:
        """The runs whose calls have not been recorded."""
        return [claimed.run.id for claimed in self._under_way.values()]

    @property
    def report(self) -> SubmitReport:
        """What the pass did so far."""
        return SubmitReport(outcomes=dict(self._outcomes), blocked=frozenset(self.blocked))

    def add(self, call: _Call, claimed: ClaimedRun) -> None:
        self._under_way[call] = claimed
        call.add_done_callback(self._ended.put)

    def next_ended(self) -> Sequence[tuple[_Call, ClaimedRun]]:
        """Wait until a call has ended, and return all calls that have ended."""
        calls = [self._ended.get()]
        while not self._ended.empty():
            calls.append(self._ended.get())
        return [(call, self._under_way.pop(call)) for call in calls]

    def count(self, results: Iterable[SubmissionResult]) -> None:
        self._outcomes.update(result.outcome for result in results)


class SubmitQueuedRuns:
    """One pass enrols new rows, then claims and submits runs until the limits or the queue permit no more.

    `serving` are the providers whose runs this instance submits. With one instance for each provider, a slow
    provider delays no other. Runs whose provider is unknown are submitted with those of the default provider.
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
        serving: Collection[ProviderType | None] | None = None,
    ) -> None:
        self._units = units
        self._recorder = recorder
        self._daemon_session = daemon_session
        self._clock = clock
        self._pool = pool
        self._stop = stop
        self._policy = policy
        self._serving = frozenset[ProviderType | None](providers.enabled if serving is None else serving)
        self._watching: SessionId | None = None
        if policy.default_provider in self._serving:
            self._serving |= {None}
        self._outcomes = OutcomeRecorder(recorder=recorder, clock=clock, policy=policy)
        self._submit_claimed_run = SubmitClaimedRun(
            outcomes=self._outcomes,
            units=units,
            providers=providers,
            daemon_session=daemon_session,
            clock=clock,
            stop=stop,
            policy=policy,
            serving=self._serving,
        )

    def __call__(self) -> SubmitReport:
        """Make one pass and return when all its calls have ended."""
        enrolled = self._enrol_all()
        return replace(self._submit_within(self._policy.concurrency_limit), enrolled=enrolled)

    def submit_announced(self) -> SubmitReport:
        """Make a pass after a queued run was announced: if there are queued rows, it enrols only these."""
        enrolled = self._enrol_queued()
        if not enrolled:
            return self()
        return replace(self._submit_within(self._policy.concurrency_limit), enrolled=enrolled)

    def enrol_queued(self) -> int:
        """Enrol queued rows and submit nothing; return their number."""
        return self._enrol_queued()

    def resolve_takeovers(self) -> SubmitReport:
        """Take over runs in doubt and claim no queued runs. This is cheap enough to be done often."""
        return self._submit_within(0)

    def _submit_within(self, concurrency_limit: int) -> SubmitReport:
        """Claim and submit until no more runs can be claimed; claim more when half a batch is left."""
        one_pass = _Pass()
        next_enrolment = self._clock.monotonic() + _ENROL_EVERY
        try:
            while not self._stop.is_raised:
                if len(one_pass.under_way) <= self._policy.batch * _CLAIM_BELOW:
                    if concurrency_limit and self._clock.monotonic() >= next_enrolment:
                        next_enrolment = self._enrol_during_pass()
                    for claimed in self._claim(concurrency_limit, one_pass):
                        one_pass.add(self._pool.submit(self._submit, claimed, one_pass), claimed)
                if not one_pass.under_way:
                    break
                one_pass.count(self._record(one_pass.next_ended()))
        finally:
            # Even after a failed claim, the answers of the calls under way are recorded.
            while one_pass.under_way:
                one_pass.count(self._record(one_pass.next_ended()))
        return one_pass.report

    def _submit(self, claimed: ClaimedRun, one_pass: _Pass) -> SubmissionResult | Acceptance:
        result = self._submit_claimed_run(claimed, blocked=one_pass.blocked)
        if isinstance(result, SubmissionResult) and result.unusable:
            one_pass.blocked[result.unusable] = result.reason
        return result

    def _record(self, ended: Sequence[tuple[_Call, ClaimedRun]]) -> Iterator[SubmissionResult]:
        """Record the acceptances first, in one transaction; return the results of all calls."""
        results = [(claimed, self._result_of(call, claimed)) for call, claimed in ended]
        accepted = [(claimed, result) for claimed, result in results if isinstance(result, Acceptance)]
        yield from self._record_acceptances(accepted) if accepted else ()
        yield from (result for _, result in results if isinstance(result, SubmissionResult))

    def _result_of(self, call: _Call, claimed: ClaimedRun) -> SubmissionResult | Acceptance:
        """The result of a call. After an unforeseen error the run is in doubt, and the other calls are recorded."""
        error = call.exception()
        if error is None:
            return call.result()
        _log.error("bug during=submit of=%s", claimed.run.id, exc_info=error)
        try:
            return self._outcomes.record_bug(claimed, error)
        except NOT_RECORDED as not_recorded:
            return self._outcomes.report_not_recorded(claimed.run.id, not_recorded)

    def _record_acceptances(self, accepted: Sequence[tuple[ClaimedRun, Acceptance]]) -> Sequence[SubmissionResult]:
        try:
            return guarded(
                lambda: self._outcomes.commit_acceptances([acceptance for _, acceptance in accepted]),
                # An unforeseen error of one run must not prevent the others from being recorded.
                otherwise=lambda _: [result for pair in accepted for result in self._record_alone(*pair)],
                during="record",
                of=f"{len(accepted)} runs",
            )
        except StorageRefused:
            return [result for pair in accepted for result in self._record_alone(*pair)]
        except NOT_RECORDED as error:
            return [self._outcomes.report_not_recorded(claimed.run.id, error) for claimed, _ in accepted]

    def _record_alone(self, claimed: ClaimedRun, acceptance: Acceptance) -> Sequence[SubmissionResult]:
        try:
            return guarded(
                lambda: self._outcomes.commit_acceptances([acceptance]),
                otherwise=lambda error: [self._outcomes.record_bug(claimed, error)],
                during="record",
                of=claimed.run.id,
            )
        except StorageRefused as error:
            return [self._outcomes.record_refused_acceptance(claimed, acceptance, error)]
        except ConcurrentUpdate as error:
            return [self._outcomes.report_not_recorded(claimed.run.id, error)]

    def _claim(self, concurrency_limit: int, one_pass: _Pass) -> Sequence[ClaimedRun]:
        """Claim runs; try twice, because the lease can expire while the claim waits for a lock."""
        self._daemon_session.renew_if_needed()
        for _ in range(2):
            try:
                return self._claim_as(self._daemon_session.id, concurrency_limit, one_pass)
            except LeaseLost as error:
                log_event(_log, logging.WARNING, "claim.too_late", reason=error)
                self._daemon_session.renew()
        return []

    def _claim_as(self, owner: SessionId, concurrency_limit: int, one_pass: _Pass) -> Sequence[ClaimedRun]:
        under_way = one_pass.under_way

        def claim(work: UnitOfWork) -> Sequence[ClaimedRun]:
            return work.submissions.claim(
                owner,
                limit=self._policy.batch - len(under_way),
                concurrency_limit=concurrency_limit,
                per_provider_limits=self._policy.per_provider_limits,
                serving=self._serving - frozenset(one_pass.blocked),
                destination=self._policy.destination,
                under_way=under_way,
            )

        claimed_runs, refused = commit_isolated(self._units, claim, settle=self._hold_back)
        claimed_since = self._clock.monotonic()
        self._recorder.note_refusals(refused, during="claim")
        return [replace(claimed, claimed_since=claimed_since) for claimed in claimed_runs]

    def _hold_back(self, work: UnitOfWork, refused: Mapping[RunId, StorageRefused]) -> None:
        """Let the runs wait whose intent cannot be recorded: they must not be sent."""
        for run_id, error in refused.items():
            wait = self._recorder.refusals.add(run_id, error, during="claim")
            work.submissions.hold_back(run_id, wait=wait, reason=f"its claim was refused: {error}")

    def _enrol_during_pass(self) -> timedelta:
        """Enrol runs queued since the pass began, so that in a long pass they get their fair share.

        Returns:
            When to enrol again, on the monotonic clock.
        """
        began = self._clock.monotonic()
        self._enrol_queued()
        ended = self._clock.monotonic()
        return ended + min(max(_ENROL_EVERY, (ended - began) * _ENROL_PAUSE_FACTOR), _LONGEST_ENROL_PAUSE)

    def _enrol_all(self) -> int:
        return self._enrol(
            lambda queue, waiting: queue.enrol(
                self._policy.destination, limit=_ENROL_BATCH, share=self._share, leaving_out=waiting
            )
        )

    def _enrol_queued(self) -> int:
        return self._enrol(
            lambda queue, waiting: queue.enrol_queued(
                self._policy.destination, limit=_ENROL_BATCH, share=self._share, leaving_out=waiting
            )
        )

    def _enrol(self, enrol_batch: Callable[[SubmissionQueue, Collection[RunId]], int]) -> int:
        """Enrol in batches. Runs whose enrolment was refused wait and are left out."""
        total = 0
        while not self._stop.is_raised:
            # The first session of a database inherits the runs of another daemon, which must not be enrolled as new.
            session = self._daemon_session.id
            waiting = self._recorder.refusals.waiting()
            batch = partial(self._enrol_batch, enrol_batch, session, waiting)
            (is_watched, enrolled), refused = commit_isolated(self._units, batch, settle=self._remember_refused)
            self._watching = session if is_watched else None
            self._recorder.note_refusals(refused, during="enrol")
            total += enrolled
            if enrolled + len(refused) < _ENROL_BATCH:
                break
        return total

    def _enrol_batch(
        self,
        enrol_batch: Callable[[SubmissionQueue, Collection[RunId]], int],
        session: SessionId,
        waiting: Collection[RunId],
        work: UnitOfWork,
    ) -> tuple[bool, int]:
        """Enrol a batch; return whether the queue is watched now, and how many runs were enrolled.

        The watch begins before the enrolment, or after it if there were rows that may be older.
        """
        is_watched = session == self._watching or work.submissions.watch()
        enrolled = enrol_batch(work.submissions, waiting)
        return is_watched or work.submissions.watch(), enrolled

    def _remember_refused(self, work: UnitOfWork, refused: Mapping[RunId, StorageRefused]) -> None:
        del work
        for run_id, error in refused.items():
            self._recorder.refusals.add(run_id, error, during="enrol")

    def _share(self, run: RunSummary) -> str:
        tag = self._policy.share_tag
        return str(run.tags.get(tag, "")) if tag and isinstance(run.tags, Mapping) else ""
