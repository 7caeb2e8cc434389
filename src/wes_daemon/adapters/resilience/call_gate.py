"""The call gates of the cloud providers: a rate limiter, and a check of the daemon's lease after it.

A client asks its gate before each request. A decorator could not limit the rate: one call of the port may need
several requests, and a service counts its own operations.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256

from wes_daemon.adapters.resilience.call_queue import CallQueue
from wes_daemon.adapters.resilience.rates import Rate, window_rate
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS, Allowance, CallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import LeaseLost, NotSent, Throttled
from wes_daemon.application.ports.quotas import SharedQuotas

_NOTHING = timedelta(0)
# Many answers name the same end of a block, some of them in whole seconds.
_SAME_BLOCK = timedelta(seconds=1)
# Source: docs.sevenbridges.com, "API rate limit"; the only service that reports a limit with its answers.
_REPORTED_WINDOW = timedelta(minutes=5)


class QuotaExhausted(Throttled, NotSent):
    """The quota permits no call within the longest wait. No request was sent, so this is no failure of the service."""


def account_name(service: str, *identity: str) -> str:
    """Name an account at a service, for the names of its quotas; `identity` may contain secrets, which are hashed."""
    return f"{service}:{sha256(chr(0).join(identity).encode()).hexdigest()[:16]}"


class RateLimiter:
    """A `CallGate` that keeps the rates of one account at one service, over all threads and replicas.

    Args:
        rates: by operation. Operations without a rate of their own share the rate of `ALL_OPERATIONS`; without that,
            only `block_until` delays them.
        account: identifies the account to all replicas, see `account_name`.
        longest_wait: a longer wait raises `QuotaExhausted` instead.
    """

    def __init__(
        self,
        rates: Mapping[str, Rate],
        *,
        quotas: SharedQuotas,
        account: str,
        clock: Clock,
        sleep: Callable[[timedelta], None],
        longest_wait: timedelta = timedelta(seconds=10),
    ) -> None:
        self._queues = {
            key: CallQueue(f"{account}:{key}", rate, quotas=quotas, clock=clock, sleep=sleep)
            for key, rate in rates.items()
        }
        self._clock = clock
        self._sleep = sleep
        self._longest_wait = longest_wait
        self._blocked_until: dict[str, timedelta] = {}
        self._lock = threading.Lock()

    def acquire(self, operation: str) -> None:
        """Wait until a call is permitted; `call_queue` describes the order of the waiting threads.

        Raises:
            QuotaExhausted: the wait would exceed `longest_wait`; no call was taken from the quota.
        """
        queue = self._queue_of(operation)
        if queue is None:
            wait = self._wait_for_block(operation)
        else:
            wait = queue.acquire(self._longest_wait, blocked_for=lambda: self._blocked_for(operation))
        if wait is not None:
            raise QuotaExhausted(f"the quota for {operation} is exhausted", retry_after=wait)

    def observe(self, allowance: Allowance) -> None:
        # The service counts all operations together, and other clients of the account as well.
        queue = self._queues.get(ALL_OPERATIONS)
        if queue is None:
            return
        if allowance.limit:
            queue.limit_rate(window_rate(allowance.limit, _REPORTED_WINDOW))
        now = self._clock.now()
        if allowance.remaining is not None and allowance.resets_at and allowance.resets_at > now:
            until = self._clock.monotonic() + (allowance.resets_at - now)
            queue.observe_remaining(allowance.remaining, until=until)

    def throttled(self, operation: str) -> None:
        if queue := self._queue_of(operation):
            queue.slow_down()

    def block_until(self, until: datetime, operation: str = ALL_OPERATIONS) -> None:
        duration = until - self._clock.now()
        with self._lock:
            before, end = self._blocked_until.get(operation, _NOTHING), self._clock.monotonic() + duration
            self._blocked_until[operation] = max(before, end)
        if end > before + _SAME_BLOCK and (queue := self._queue_of(operation)):
            queue.block(duration)

    def _wait_for_block(self, operation: str) -> timedelta | None:
        while (wait := self._blocked_for(operation)) > _NOTHING:
            if wait > self._longest_wait:
                return wait
            self._sleep(wait)
        return None

    def _blocked_for(self, operation: str) -> timedelta:
        with self._lock:
            until = max(self._blocked_until.get(key, _NOTHING) for key in (ALL_OPERATIONS, operation))
        return until - self._clock.monotonic()

    def _queue_of(self, operation: str) -> CallQueue | None:
        return self._queues.get(operation) or self._queues.get(ALL_OPERATIONS)


class LeaseCheckedGate:
    """A `CallGate` that permits a call only if the lease lasts longer than the longest request."""

    def __init__(
        self, inner: CallGate, *, require_lease: Callable[[timedelta], None], longest_request: timedelta
    ) -> None:
        self._inner = inner
        self._require_lease = require_lease
        self._longest_request = longest_request

    def acquire(self, operation: str) -> None:
        """Acquire from the inner gate, then check the lease; raises `NotSent` if the lease may end too early."""
        self._inner.acquire(operation)
        try:
            self._require_lease(self._longest_request)
        except LeaseLost as error:
            raise NotSent(f"{operation} was not sent: {error}", retry_after=self._longest_request) from error

    def observe(self, allowance: Allowance) -> None:
        self._inner.observe(allowance)

    def throttled(self, operation: str) -> None:
        self._inner.throttled(operation)

    def block_until(self, until: datetime, operation: str = ALL_OPERATIONS) -> None:
        self._inner.block_until(until, operation)
