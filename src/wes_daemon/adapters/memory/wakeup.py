"""Waiting that takes no time: a manual clock advances instead."""

from collections.abc import Callable
from datetime import timedelta

from wes_daemon.adapters.memory.environment import ManualClock


class SkippingWakeUp:
    """A `WakeUp` that returns at once and advances the clock by the timeout.

    Args:
        on_wait: called after each wait; a test can change something there. It can be replaced.
    """

    def __init__(self, clock: ManualClock, on_wait: Callable[[timedelta], None] | None = None) -> None:
        self._clock = clock
        self.on_wait = on_wait
        self._is_over = False
        self._listeners: list[SkippingListener] = []
        self.waits: list[timedelta] = []

    def wait(self, timeout: timedelta) -> None:
        """Advance the clock by `timeout`, unless `wake` was called."""
        self.waits.append(timeout)
        if not self._is_over:
            self._clock.advance(timeout)
        if self.on_wait:
            self.on_wait(timeout)

    def listener(self) -> "SkippingListener":
        """Return a listener that receives hints from now on."""
        listener = SkippingListener(self)
        self._listeners.append(listener)
        return listener

    def hint(self) -> None:
        """Make the next wait of each listener take no time."""
        for listener in tuple(self._listeners):
            listener.is_notified = True

    def wake(self) -> None:
        """Make every further wait take no time."""
        self._is_over = True


class SkippingListener:
    """A `Listener` that returns at once; without a hint it advances the clock by the timeout."""

    def __init__(self, wakeup: SkippingWakeUp) -> None:
        self._wakeup = wakeup
        self.is_notified = False

    def wait(self, timeout: timedelta) -> bool:
        """Advance the clock by `timeout` unless there was a hint; a hint during the wait counts for the next one."""
        if self.is_notified:
            self.is_notified = False
            return True
        self._wakeup.wait(timeout)
        return False
