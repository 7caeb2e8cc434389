"""Polls the providers for the status of accepted runs and records what has changed."""

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import NoReturn

from wes_daemon.application.following.refresh_policy import RefreshPolicy
from wes_daemon.application.following.status_recorder import PollOutcome, StatusRecorder
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    CircuitOpen,
    Misconfigured,
    NotNow,
    NotSent,
    ProviderError,
    Rejected,
    Throttled,
)
from wes_daemon.application.ports.polls import DuePoll, PollResult
from wes_daemon.application.ports.providers import ProviderDirectory, WorkflowProvider
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderRunId, ProviderType, StatusReport
from wes_daemon.domain.states import RunState

_log = logging.getLogger(__name__)

_CLOCK_MARGIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshReport:
    """The outcome of one pass.

    Attributes:
        outcomes: how many polls had each outcome.
        blocked: providers that could not be polled until a person acts.
    """

    outcomes: Mapping[PollOutcome, int] = field(default_factory=dict)
    blocked: Collection[ProviderType] = frozenset()

    @property
    def polled(self) -> int:
        """The number of runs that were due."""
        return sum(self.outcomes.values())


@dataclass(slots=True, kw_only=True)
class _Pass:
    """The state of one pass.

    Attributes:
        serving: providers that are still polled in this pass.
        sweeping: providers whose status request covers all active runs at no further cost.
    """

    ahead: timedelta
    started: datetime
    serving: frozenset[ProviderType]
    sweeping: set[ProviderType] = field(default_factory=set)
    blocked: set[ProviderType] = field(default_factory=set)
    outcomes: Counter[PollOutcome] = field(default_factory=Counter)


class RefreshStatuses:
    """One pass over the runs that are due, page by page; one request covers many runs, and only changes are written."""

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        providers: ProviderDirectory,
        status_recorder: StatusRecorder,
        clock: Clock,
        pool: Executor,
        stop: StopSignal,
        policy: RefreshPolicy,
        serving: Collection[ProviderType] | None = None,
    ) -> None:
        self._units = units
        self._providers = providers
        self._status_recorder = status_recorder
        self._clock = clock
        self._pool = pool
        self._stop = stop
        self._policy = policy
        self._serving = frozenset(providers.enabled if serving is None else serving)
        self._paused_until: dict[ProviderType, timedelta] = {}
        self._log_throttle = LogThrottle(clock, every=timedelta(minutes=1))
        self._unknown_statuses = LogThrottle(clock, every=timedelta.max)

    def __call__(self, *, ahead: timedelta = timedelta(0)) -> RefreshReport:
        """Poll every run that is due within `ahead` once; one page of runs is in memory at a time."""
        one_pass = _Pass(ahead=ahead, started=self._clock.now(), serving=self._serving - self._paused())
        while not self._stop.is_raised:
            due = self._lease_due(one_pass)
            if not due:
                break
            for type, polls in _by_provider(due).items():
                one_pass.outcomes.update(self._poll(type, polls, one_pass))
        return RefreshReport(outcomes=dict(one_pass.outcomes), blocked=frozenset(one_pass.blocked))

    def _lease_due(self, one_pass: _Pass) -> Sequence[DuePoll]:
        due = self._leased(one_pass, limit=self._policy.page, ahead=one_pass.ahead, serving=one_pass.serving)
        early = chain.from_iterable(
            self._leased(one_pass, limit=room, ahead=self._policy.interval / 2, serving={type})
            for type, room in self._free_places(one_pass, due).items()
        )
        return [*due, *early]

    def _leased(
        self, one_pass: _Pass, *, limit: int, ahead: timedelta, serving: Collection[ProviderType]
    ) -> Sequence[DuePoll]:
        elapsed = self._clock.now() - one_pass.started
        with self._units() as work:
            due = work.polls.lease_due(
                limit=limit,
                ahead=ahead,
                lease=self._policy.lease,
                # The store reads its clock a little later than this process: the first page must still count as leased.
                not_leased_for=elapsed + min(_CLOCK_MARGIN, self._policy.interval / 2),
                serving=serving,
                next_poll=self._policy.next_poll,
            )
            work.commit()
        return due

    def _free_places(self, one_pass: _Pass, due: Sequence[DuePoll]) -> Mapping[ProviderType, int]:
        """Return how many runs that are due soon can be polled with those that are due, without a further request."""
        counts = Counter(poll.provider for poll in due)
        places = {type: self._places(one_pass, type, counts[type]) for type in {*counts, *one_pass.sweeping}}
        return {type: free for type, free in places.items() if free > 0 and type in one_pass.serving}

    def _places(self, one_pass: _Pass, type: ProviderType, count: int) -> int:
        try:
            limits = self._providers.provider(type).limits
        except ProviderError:
            return 0
        if limits.sweeps_from is not None and count >= limits.sweeps_from:
            one_pass.sweeping.add(type)
        free_in_page = self._policy.page - count
        if type in one_pass.sweeping:
            return free_in_page
        return min(-count % limits.status_batch, free_in_page) if limits.fills_batches else 0

    def _poll(self, type: ProviderType, polls: Sequence[DuePoll], one_pass: _Pass) -> Counter[PollOutcome]:
        try:
            provider = self._providers.provider(type)
            reports = guarded(lambda: _statuses(provider, polls), otherwise=_as_not_now, during="refresh", of=type)
        except CircuitOpen as error:
            return self._defer_for_circuit(type, polls, error, one_pass)
        except ProviderError as error:
            return self._defer(type, polls, error, one_pass)
        self._log_unknown_statuses(type, reports.values())
        unchanged = [poll for poll in polls if _is_unchanged(poll, reports)]
        self._record_unchanged([poll for poll in unchanged if self._must_be_written(poll, one_pass)])
        changed = [poll for poll in polls if not _is_unchanged(poll, reports)]
        examined = list(self._pool.map(lambda poll: self._examine(provider, poll, reports), changed))
        outcomes = [each for each in examined if isinstance(each, PollOutcome)]
        recorded = self._status_recorder.record([each for each in examined if isinstance(each, PollResult)])
        return Counter(_unchanged_outcome(poll, reports) for poll in unchanged) + Counter([*outcomes, *recorded])

    def _examine(
        self, provider: WorkflowProvider, poll: DuePoll, reports: Mapping[ProviderRunId, StatusReport]
    ) -> PollOutcome | PollResult:
        if poll.known_state.has_ended:
            return self._status_recorder.examine_ended(provider, poll)
        return self._status_recorder.examine(provider, poll, reports.get(poll.provider_run_id))

    def _must_be_written(self, poll: DuePoll, one_pass: _Pass) -> bool:
        """Whether an unchanged run is written: it was missing, or its lease may outlast the time to its next poll."""
        lease_is_longer = self._policy.next_poll(poll) < self._policy.lease or one_pass.ahead > timedelta(0)
        return lease_is_longer or poll.missing_for is not None

    def _record_unchanged(self, polls: Sequence[DuePoll]) -> None:
        if polls:
            with self._units() as work:
                work.polls.record_unchanged(polls, next_poll=self._policy.next_poll)
                work.commit()

    def _defer_for_circuit(
        self, type: ProviderType, polls: Sequence[DuePoll], error: CircuitOpen, one_pass: _Pass
    ) -> Counter[PollOutcome]:
        """Defer runs for which nothing was sent; the circuit breaker has logged the reason."""
        delay = error.retry_after or self._policy.retry_delay
        self._pause(type, delay, one_pass)
        with self._units() as work:
            work.polls.defer(polls, delay=delay)
            work.polls.reset_missing(type)
            work.commit()
        return Counter([PollOutcome.DEFERRED] * len(polls))

    def _pause(self, type: ProviderType, delay: timedelta, one_pass: _Pass) -> None:
        """Poll this provider only after `delay`, because every further page would fail in the same way."""
        one_pass.serving -= {type}
        self._paused_until[type] = self._clock.monotonic() + delay

    def _paused(self) -> frozenset[ProviderType]:
        now = self._clock.monotonic()
        return frozenset(type for type, until in self._paused_until.items() if now < until)

    def _defer(
        self, type: ProviderType, polls: Sequence[DuePoll], error: ProviderError, one_pass: _Pass
    ) -> Counter[PollOutcome]:
        """Leave the runs as they are and poll them later: a failed request says nothing about them."""
        if isinstance(error, (Misconfigured, Rejected)):
            one_pass.blocked.add(type)
            one_pass.serving -= {type}
        if self._log_throttle.allows(type):
            log_event(_log, logging.ERROR, "refresh.cannot_ask", provider=type, runs=len(polls), reason=error)
        requested = error.retry_after if isinstance(error, NotNow) else None
        delay = max(self._policy.retry_delay, requested or timedelta(0))
        if requested is not None or isinstance(error, (NotSent, Throttled)):
            self._pause(type, delay, one_pass)
        with self._units() as work:
            work.polls.defer(polls, delay=delay)
            work.commit()
        return Counter([PollOutcome.DEFERRED] * len(polls))

    def _log_unknown_statuses(self, type: ProviderType, reports: Collection[StatusReport]) -> None:
        for status in {report.provider_status for report in reports if report.state is RunState.UNKNOWN}:
            if self._unknown_statuses.allows(f"{type} {status}"):
                log_event(_log, logging.WARNING, "refresh.unknown_status", provider=type, status=status)


def _by_provider(polls: Sequence[DuePoll]) -> Mapping[ProviderType, Sequence[DuePoll]]:
    groups: dict[ProviderType, list[DuePoll]] = defaultdict(list)
    for poll in polls:
        groups[poll.provider].append(poll)
    return groups


def _statuses(provider: WorkflowProvider, polls: Sequence[DuePoll]) -> Mapping[ProviderRunId, StatusReport]:
    """Request the status of the runs that are not known to have ended."""
    ids = [poll.provider_run_id for poll in polls if not poll.known_state.has_ended]
    return provider.statuses(ids) if ids else {}


def _as_not_now(error: Exception) -> NoReturn:
    raise NotNow(f"a bug stopped the request: {error}") from error


def _unchanged_outcome(poll: DuePoll, reports: Mapping[ProviderRunId, StatusReport]) -> PollOutcome:
    is_unreadable = reports[poll.provider_run_id].state is RunState.UNKNOWN
    return PollOutcome.UNKNOWN if is_unreadable else PollOutcome.UNCHANGED


def _is_unchanged(poll: DuePoll, reports: Mapping[ProviderRunId, StatusReport]) -> bool:
    report = reports.get(poll.provider_run_id)
    if report is None:
        return False
    return report.state is RunState.UNKNOWN or (report.state, report.provider_status) == (
        poll.known_state,
        poll.known_status,
    )
