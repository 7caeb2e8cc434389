"""The arithmetic of quotas: what a shared quota grants, and what a process does with a grant. Nothing here waits.

A quota is a token bucket for one operation of one account at one service. It has two levels:

- The shared `Quota` is a row in the database, and the database's clock counts its tokens.
- A process sends a `QuotaRequest` for the calls of the next seconds and keeps the `Grant` as its `LocalQuota`.
  It makes these calls without the database. Calls that are left when it requests again are returned; calls that are
  left when the local quota expires, or when the process dies, are lost.

Urgent calls (cancel, submission) precede routine calls (status, inventory):

- Routine calls leave the last `Rate.urgent_reserve` tokens to urgent calls.
- A tenth of the new tokens is for routine calls only, so that a long queue of submissions does not stop them.
- A quota with a capacity of less than ten calls is not divided.

After a throttling the pace falls to 0.7 of what it was and grows back as a cubic function of time.
"""

import math
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from wes_daemon.adapters.resilience.call_priority import Urgency
from wes_daemon.application.ports.quotas import Quota
from wes_daemon.plugins.rates import Rate

# Source: botocore's adaptive mode (retries/adaptive.py, retries/throttling.py), after RFC 8312 (CUBIC).
_SLOWED_TO = 0.7
_GROWTH = 0.4
_SLOWEST_CALLS_PER_SECOND = 0.5

# Calls that were in progress together are throttled together, which counts as one throttling.
_ONE_THROTTLING = timedelta(seconds=1)
# If `now` is earlier than the last count by less than this, it was read before a wait for the quota's lock.
# If it is earlier by more than this, the clock was set back.
_LONGEST_LOCK_WAIT = timedelta(minutes=1)
# Times have microseconds, and milliseconds on SQLite: a token that is due may appear to be missing by this much.
_ROUNDING = 1e-3

_RETRY_AFTER_FAILED_REQUEST = timedelta(seconds=5)
_LONGEST_ANSWER = timedelta(seconds=1)

_NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRequest:
    """How many calls a process requests.

    Attributes:
        returned: calls of the last grant that were not made, without `returned_routine`.
        returned_routine: routine-only calls of the last grant that were not made.
        at_most: calls that the service has left for all its callers, if the service reported that.
    """

    urgent: int = 0
    routine: int = 0
    returned: int = 0
    returned_routine: int = 0
    at_most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """How many calls a process may make.

    Attributes:
        unrestricted: urgent or routine calls.
        calls_per_second: the present pace of the quota.
        urgent_in, routine_in: after what time the quota has a token for another call of this urgency.
        blocked_for: for how long no process may call.
    """

    unrestricted: int = 0
    urgent_only: int = 0
    routine_only: int = 0
    calls_per_second: float
    urgent_in: timedelta = _NOTHING
    routine_in: timedelta = _NOTHING
    blocked_for: timedelta = _NOTHING


def grant_calls(quota: Quota | None, now: datetime, *, rate: Rate, request: QuotaRequest) -> tuple[Quota, Grant]:
    """Grant the available tokens: first to urgent calls, then to routine calls what exceeds the urgent reserve."""
    left = _with_returned(_refilled(quota, now, rate), request, rate)
    calls_per_second = pace(left, rate, now)
    if left.blocked_until and left.blocked_until > now:
        return left, Grant(calls_per_second=calls_per_second, blocked_for=left.blocked_until - now)
    unrestricted = min(_whole(left.tokens - rate.urgent_reserve), request.urgent + request.routine)
    urgent_only = min(_whole(left.tokens - unrestricted), max(request.urgent - unrestricted, 0))
    routine_only = min(_whole(left.routine_tokens), request.routine - max(unrestricted - request.urgent, 0))
    left = replace(
        left,
        tokens=left.tokens - unrestricted - urgent_only,
        routine_tokens=left.routine_tokens - routine_only,
    )
    return left, Grant(
        unrestricted=unrestricted,
        urgent_only=urgent_only,
        routine_only=routine_only,
        calls_per_second=calls_per_second,
        urgent_in=_time_to_urgent_token(left, rate, calls_per_second),
        routine_in=_time_to_routine_token(left, rate, calls_per_second),
    )


def slow_quota(quota: Quota | None, now: datetime, *, rate: Rate) -> tuple[Quota, float]:
    """Reduce the pace, because the service throttled a call; also return the new pace in calls per second."""
    refilled = _refilled(quota, now, rate)
    if not (refilled.throttled_at and refilled.throttled_at <= now < refilled.throttled_at + _ONE_THROTTLING):
        refilled = replace(refilled, tokens=0, routine_tokens=0, peak=pace(refilled, rate, now), throttled_at=now)
    return refilled, pace(refilled, rate, now)


def block_quota(quota: Quota | None, now: datetime, *, rate: Rate, duration: timedelta) -> tuple[Quota, None]:
    """Permit no call for `duration`. A block that lasts longer already is not shortened."""
    refilled = _refilled(quota, now, rate)
    until = now + duration
    return replace(refilled, blocked_until=max(refilled.blocked_until or until, until)), None


def pace(quota: Quota, rate: Rate, now: datetime) -> float:
    """Return the present calls per second: the rate, or less for some time after a throttling."""
    if quota.peak is None or quota.throttled_at is None:
        return rate.calls_per_second
    seconds = (now - quota.throttled_at).total_seconds()
    seconds_to_peak = math.cbrt(quota.peak * (1 - _SLOWED_TO) / _GROWTH)
    grown = _GROWTH * (seconds - seconds_to_peak) ** 3 + quota.peak
    return max(min(grown, rate.calls_per_second), min(_SLOWEST_CALLS_PER_SECOND, rate.calls_per_second))


@dataclass(slots=True)
class LocalQuota:
    """Calls that were granted to this process.

    Attributes:
        unrestricted: urgent or routine calls.
        expires_at: on the monotonic clock.
    """

    unrestricted: int = 0
    urgent_only: int = 0
    routine_only: int = 0
    expires_at: timedelta = _NOTHING

    def available(self, urgency: Urgency) -> int:
        """Return how many calls of this urgency may be made."""
        return self.unrestricted + (self.urgent_only if urgency is Urgency.URGENT else self.routine_only)

    def spend(self, urgency: Urgency) -> None:
        """Count one call, if possible against the calls that only this urgency may use."""
        if urgency is Urgency.URGENT and self.urgent_only:
            self.urgent_only -= 1
        elif urgency is Urgency.ROUTINE and self.routine_only:
            self.routine_only -= 1
        else:
            self.unrestricted -= 1

    def limit_to(self, calls: int) -> None:
        """Drop calls until at most `calls` are left: routine-only calls first, urgent-only calls last."""
        self.urgent_only = min(self.urgent_only, calls)
        self.unrestricted = min(self.unrestricted, calls - self.urgent_only)
        self.routine_only = min(self.routine_only, calls - self.urgent_only - self.unrestricted)


class GrantRequests:
    """When this process requests its next grant, and how many calls it expects to make. Not thread-safe.

    All times are those of the monotonic clock.

    Attributes:
        next_at: no request for this urgency before this time.
        is_scarce: whether the last grant left the shared quota without a token for this urgency.
    """

    def __init__(self) -> None:
        self.next_at = dict.fromkeys(Urgency, _NOTHING)
        self.is_scarce = dict.fromkeys(Urgency, False)
        self._granted_at = _NOTHING
        self._calls_since_grant: Counter[Urgency] = Counter()
        self._started_at: timedelta | None = None
        self._has_failed = False

    def is_due(self, urgency: Urgency, now: timedelta) -> bool:
        return self._started_at is None and self.next_at[urgency] <= now

    def is_awaited(self, now: timedelta) -> bool:
        """Whether a request is in progress and the database may still answer in time."""
        return self._started_at is not None and now - self._started_at <= _LONGEST_ANSWER

    def is_unanswered(self, now: timedelta) -> bool:
        """Whether the last request failed, or the present one takes too long."""
        return self._has_failed or (self._started_at is not None and not self.is_awaited(now))

    def start(self, now: timedelta) -> None:
        self._started_at = now

    def fail(self, now: timedelta) -> None:
        self._started_at = None
        self._has_failed = True
        self.next_at = dict.fromkeys(Urgency, now + _RETRY_AFTER_FAILED_REQUEST)

    def succeed(self, grant: Grant, now: timedelta, *, between_requests: timedelta) -> None:
        self._started_at = None
        self._has_failed = False
        self._granted_at = now
        self._calls_since_grant.clear()
        for urgency, wait in ((Urgency.URGENT, grant.urgent_in), (Urgency.ROUTINE, grant.routine_in)):
            self.is_scarce[urgency] = wait > _NOTHING
            self.next_at[urgency] = now + max(wait, between_requests) if wait > _NOTHING else now

    def count_call(self, urgency: Urgency) -> None:
        self._calls_since_grant[urgency] += 1

    def expected_calls(self, urgency: Urgency, *, now: timedelta, period: timedelta) -> int:
        """Extrapolate the calls since the last grant to `period`, at most to twice their number."""
        measured = max(now - self._granted_at, period / 2)
        return math.ceil(self._calls_since_grant[urgency] * (period / measured))


def _refilled(quota: Quota | None, now: datetime, rate: Rate) -> Quota:
    if quota is None:
        return Quota(tokens=rate.capacity - rate.routine_capacity, routine_tokens=rate.routine_capacity, counted_at=now)
    seconds = max((now - quota.counted_at).total_seconds(), 0)
    gained = seconds * pace(quota, rate, quota.counted_at)
    routine_tokens = min(quota.routine_tokens + gained * rate.routine_fraction, rate.routine_capacity)
    tokens = quota.tokens + gained - max(routine_tokens - quota.routine_tokens, 0)
    return replace(
        quota,
        tokens=min(tokens, rate.capacity - rate.routine_capacity),
        routine_tokens=routine_tokens,
        counted_at=quota.counted_at if _was_read_before_a_wait(now, quota) else now,
    )


def _was_read_before_a_wait(now: datetime, quota: Quota) -> bool:
    return quota.counted_at - _LONGEST_LOCK_WAIT < now < quota.counted_at


def _with_returned(quota: Quota, request: QuotaRequest, rate: Rate) -> Quota:
    tokens = min(quota.tokens + request.returned, rate.capacity - rate.routine_capacity)
    routine_tokens = min(quota.routine_tokens + request.returned_routine, rate.routine_capacity)
    if request.at_most is not None:
        tokens = min(tokens, request.at_most)
        routine_tokens = min(routine_tokens, request.at_most - tokens)
    return replace(quota, tokens=tokens, routine_tokens=routine_tokens)


def _time_to_urgent_token(quota: Quota, rate: Rate, calls_per_second: float) -> timedelta:
    return _time_to_gain(1 - quota.tokens, _gain_of_all(quota, rate, calls_per_second))


def _time_to_routine_token(quota: Quota, rate: Rate, calls_per_second: float) -> timedelta:
    missing = 1 + rate.urgent_reserve - quota.tokens
    above_reserve = _time_to_gain(missing, _gain_of_all(quota, rate, calls_per_second))
    if not rate.routine_capacity:
        return above_reserve
    return min(above_reserve, _time_to_gain(1 - quota.routine_tokens, calls_per_second * rate.routine_fraction))


def _gain_of_all(quota: Quota, rate: Rate, calls_per_second: float) -> float:
    """Return the tokens per second that are gained for calls of any urgency."""
    is_full = quota.routine_tokens >= rate.routine_capacity
    return calls_per_second * (1 if is_full else 1 - rate.routine_fraction)


def _time_to_gain(missing: float, per_second: float) -> timedelta:
    return timedelta(seconds=max(missing, 0) / per_second)


def _whole(tokens: float) -> int:
    return max(math.floor(tokens + _ROUNDING), 0)
