"""A change feed for tests: it reports what a test tells it."""

import threading
from collections.abc import Callable


class MemoryChangeFeed:
    """A `ChangeFeed` that reports what a test passes to `report_change`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_closed = False
        self._changes = 1

    def listen(self, hint: Callable[[], None]) -> None:
        """Call `hint` after changes, until `close`."""
        while self._wait():
            hint()

    def report_change(self) -> None:
        """Report that a run was queued."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def close(self) -> None:
        """End `listen`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _wait(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._changes or self._is_closed)
            self._changes = 0
            return not self._is_closed
