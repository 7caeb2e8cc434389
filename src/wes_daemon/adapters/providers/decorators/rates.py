"""How often a service may be called."""

from dataclasses import dataclass
from datetime import timedelta

ALL = "*"
"""The rate that all operations without one of their own share."""

_SAVED_UP = timedelta(seconds=1)
_AHEAD = timedelta(seconds=5)
_KEPT_OF_TEN = 1
_RESERVED_OF_TEN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many calls in so much time.

    All who share it make in any time at most as many as it allows in that time and `lasting` together, and `stock`.

    Attributes:
        burst: calls that one process may send at once after a quiet time, at least 1.
        saved_up: for how long what nobody calls for is saved for later, where that is more than the burst.
        lasting: how far ahead one process may take calls for itself alone.
    """

    calls: float
    per: timedelta = timedelta(seconds=1)
    burst: int = 1
    saved_up: timedelta = _SAVED_UP
    lasting: timedelta = _AHEAD

    @property
    def interval(self) -> timedelta:
        """Between two calls at a steady pace."""
        return self.per / self.calls

    @property
    def per_second(self) -> float:
        """Calls a second at a steady pace."""
        return self.calls / self.per.total_seconds()

    @property
    def stock(self) -> float:
        """The most that is ever saved up."""
        return max(self.burst, self.per_second * self.saved_up.total_seconds())

    @property
    def kept(self) -> int:
        """Calls of the stock that only following may make; of a small stock none, for there is nothing to divide."""
        return int(self.stock) * _KEPT_OF_TEN // 10

    @property
    def reserve(self) -> int:
        """Calls of the rest that following leaves alone, for what is urgent."""
        return int(self.stock) * _RESERVED_OF_TEN // 10 if self.kept else 0

    @property
    def share_kept(self) -> float:
        """Of all that the service allows, what is kept for following as long as it has not got its stock."""
        return _KEPT_OF_TEN / 10 if self.kept else 0


def window_rate(calls: float, window: timedelta) -> Rate:
    """The rate that never passes so many calls in any window, shared by however many."""
    # What goes out at once, and what was taken before and is called for late, counts for the same window.
    burst, lasting = max(1, int(calls / 10)), min(_AHEAD, window / 20)
    return Rate(
        calls=max(calls - burst, calls / 2),
        per=window + lasting,
        burst=burst,
        saved_up=timedelta(0),
        lasting=lasting,
    )


def read_window(text: str) -> Rate:
    """The rate that never passes so many calls in any window of so many seconds: `1000/300`.

    Raises:
        ValueError: the text is no such thing; says what would be.
    """
    calls, _, seconds = text.partition("/")
    window = _positive(seconds, "calls per seconds, such as 1000/300")
    return window_rate(_positive(calls, "calls per seconds, such as 1000/300"), timedelta(seconds=window))


def read_rates(text: str) -> dict[str, Rate]:
    """Calls per second by operation: `StartRun=1,GetRun=10`; raises `ValueError` as `read_window`."""
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
