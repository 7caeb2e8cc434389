"""The machine's clock, random ids, and real waiting."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

# Only Linux has this clock. On other systems `time.monotonic` may stop while the machine sleeps.
_CLOCK_WITH_SLEEP: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> timedelta:
        """Return the time since the machine was started; it includes the time of sleep if the system counts it."""
        clock = _CLOCK_WITH_SLEEP
        return timedelta(seconds=time.monotonic() if clock is None else time.clock_gettime(clock))


class RandomIds:
    """Random UUIDs."""

    def new_id(self) -> str:
        """Return a UUID of 36 characters."""
        return str(uuid4())


class TimedWakeUp:
    """A `WakeUp` that waits for real, for any number of threads."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._listeners: list[TimedListener] = []

    def wait(self, timeout: timedelta) -> None:
        """Return after `timeout`, or at once if `wake` was called."""
        self._over.wait(timeout.total_seconds())

    def listener(self) -> "TimedListener":
        """Return a listener that receives hints for as long as this wake-up exists."""
        listener = TimedListener(self._over)
        self._listeners.append(listener)
        return listener

    def hint(self) -> None:
        """End one wait of each listener."""
        for listener in tuple(self._listeners):
            listener.notify()

    def wake(self) -> None:
        """End every wait, now and in the future."""
        self._over.set()
        self.hint()


class TimedListener:
    """A `Listener` that waits for real."""

    def __init__(self, over: threading.Event) -> None:
        self._over = over
        self._notified = threading.Event()

    def wait(self, timeout: timedelta) -> bool:
        """Return after `timeout`, at once after a hint, and always at once after `WakeUp.wake`."""
        # `wake` sets `over` before it notifies: a notification that is cleared below is seen as `over` by the return.
        if self._over.is_set() or not self._notified.wait(timeout.total_seconds()):
            return False
        self._notified.clear()
        return not self._over.is_set()

    def notify(self) -> None:
        """End the current wait, or the next one."""
        self._notified.set()


class SilentChangeFeed:
    """A `ChangeFeed` that never reports a change: runs are found by polling only."""

    def listen(self, hint: Callable[[], None]) -> None:
        """Return at once."""

    def close(self) -> None:
        """Do nothing."""


def sleep(duration: timedelta) -> None:
    """Wait for real; nothing ends the wait early."""
    time.sleep(duration.total_seconds())
