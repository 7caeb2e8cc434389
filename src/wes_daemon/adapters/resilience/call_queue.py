"""The call queue: decides which thread of this process makes the next call of an operation, within a shared quota.

**Shared and local quota.** All replicas share one quota, which is a row in the database. This process requests calls
from it in advance and keeps the grant as its `LocalQuota` for `Rate.grant_lifetime` (see `quotas`). As long as the
local quota has a call for a thread, the thread does not need the database.

**Requests.** A thread for which the local quota has no call requests a grant for the whole process; the other threads
wait for the answer. The process requests as many calls as threads wait, or as many as it is likely to make during the
lifetime of the grant if that is more. While the shared quota is empty, it requests at most once a second for urgent
calls and once a second for routine calls, and then expects only the calls of that second.

**Order.** Of the waiting threads the one with the highest `CallPriority` calls first, however long the others have
waited. Every tenth call reverses the order, so that the lowest priority is never starved. Calls follow each other at
the interval of the present pace, after at most `Rate.burst` calls at once.

**Without the database.** If the database is unavailable, or does not answer within a second, the process makes the
calls of its local quota and then calls at a tenth of the pace: ten such processes together stay within the rate.
It requests again after five seconds.

**Reports of the service.** A block (`block`), a throttling (`slow_down`) and the calls that are left at the service
(`observe_remaining`, with the next request) reach the shared quota; other processes learn of them with their next
grant. Each process applies a lower rate (`limit_rate`) when the service reports it to this process.
"""

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from enum import Enum, auto
from functools import partial
from typing import TypeVar

from wes_daemon.adapters.resilience.call_priority import CallPriority, Urgency, current_priority
from wes_daemon.adapters.resilience.quotas import (
    Grant,
    GrantRequests,
    LocalQuota,
    QuotaRequest,
    block_quota,
    grant_calls,
    slow_quota,
)
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import StorageMisconfigured, StorageUnavailable
from wes_daemon.application.ports.quotas import QuotaChange, SharedQuotas
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.plugins.rates import Rate

_log = logging.getLogger(__name__)

T = TypeVar("T")

_NOTHING = timedelta(0)
# Applies while the shared quota is empty: more frequent requests would load the database and gain nothing.
_BETWEEN_REQUESTS = timedelta(seconds=1)
# A thread that is ahead in the queue may give up, so no thread sleeps for its whole wait at once.
_LONGEST_SLEEP = timedelta(seconds=0.5)
_LONGEST_WAIT_FOR_CHANGE = timedelta(seconds=0.05)
_SLOWER_WITHOUT_DATABASE = 10
_CALLS_PER_REVERSED_ORDER = 10


class _Step(Enum):
    """What a waiting thread does next."""

    CALL = auto()
    REQUEST_GRANT = auto()
    WAIT_FOR_CHANGE = auto()
    """Another thread is about to call or to receive a grant."""
    SLEEP = auto()


class CallQueue:
    """Lets the threads of this process make calls that share one quota. Thread-safe.

    Args:
        name: the name of the shared quota, which all replicas use; contains no secret.
    """

    def __init__(
        self, name: str, rate: Rate, *, quotas: SharedQuotas, clock: Clock, sleep: Callable[[timedelta], None]
    ) -> None:
        self._name = name
        self._configured_rate = rate
        self._rate = rate
        self._quotas = quotas
        self._clock = clock
        self._sleep = sleep
        self._calls_per_second = rate.calls_per_second
        self._local = LocalQuota()
        self._requests = GrantRequests()
        self._remaining: tuple[int, timedelta] | None = None
        self._waiting: Counter[CallPriority] = Counter()
        self._calls_made = 0
        self._next_call_at = _NOTHING
        self._next_call_without_database_at = _NOTHING
        self._blocked_until = _NOTHING
        self._changed = threading.Condition()

    def acquire(self, longest_wait: timedelta, *, blocked_for: Callable[[], timedelta]) -> timedelta | None:
        """Wait until this thread may call and return None. Return the expected wait if it would exceed `longest_wait`.

        Args:
            blocked_for: returns for how long the service permits no call, even if the quota is not empty.
        """
        priority = current_priority()
        deadline = self._clock.monotonic() + longest_wait
        with self._queued(priority):
            while True:
                with self._changed:
                    self._extend_block(blocked_for())
                    step, wait = self._next_step(priority)
                    if step is _Step.CALL:
                        self._count_call(priority)
                        return None
                    if step is not _Step.REQUEST_GRANT and self._clock.monotonic() + wait > deadline:
                        return wait
                    if step is _Step.WAIT_FOR_CHANGE:
                        self._changed.wait(_LONGEST_WAIT_FOR_CHANGE.total_seconds())
                if step is _Step.REQUEST_GRANT:
                    self._request_grant()
                if step is _Step.SLEEP:
                    self._sleep(min(wait, _LONGEST_SLEEP))

    def block(self, duration: timedelta) -> None:
        """Permit no call for `duration`, in any process."""
        with self._changed:
            self._extend_block(duration)
        self._apply(partial(block_quota, rate=self._rate, duration=duration))

    @property
    def blocked_for(self) -> timedelta:
        """For how long no call is permitted, in any process; negative or zero if calls are."""
        with self._changed:
            return self._blocked_until - self._clock.monotonic()

    def slow_down(self) -> None:
        """Reduce the pace in all processes, because the service throttled a call."""
        shared = self._apply(partial(slow_quota, rate=self._rate))
        calls_per_second = shared or slow_quota(None, self._clock.now(), rate=self._rate)[1]
        with self._changed:
            is_slower = calls_per_second < self._calls_per_second
            self._local, self._calls_per_second = LocalQuota(), calls_per_second
        if is_slower:
            log_event(_log, logging.INFO, "quota.slowed", quota=self._name, per_second=f"{calls_per_second:.3g}")

    def limit_rate(self, rate: Rate) -> None:
        """Use the rate that the service reports if it is lower than the configured rate."""
        lower = min(self._configured_rate, rate, key=lambda rate: rate.calls_per_second)
        with self._changed:
            self._rate = replace(self._configured_rate, calls=lower.calls, per=lower.per)

    def observe_remaining(self, calls: int, *, until: timedelta) -> None:
        """Make at most `calls` calls until the monotonic time `until`: the service has no more for all its callers."""
        with self._changed:
            self._local.limit_to(calls)
            before = self._remaining_at_service(self._clock.monotonic())
            self._remaining = (calls if before is None else min(before, calls), until)

    def _next_step(self, priority: CallPriority) -> tuple[_Step, timedelta]:
        """Return the next step of a thread, and how long the thread is expected to wait for its call."""
        now = self._clock.monotonic()
        if self._blocked_until > now:
            return _Step.SLEEP, self._blocked_until - now
        if self._local.expires_at <= now:
            self._local = LocalQuota()
        if self._local.available(priority.urgency):
            return self._step_with_local_quota(priority, now)
        if self._requests.is_awaited(now):
            return _Step.WAIT_FOR_CHANGE, self._interval
        if self._requests.is_due(priority.urgency, now):
            self._requests.start(now)
            return _Step.REQUEST_GRANT, _NOTHING
        if self._requests.is_unanswered(now):
            return self._step_without_database(priority, now)
        return self._step_with_empty_quota(priority, now)

    def _step_with_local_quota(self, priority: CallPriority, now: timedelta) -> tuple[_Step, timedelta]:
        ahead = self._callers_ahead_of(priority)
        wait = self._next_call_at - self._interval * (self._rate.burst - 1) - now
        if wait > _NOTHING:
            return _Step.SLEEP, wait + ahead * self._interval
        if ahead:
            return _Step.WAIT_FOR_CHANGE, ahead * self._interval
        return _Step.CALL, _NOTHING

    def _step_without_database(self, priority: CallPriority, now: timedelta) -> tuple[_Step, timedelta]:
        ahead = sum(self._waiting[other] for other in CallPriority if other < priority)
        wait = self._next_call_without_database_at + ahead * self._interval * _SLOWER_WITHOUT_DATABASE - now
        return (_Step.SLEEP, wait) if wait > _NOTHING else (_Step.CALL, _NOTHING)

    def _step_with_empty_quota(self, priority: CallPriority, now: timedelta) -> tuple[_Step, timedelta]:
        others = sum(self._waiting[other] for other in CallPriority if other <= priority) - 1
        return _Step.SLEEP, self._requests.next_at[priority.urgency] - now + others * self._interval

    def _callers_ahead_of(self, priority: CallPriority) -> int:
        """Count the waiting threads that call before this one and for which the local quota has a call."""
        is_reversed = (self._calls_made + 1) % _CALLS_PER_REVERSED_ORDER == 0
        order = list(reversed(CallPriority)) if is_reversed else list(CallPriority)
        ahead = order[: order.index(priority)]
        return sum(self._waiting[other] for other in ahead if self._local.available(other.urgency))

    def _count_call(self, priority: CallPriority) -> None:
        now = self._clock.monotonic()
        if self._local.available(priority.urgency):
            self._local.spend(priority.urgency)
        self._requests.count_call(priority.urgency)
        self._calls_made += 1
        self._next_call_at = max(self._next_call_at, now) + self._interval
        self._next_call_without_database_at = now + self._interval * _SLOWER_WITHOUT_DATABASE

    def _request_grant(self) -> None:
        grant: Grant | None = None
        with self._changed:
            requested_at, rate, unspent = self._clock.monotonic(), self._rate, self._local
            request, self._local = self._make_request(requested_at, unspent), LocalQuota()
        try:
            grant = self._apply(partial(grant_calls, rate=rate, request=request))
        finally:
            with self._changed:
                if grant is None:
                    self._local = unspent
                    self._requests.fail(self._clock.monotonic())
                else:
                    self._receive(grant, expires_at=requested_at + rate.grant_lifetime)
                self._changed.notify_all()

    def _make_request(self, now: timedelta, unspent: LocalQuota) -> QuotaRequest:
        return QuotaRequest(
            urgent=self._calls_to_request(Urgency.URGENT, now),
            routine=self._calls_to_request(Urgency.ROUTINE, now),
            returned=unspent.unrestricted + unspent.urgent_only,
            returned_routine=unspent.routine_only,
            at_most=self._remaining_at_service(now),
        )

    def _calls_to_request(self, urgency: Urgency, now: timedelta) -> int:
        waiting = sum(count for priority, count in self._waiting.items() if priority.urgency is urgency)
        expected = self._requests.expected_calls(urgency, now=now, period=self._rate.grant_lifetime)
        if self._requests.is_scarce[urgency]:
            # A process that requests the calls of several seconds would leave none to other processes.
            expected = min(expected, math.ceil(self._between_requests / self._interval))
        return max(waiting, expected)

    def _receive(self, grant: Grant, *, expires_at: timedelta) -> None:
        self._local = LocalQuota(
            unrestricted=grant.unrestricted,
            urgent_only=grant.urgent_only,
            routine_only=grant.routine_only,
            expires_at=expires_at,
        )
        self._remaining = None
        self._calls_per_second = grant.calls_per_second
        self._extend_block(grant.blocked_for)
        self._requests.succeed(grant, self._clock.monotonic(), between_requests=self._between_requests)

    def _apply(self, change: QuotaChange[T]) -> T | None:
        """Change the shared quota. Return None while the database is unavailable; the outage is reported elsewhere."""
        try:
            return self._quotas.apply(self._name, change)
        except (StorageUnavailable, StorageMisconfigured):
            return None

    def _extend_block(self, duration: timedelta) -> None:
        self._blocked_until = max(self._blocked_until, self._clock.monotonic() + duration)

    def _remaining_at_service(self, now: timedelta) -> int | None:
        return self._remaining[0] if self._remaining and now < self._remaining[1] else None

    @property
    def _between_requests(self) -> timedelta:
        # The shared quota must not be full before the next request.
        return min(_BETWEEN_REQUESTS, timedelta(seconds=self._rate.capacity / self._rate.calls_per_second / 2))

    @property
    def _interval(self) -> timedelta:
        return timedelta(seconds=1 / self._calls_per_second)

    @contextmanager
    def _queued(self, priority: CallPriority) -> Iterator[None]:
        with self._changed:
            self._waiting[priority] += 1
        try:
            yield
        finally:
            with self._changed:
                self._waiting[priority] -= 1
                self._changed.notify_all()
