"""Every call to a service waits its turn.

One call across the port may be several calls to a service, and services count their own operations.
So the limiter is no `WorkflowProvider` but goes into a provider's client, which takes a turn before each request.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import HeldBack, Throttled

ALL = "*"
"""The rate that all operations without one of their own share."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many calls in so much time.

    Attributes:
        burst: calls that may go out at once after a quiet time, at least 1.
    """

    calls: float
    per: timedelta = timedelta(seconds=1)
    burst: int = 1

    @property
    def interval(self) -> timedelta:
        """Between two calls at a steady pace."""
        return self.per / self.calls


def read_window(text: str) -> Rate:
    """The rate that never passes so many calls in any window of so many seconds: `1000/300`.

    Raises:
        ValueError: the text is no such thing; says what would be.
    """
    calls, _, seconds = text.partition("/")
    window = _positive(seconds, "calls per seconds, such as 1000/300")
    total = _positive(calls, "calls per seconds, such as 1000/300")
    # What goes out at once counts for the window in which the steady pace goes on.
    burst = max(1, int(total / 10))
    return Rate(calls=max(total - burst, total / 2), per=timedelta(seconds=window), burst=burst)


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


@dataclass
class _Turns:
    """When the next call would be due at a steady pace, and until when nobody may call at all."""

    next_due: datetime = _LONG_AGO
    held_until: datetime = _LONG_AGO


class BudgetSpent(Throttled, HeldBack):
    """It was not the call's turn for too long: nothing was sent, so that it says nothing of the service."""


class RateLimiter:
    """Turns for the operations of one service and credential, shared by all threads.

    Args:
        rates: by operation, or `ALL`; an operation that no rate speaks of is only held back by `hold`.
        patience: a longer wait is not waited for but answered with `BudgetSpent`.
    """

    def __init__(
        self,
        rates: Mapping[str, Rate],
        *,
        clock: Clock,
        sleep: Callable[[timedelta], None],
        patience: timedelta = timedelta(seconds=10),
    ) -> None:
        self._rates = dict(rates)
        self._clock = clock
        self._sleep = sleep
        self._patience = patience
        self._turns: dict[str, _Turns] = {}
        self._held_until = _LONG_AGO
        self._lock = threading.Lock()

    def take(self, operation: str) -> None:
        """Return when it is this call's turn.

        Raises:
            BudgetSpent: that would take too long; no turn was taken, and it says when to come again.
        """
        with self._lock:
            wait = self._wait(operation)
            if wait <= self._patience:
                self._reserve(operation)
        if wait > self._patience:
            raise BudgetSpent(f"the budget for {operation} is used up", retry_after=wait)
        if wait > timedelta(0):
            self._sleep(wait)

    def hold(self, until: datetime, operation: str = ALL) -> None:
        """The service named a time: nobody calls the operation (`ALL`: any operation) before it."""
        with self._lock:
            if operation == ALL:
                self._held_until = max(self._held_until, until)
            else:
                turns = self._turns_of(operation)
                turns.held_until = max(turns.held_until, until)

    def _wait(self, operation: str) -> timedelta:
        turns = self._turns_of(operation)
        earliest = max(turns.held_until, self._held_until)
        if rate := self._rate(operation):
            earliest = max(earliest, turns.next_due - rate.interval * (rate.burst - 1))
        return max(earliest - self._clock.now(), timedelta(0))

    def _reserve(self, operation: str) -> None:
        turns = self._turns_of(operation)
        if rate := self._rate(operation):
            turns.next_due = max(turns.next_due, self._clock.now()) + rate.interval

    def _rate(self, operation: str) -> Rate | None:
        return self._rates.get(operation) or self._rates.get(ALL)

    def _turns_of(self, operation: str) -> _Turns:
        key = operation if operation in self._rates or ALL not in self._rates else ALL
        return self._turns.setdefault(key, _Turns())
