"""Finished runs out: ask the providers what became of their runs and write down what has changed."""

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import NoReturn

from wes_daemon.application.following.status_recorder import Finding, PollResult, RefreshPolicy, StatusRecorder
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
from wes_daemon.application.ports.polls import DuePoll
from wes_daemon.application.ports.providers import ProviderDirectory, StatusReport, WorkflowProvider
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.runtime import fault_points
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderRunId, ProviderType
from wes_daemon.domain.states import RunState

_log = logging.getLogger(__name__)

_A_MOMENT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshReport:
    """What one pass found.

    Attributes:
        blocked: providers that could not be asked at all; a person has to act.
    """

    findings: Mapping[Finding, int] = field(default_factory=dict)
    blocked: Collection[ProviderType] = frozenset()

    @property
    def looked_at(self) -> int:
        """Runs that were due."""
        return sum(self.findings.values())


@dataclass(slots=True, kw_only=True)
class _Pass:
    """How far one pass has come, whom it asks no more, and for all of whose runs it asks at once."""

    ahead: timedelta
    started: datetime
    excluded: frozenset[ProviderType]
    sweeping: set[ProviderType] = field(default_factory=set)
    blocked: set[ProviderType] = field(default_factory=set)
    findings: Counter[Finding] = field(default_factory=Counter)


class RefreshStatuses:
    """One pass over the runs that are due, in pages: many are asked for in one call, only what changed is written."""

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        providers: ProviderDirectory,
        tracker: StatusRecorder,
        clock: Clock,
        pool: Executor,
        stop: StopSignal,
        policy: RefreshPolicy,
        serving: Collection[ProviderType] = frozenset(ProviderType),
    ) -> None:
        self._units = units
        self._providers = providers
        self._tracker = tracker
        self._clock = clock
        self._pool = pool
        self._stop = stop
        self._policy = policy
        self._others = frozenset(ProviderType) - frozenset(serving)
        self._resting: dict[ProviderType, timedelta] = {}
        self._complaints = LogThrottle(clock, every=timedelta(minutes=1))
        self._new_words = LogThrottle(clock, every=timedelta.max)

    def __call__(self, *, ahead: timedelta = timedelta(0)) -> RefreshReport:
        """Look once at every run that is due within `ahead`; of many, a page is in memory at a time."""
        one_pass = _Pass(ahead=ahead, started=self._clock.now(), excluded=self._others | self._still_resting())
        while not self._stop.is_raised:
            due = self._take_due(one_pass)
            if not due:
                break
            for type, polls in _by_provider(due).items():
                one_pass.findings.update(self._look_at(type, polls, one_pass))
        return RefreshReport(findings=dict(one_pass.findings), blocked=frozenset(one_pass.blocked))

    def _take_due(self, one_pass: _Pass) -> Sequence[DuePoll]:
        due = self._taken(one_pass, limit=self._policy.page, ahead=one_pass.ahead, excluding=one_pass.excluded)
        along = chain.from_iterable(
            self._taken(
                one_pass, limit=room, ahead=self._policy.interval / 2, excluding=frozenset(ProviderType) - {type}
            )
            for type, room in self._rooms(one_pass, due).items()
        )
        if taken := [*due, *along]:
            fault_points.reached("refresh.after_taking")
        return taken

    def _taken(
        self, one_pass: _Pass, *, limit: int, ahead: timedelta, excluding: Collection[ProviderType]
    ) -> Sequence[DuePoll]:
        elapsed = self._clock.now() - one_pass.started
        with self._units() as work:
            due = work.polls.take_due(
                limit=limit,
                ahead=ahead,
                hold=self._policy.hold,
                # The store's clock is asked a little later than ours: what was taken first must still count as taken.
                untouched_for=elapsed + min(_A_MOMENT, self._policy.interval / 2),
                excluding=excluding,
                again_after=self._policy.wait,
            )
            work.commit()
        return due

    def _rooms(self, one_pass: _Pass, due: Sequence[DuePoll]) -> Mapping[ProviderType, int]:
        """How many runs whose turn comes soon can be asked for beside those that are due, at no further call."""
        counts = Counter(poll.provider for poll in due)
        rooms = {type: self._room(one_pass, type, counts[type]) for type in {*counts, *one_pass.sweeping}}
        return {type: room for type, room in rooms.items() if room > 0 and type not in one_pass.excluded}

    def _room(self, one_pass: _Pass, type: ProviderType, count: int) -> int:
        try:
            limits = self._providers.provider(type).limits
        except ProviderError:
            return 0
        if limits.sweeps_from is not None and count >= limits.sweeps_from:
            one_pass.sweeping.add(type)
        room_in_page = self._policy.page - count
        if type in one_pass.sweeping:
            return room_in_page
        return min(-count % limits.status_batch, room_in_page) if limits.fills_batches else 0

    def _look_at(self, type: ProviderType, polls: Sequence[DuePoll], one_pass: _Pass) -> Counter[Finding]:
        try:
            provider = self._providers.provider(type)
            reports = guarded(lambda: _ask(provider, polls), otherwise=_as_passing, during="refresh", of=type)
        except CircuitOpen as error:
            return self._let_rest(type, polls, error, one_pass)
        except ProviderError as error:
            return self._put_off(type, polls, error, one_pass)
        fault_points.reached("refresh.after_answer")
        self._note_new_words(type, reports.values())
        quiet = [poll for poll in polls if _is_quiet(poll, reports)]
        self._write_checked([poll for poll in quiet if self._is_to_be_written(poll, one_pass)])
        loud = [poll for poll in polls if not _is_quiet(poll, reports)]
        looks = list(self._pool.map(lambda poll: self._look(provider, poll, reports), loud))
        findings = [found for found in looks if isinstance(found, Finding)]
        recorded = self._tracker.record([found for found in looks if isinstance(found, PollResult)])
        return Counter(_kind_of_quiet(poll, reports) for poll in quiet) + Counter([*findings, *recorded])

    def _look(
        self, provider: WorkflowProvider, poll: DuePoll, reports: Mapping[ProviderRunId, StatusReport]
    ) -> Finding | PollResult:
        if poll.known_state.has_ended:
            return self._tracker.finish(provider, poll)
        return self._tracker.look(provider, poll, reports.get(poll.provider_run_id))

    def _is_to_be_written(self, poll: DuePoll, one_pass: _Pass) -> bool:
        """Whether it is to be told of a quiet run: its next look was set when it was taken, as far as that goes."""
        is_held_too_long = self._policy.wait(poll) < self._policy.hold or one_pass.ahead > timedelta(0)
        return is_held_too_long or poll.missing_for is not None

    def _write_checked(self, polls: Sequence[DuePoll]) -> None:
        if polls:
            with self._units() as work:
                work.polls.checked(polls, again_after=self._policy.wait)
                work.commit()

    def _let_rest(
        self, type: ProviderType, polls: Sequence[DuePoll], error: CircuitOpen, one_pass: _Pass
    ) -> Counter[Finding]:
        """Nobody was asked, which was said when the circuit opened; what was missing is counted anew from then on."""
        wait = error.retry_after or self._policy.soon
        self._rest(type, wait, one_pass)
        with self._units() as work:
            work.polls.put_off(polls, wait=wait)
            work.polls.reset_missing(type)
            work.commit()
        return Counter([Finding.PUT_OFF] * len(polls))

    def _rest(self, type: ProviderType, wait: timedelta, one_pass: _Pass) -> None:
        """Every further page would meet the same: the longest due go first when the time has come."""
        one_pass.excluded |= {type}
        self._resting[type] = self._clock.monotonic() + wait

    def _still_resting(self) -> frozenset[ProviderType]:
        now = self._clock.monotonic()
        return frozenset(type for type, until in self._resting.items() if now < until)

    def _put_off(
        self, type: ProviderType, polls: Sequence[DuePoll], error: ProviderError, one_pass: _Pass
    ) -> Counter[Finding]:
        """No news is not bad news: the runs stay as they are and are asked for later."""
        if isinstance(error, (Misconfigured, Rejected)):
            one_pass.blocked.add(type)
            one_pass.excluded |= {type}
        if self._complaints.allows(type):
            log_event(_log, logging.ERROR, "refresh.cannot_ask", provider=type, runs=len(polls), reason=error)
        asked = error.retry_after if isinstance(error, NotNow) else None
        wait = max(self._policy.soon, asked or timedelta(0))
        if asked is not None or isinstance(error, (NotSent, Throttled)):
            self._rest(type, wait, one_pass)
        with self._units() as work:
            work.polls.put_off(polls, wait=wait)
            work.commit()
        return Counter([Finding.PUT_OFF] * len(polls))

    def _note_new_words(self, type: ProviderType, reports: Collection[StatusReport]) -> None:
        for word in {report.provider_status for report in reports if report.state is RunState.UNKNOWN}:
            if self._new_words.allows(f"{type} {word}"):
                log_event(_log, logging.WARNING, "refresh.unknown_status", provider=type, status=word)


def _by_provider(polls: Sequence[DuePoll]) -> Mapping[ProviderType, Sequence[DuePoll]]:
    groups: dict[ProviderType, list[DuePoll]] = defaultdict(list)
    for poll in polls:
        groups[poll.provider].append(poll)
    return groups


def _ask(provider: WorkflowProvider, polls: Sequence[DuePoll]) -> Mapping[ProviderRunId, StatusReport]:
    """What the provider says of the runs that have not ended yet."""
    ids = [poll.provider_run_id for poll in polls if not poll.known_state.has_ended]
    return provider.statuses(ids) if ids else {}


def _as_passing(error: Exception) -> NoReturn:
    raise NotNow(f"a bug stopped the question: {error}") from error


def _kind_of_quiet(poll: DuePoll, reports: Mapping[ProviderRunId, StatusReport]) -> Finding:
    unread = reports[poll.provider_run_id].state is RunState.UNKNOWN
    return Finding.UNKNOWN if unread else Finding.UNCHANGED


def _is_quiet(poll: DuePoll, reports: Mapping[ProviderRunId, StatusReport]) -> bool:
    report = reports.get(poll.provider_run_id)
    if report is None:
        return False
    return report.state is RunState.UNKNOWN or (report.state, report.provider_status) == (
        poll.known_state,
        poll.known_status,
    )
