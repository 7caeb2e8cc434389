"""A wake-up that lets time pass on a manual clock instead of waiting."""

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
        self.waits: list[timedelta] = []

    def wait(self, timeout: timedelta) -> None:
        """Let `timeout` pass."""
        self.waits.append(timeout)
        self._clock.advance(timeout)
        if self._on_wait:
            self._on_wait(timeout)

    def wake(self) -> None:
        """Nobody waits here."""
