"""Deterministic stand-ins for a process's environment: a manual clock, counting ids, an executor without threads."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ManualClock:
    """A `Clock` that stands still until `advance`."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._elapsed = timedelta(0)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def monotonic(self) -> timedelta:
        with self._lock:
            return self._elapsed

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        with self._lock:
            self._now += by
            self._elapsed += by

    def set_back(self, by: timedelta) -> None:
        """Set the clock back, or forward if `by` is negative. No time passes."""
        with self._lock:
            self._now -= by


class CountingIds:
    """An `IdSource` of readable ids: `prefix-1`, `prefix-2`, …"""

    def __init__(self, prefix: str = "id") -> None:
        self._prefix = prefix
        self._numbers = count(1)

    def new_id(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"


class InlineExecutor(Executor):
    """Executes each call at once in the caller's thread, so that tests see the same order every time."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - an executor passes every error on to the future's reader
            future.set_exception(error)
        return future
