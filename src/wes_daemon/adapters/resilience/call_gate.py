"""The call gates of the cloud providers: a rate limiter, and a check of the daemon's lease after it.

A client asks its gate before each request. A decorator could not limit the rate: one call of the port may need
several requests, and a service counts its own operations.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from wes_daemon.adapters.resilience.call_queue import CallQueue
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS, Allowance, CallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import LeaseLost, NotSent, Throttled
from wes_daemon.application.ports.quotas import SharedQuotas
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.plugins.accounts import SERVICE_END
from wes_daemon.plugins.rates import Rate, window_rate

_log = logging.getLogger(__name__)

_NOTHING = timedelta(0)
# Many answers name the same end of a block, some of them in whole seconds.
_SAME_BLOCK = timedelta(seconds=1)
# A shorter wait is not worth a line.
_LONG_BLOCK = timedelta(seconds=10)
_TOLD = "the service has asked another daemon for no calls"
# Source: docs.sevenbridges.com, "API rate limit"; the only service that reports a limit with its answers.
_REPORTED_WINDOW = timedelta(minutes=5)


class QuotaExhausted(Throttled, NotSent):
    """The quota, or the service itself, permits no call within the longest wait.

    No request was sent, so this is no failure of the service.
    """


class RateLimiter:
    """A `CallGate` that keeps the rates of one account at one service, over all threads and replicas.

    Args:
        rates: by operation. Operations without a rate of their own share the rate of `ALL_OPERATIONS`; without that,
            only `block_until` delays them.
        account: identifies the account to all replicas, see `account_name`.
        provider: the name that logs show; without it the service of the account.
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
        provider: str = "",
    ) -> None:
        self._queues = {
            key: CallQueue(f"{account}:{key}", rate, quotas=quotas, clock=clock, sleep=sleep)
            for key, rate in rates.items()
        }
        self._clock = clock
        self._sleep = sleep
        self._longest_wait = longest_wait
        self._blocks = _Blocks(provider or account.partition(SERVICE_END)[0], clock=clock)

    def acquire(self, operation: str) -> None:
        """Wait until a call is permitted; `call_queue` describes the order of the waiting threads.

        Raises:
            QuotaExhausted: the wait would exceed `longest_wait`; no call was taken from the quota.
        """
        queue = self._queue_of(operation)
        if queue is None:
            wait = self._wait_for_block(operation)
        else:
            wait = queue.acquire(self._longest_wait, blocked_for=lambda: self._blocks.duration(operation))
        if wait is not None:
            raise QuotaExhausted(self._reason(operation, queue), retry_after=wait)

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

    def block_until(self, until: datetime, operation: str = ALL_OPERATIONS, *, reason: str) -> None:
        if self._blocks.extend(operation, until, reason) and (queue := self._queue_of(operation)):
            queue.block(until - self._clock.now())

    def _wait_for_block(self, operation: str) -> timedelta | None:
        while (wait := self._blocks.duration(operation)) > _NOTHING:
            if wait > self._longest_wait:
                return wait
            self._sleep(wait)
        return None

    def _reason(self, operation: str, queue: CallQueue | None) -> str:
        """Return why no call is permitted: by a block, by the block of another daemon, or by the quota."""
        if (block := self._blocks.longest(operation)).duration > self._longest_wait:
            return block.reason
        if queue and queue.blocked_for > self._longest_wait:
            return self._blocks.learn(queue.blocked_for)
        return f"the quota for {operation} is exhausted"

    def _queue_of(self, operation: str) -> CallQueue | None:
        return self._queues.get(operation) or self._queues.get(ALL_OPERATIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Attributes: `duration` from now on, and `reason`, a sentence that names the end."""

    duration: timedelta
    reason: str


class _Blocks:
    """The blocks by operation, each with its end on the monotonic clock and its reason. Logs each long block once."""

    def __init__(self, provider: str, *, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._ends: dict[str, tuple[timedelta, str]] = {}
        self._logged_until = _NOTHING
        self._lock = threading.Lock()

    def extend(self, operation: str, until: datetime, reason: str) -> bool:
        """Block the operation until then at least. Return whether this is more than other answers have asked for."""
        duration = until - self._clock.now()
        text = f"{reason} until {_in_utc(until)}"
        with self._lock:
            before, named = self._ends.get(operation, (_NOTHING, ""))
            end = self._clock.monotonic() + duration
            self._ends[operation] = max((before, named), (end, text), key=lambda block: block[0])
        self._log(end, until, reason)
        return end > before + _SAME_BLOCK

    def duration(self, operation: str) -> timedelta:
        """Return for how long the operation is blocked; negative or zero if it is not."""
        return self.longest(operation).duration

    def longest(self, operation: str) -> _Block:
        """Return the block of the operation, or of all operations, that ends last."""
        with self._lock:
            end, reason = max(
                (self._ends.get(key, (_NOTHING, "")) for key in (ALL_OPERATIONS, operation)), key=lambda block: block[0]
            )
        return _Block(duration=end - self._clock.monotonic(), reason=reason)

    def learn(self, duration: timedelta) -> str:
        """Return the reason of a block that another daemon has shared, and log the block if it is new."""
        until = self._clock.now() + duration
        self._log(self._clock.monotonic() + duration, until, _TOLD)
        return f"{_TOLD} until {_in_utc(until)}"

    def _log(self, end: timedelta, until: datetime, reason: str) -> None:
        """Log a long block; not again for answers that extend it by little, such as those of calls under way."""
        with self._lock:
            is_long = end - self._clock.monotonic() > _LONG_BLOCK
            if not is_long or end <= self._logged_until + _LONG_BLOCK:
                return
            self._logged_until = end
        log_event(
            _log,
            logging.WARNING,
            "provider.held_back",
            provider=self._provider,
            until=_in_utc(until),
            reason=reason,
        )


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

    def block_until(self, until: datetime, operation: str = ALL_OPERATIONS, *, reason: str) -> None:
        self._inner.block_until(until, operation, reason=reason)


def _in_utc(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
