"""A clock that is moved by hand and ids that count."""

import threading
from datetime import UTC, datetime, timedelta
from itertools import count


class ManualClock:
    """A `Clock` that stands still until it is told to move."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._passed = timedelta(0)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The moment it was moved to."""
        with self._lock:
            return self._now

    def monotonic(self) -> timedelta:
        """The time that it was moved by."""
        with self._lock:
            return self._passed

    def advance(self, by: timedelta) -> None:
        """Move on."""
        with self._lock:
            self._now += by
            self._passed += by

    def set_back(self, by: timedelta) -> None:
        """Show an earlier time, or a later one where it is negative, as when somebody sets the clock."""
        with self._lock:
            self._now -= by


class CountingIds:
    """An `IdSource` whose ids are easy to read in a test: `prefix-1`, `prefix-2`, …"""

    def __init__(self, prefix: str = "id") -> None:
        self._prefix = prefix
        self._numbers = count(1)

    def new_id(self) -> str:
        """The next one."""
        return f"{self._prefix}-{next(self._numbers)}"
