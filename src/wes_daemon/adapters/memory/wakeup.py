"""A wake-up that lets time pass on a manual clock instead of waiting, and news that a test tells."""

import threading
from collections.abc import Callable
from datetime import timedelta

from wes_daemon.adapters.memory.environment import ManualClock


class SkippingWakeUp:
    """A `WakeUp` that returns at once and moves the clock by what it was asked to wait.

    Args:
        on_wait: called after each wait, where a test lets the world change.
    """

    def __init__(self, clock: ManualClock, on_wait: Callable[[timedelta], None] | None = None) -> None:
        self._clock = clock
        self._on_wait = on_wait
        self._is_over = False
        self._listeners: list[SkippingListener] = []
        self.waits: list[timedelta] = []

    def wait(self, timeout: timedelta) -> None:
        """Let `timeout` pass, unless all is over."""
        self.waits.append(timeout)
        if not self._is_over:
            self._clock.advance(timeout)
        if self._on_wait:
            self._on_wait(timeout)

    def listener(self) -> "SkippingListener":
        """Somebody who hears hints from now on."""
        listener = SkippingListener(self)
        self._listeners.append(listener)
        return listener

    def hint(self) -> None:
        """Let the next wait of each listener take no time."""
        for listener in tuple(self._listeners):
            listener.is_roused = True

    def wake(self) -> None:
        """Let no further wait take any time."""
        self._is_over = True


class SkippingListener:
    """A `Listener` that returns at once; where there is no hint, that takes the clock as long as was asked for."""

    def __init__(self, wakeup: SkippingWakeUp) -> None:
        self._wakeup = wakeup
        self.is_roused = False

    def wait(self, timeout: timedelta) -> bool:
        """Let `timeout` pass unless there was a hint; one that comes meanwhile is for the next wait."""
        if self.is_roused:
            self.is_roused = False
            return True
        self._wakeup.wait(timeout)
        return False


class MemoryChangeFeed:
    """`News` that a test tells by `happen`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_closed = False
        self._happened = 1

    def listen(self, tell: Callable[[], None]) -> None:
        """Tell what has happened, until `close`."""
        while self._await():
            tell()

    def happen(self) -> None:
        """Somebody has queued a run."""
        with self._changed:
            self._happened += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Let `listen` return."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _await(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._happened or self._is_closed)
            self._happened = 0
            return not self._is_closed
