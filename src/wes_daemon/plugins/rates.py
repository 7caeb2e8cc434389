"""Rates: how often a service may be called. Also reads rates from settings."""

from dataclasses import dataclass
from datetime import timedelta

_SAVED_FOR = timedelta(seconds=1)
_GRANT_LIFETIME = timedelta(seconds=5)
_ROUTINE_TENTHS = 1
_URGENT_TENTHS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Calls per period, as a token bucket that all replicas share.

    In any span of time all processes together make at most the calls of that span and of `grant_lifetime`, and
    `capacity` calls more.

    Attributes:
        burst: calls that one process may send at once after a quiet time, at least 1.
        saved_for: the bucket saves the unused calls of this time, but at least `burst` calls.
        grant_lifetime: how long a process may make the calls that it was granted.
    """

    calls: float
    per: timedelta = timedelta(seconds=1)
    burst: int = 1
    saved_for: timedelta = _SAVED_FOR
    grant_lifetime: timedelta = _GRANT_LIFETIME

    @property
    def calls_per_second(self) -> float:
        return self.calls / self.per.total_seconds()

    @property
    def capacity(self) -> float:
        """The maximum number of saved tokens."""
        return max(self.burst, self.calls_per_second * self.saved_for.total_seconds())

    @property
    def routine_capacity(self) -> int:
        """Tokens of the capacity for routine calls only; 0 if the capacity is below ten and cannot be divided."""
        return int(self.capacity) * _ROUTINE_TENTHS // 10

    @property
    def urgent_reserve(self) -> int:
        """Tokens of the remaining capacity that routine calls leave to urgent calls."""
        return int(self.capacity) * _URGENT_TENTHS // 10 if self.routine_capacity else 0

    @property
    def routine_fraction(self) -> float:
        """The fraction of new tokens that is for routine calls only, until these have `routine_capacity`."""
        return _ROUTINE_TENTHS / 10 if self.routine_capacity else 0


def window_rate(calls: float, window: timedelta) -> Rate:
    """Return the rate at which any number of processes never exceeds `calls` in any `window`."""
    # The burst, and calls that were granted before the window and are made in it, count for the same window.
    burst, grant_lifetime = max(1, int(calls / 10)), min(_GRANT_LIFETIME, window / 20)
    return Rate(
        calls=max(calls - burst, calls / 2),
        per=window + grant_lifetime,
        burst=burst,
        saved_for=timedelta(0),
        grant_lifetime=grant_lifetime,
    )


def read_window(text: str) -> Rate:
    """Read calls per window in seconds, such as `1000/300`; see `window_rate`.

    Raises:
        ValueError: the text has another form; the message gives an example.
    """
    calls, _, seconds = text.partition("/")
    window = _positive(seconds, "calls per seconds, such as 1000/300")
    return window_rate(_positive(calls, "calls per seconds, such as 1000/300"), timedelta(seconds=window))


def read_rates(text: str) -> dict[str, Rate]:
    """Read calls per second by operation, such as `StartRun=1,GetRun=10`.

    Raises:
        ValueError: the text has another form; the message gives an example.
    """
    rates = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        operation, _, calls = part.partition("=")
        rates[operation.strip()] = Rate(
            calls=_positive(calls, "operation=calls per second, such as StartRun=1,GetRun=10")
        )
    return rates


def _positive(text: str, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < 1e9:
        raise ValueError(f"expected {expected}, or off")
    return number
