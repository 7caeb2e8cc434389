"""How much of a budget whoever asks may have: the arithmetic, without any waiting."""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from wes_daemon.adapters.providers.decorators.rates import Rate
from wes_daemon.application.ports.budgets import Budget

# Source: botocore's adaptive mode (retries/adaptive.py, retries/throttling.py), after RFC 8312.
_SLOWED_TO = 0.7
_GROWTH = 0.4
_SLOWEST = 0.5

# What was under way when a service said that there are too many calls says nothing new when it says so, too.
_SAME_TROUBLE = timedelta(seconds=1)
# A clock that is further behind was set back; one that is less so had to wait for its turn.
_LATE = timedelta(minutes=1)
# Moments have microseconds, and SQLite's milliseconds: a call that is due may look as if it were not, by so much.
_ALMOST = 1e-3

_NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How many calls somebody wants to make.

    Attributes:
        unspent, unspent_kept: what it had before and gives back.
        at_most: all that the service has left for everybody, where it has said so.
    """

    urgent: int = 0
    following: int = 0
    unspent: int = 0
    unspent_kept: int = 0
    at_most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What it may make of them.

    Attributes:
        open: for whatever purpose.
        reserved: urgent ones only.
        kept: for following only.
        per_second: the pace at which the service takes calls at the moment.
        urgent_in, following_in: when it is worth asking again.
        held_for: how long nobody may call.
    """

    open: int = 0
    reserved: int = 0
    kept: int = 0
    per_second: float
    urgent_in: timedelta = _NOTHING
    following_in: timedelta = _NOTHING
    held_for: timedelta = _NOTHING


def take_share(budget: Budget | None, now: datetime, *, rate: Rate, wish: Wish) -> tuple[Budget, Share]:
    """Give what is there: urgent calls first, and following only what lies above the reserve."""
    left = _given_back(_refilled(budget, now, rate), wish, rate)
    if left.held_until and left.held_until > now:
        held_for = left.held_until - now
        return left, Share(per_second=pace(left, rate, now), held_for=held_for)
    open = min(_whole(left.tokens - rate.reserve), wish.urgent + wish.following)
    reserved = min(_whole(left.tokens - open), max(wish.urgent - open, 0))
    kept = min(_whole(left.kept), wish.following - max(open - wish.urgent, 0))
    left = replace(left, tokens=left.tokens - open - reserved, kept=left.kept - kept)
    return left, _with_waits(
        left, rate, Share(open=open, reserved=reserved, kept=kept, per_second=pace(left, rate, now))
    )


def slow_down(budget: Budget | None, now: datetime, *, rate: Rate) -> tuple[Budget, float]:
    """The service has said that there are too many calls; also tells the pace from now on."""
    found = _refilled(budget, now, rate)
    if not (found.throttled_at and found.throttled_at <= now < found.throttled_at + _SAME_TROUBLE):
        found = replace(found, tokens=0, kept=0, peak=pace(found, rate, now), throttled_at=now)
    return found, pace(found, rate, now)


def hold(budget: Budget | None, now: datetime, *, rate: Rate, time: timedelta) -> tuple[Budget, None]:
    """The service wants no call for some time; what it said before, of a longer one, stays true."""
    found = _refilled(budget, now, rate)
    until = now + time
    return replace(found, held_until=max(found.held_until or until, until)), None


def pace(budget: Budget, rate: Rate, now: datetime) -> float:
    """Calls a second: the rate, or less after a throttling, from which it grows back as a cubic function of time."""
    if budget.peak is None or budget.throttled_at is None:
        return rate.per_second
    time = (now - budget.throttled_at).total_seconds()
    back_at_peak = math.cbrt(budget.peak * (1 - _SLOWED_TO) / _GROWTH)
    grown = _GROWTH * (time - back_at_peak) ** 3 + budget.peak
    return max(min(grown, rate.per_second), min(_SLOWEST, rate.per_second))


def _refilled(budget: Budget | None, now: datetime, rate: Rate) -> Budget:
    if budget is None:
        return Budget(tokens=rate.stock - rate.kept, kept=rate.kept, counted_at=now)
    is_late = budget.counted_at - _LATE < now < budget.counted_at
    passed = max((now - budget.counted_at).total_seconds(), 0)
    gained = passed * pace(budget, rate, budget.counted_at)
    kept = min(budget.kept + gained * rate.share_kept, rate.kept)
    tokens = min(budget.tokens + gained - max(kept - budget.kept, 0), rate.stock - rate.kept)
    return replace(budget, tokens=tokens, kept=kept, counted_at=budget.counted_at if is_late else now)


def _given_back(budget: Budget, wish: Wish, rate: Rate) -> Budget:
    tokens = min(budget.tokens + wish.unspent, rate.stock - rate.kept)
    kept = min(budget.kept + wish.unspent_kept, rate.kept)
    if wish.at_most is not None:
        tokens = min(tokens, wish.at_most)
        kept = min(kept, wish.at_most - tokens)
    return replace(budget, tokens=tokens, kept=kept)


def _with_waits(left: Budget, rate: Rate, share: Share) -> Share:
    to_tokens = share.per_second * (1 - rate.share_kept if left.kept < rate.kept else 1)
    above = _until(1 + rate.reserve - left.tokens, to_tokens)
    of_its_own = _until(1 - left.kept, share.per_second * rate.share_kept) if rate.kept else above
    return replace(share, urgent_in=_until(1 - left.tokens, to_tokens), following_in=min(above, of_its_own))


def _until(missing: float, per_second: float) -> timedelta:
    return timedelta(seconds=max(missing, 0) / per_second)


def _whole(tokens: float) -> int:
    return max(math.floor(tokens + _ALMOST), 0)
