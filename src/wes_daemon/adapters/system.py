"""The machine's own clock and ids, and a wake-up that waits for real."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

# Linux has it; the plain monotonic clock of other systems counts sleep or does not.
_COUNTS_SLEEP: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> timedelta:
        """The time since the machine was started, the time that it slept included where the system tells that."""
        return timedelta(seconds=time.clock_gettime(_COUNTS_SLEEP) if _COUNTS_SLEEP is not None else time.monotonic())


class RandomIds:
    """Random UUIDs."""

    def new_id(self) -> str:
        """A UUID of 36 characters."""
        return str(uuid4())


class TimedWakeUp:
    """A `WakeUp` that waits for real; for as many threads as there are."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._listeners: list[TimedListener] = []

    def wait(self, timeout: timedelta) -> None:
        """Return when `timeout` has passed or somebody called `wake`."""
        self._over.wait(timeout.total_seconds())

    def listener(self) -> "TimedListener":
        """Somebody who hears hints from now on, for as long as this wake-up lives."""
        listener = TimedListener(self._over)
        self._listeners.append(listener)
        return listener

    def hint(self) -> None:
        """Let the waits of all listeners return, each once."""
        for listener in tuple(self._listeners):
            listener.rouse()

    def wake(self) -> None:
        """Let every wait return, now and from now on."""
        self._over.set()
        self.hint()


class TimedListener:
    """A `Listener` that waits for real."""

    def __init__(self, over: threading.Event) -> None:
        self._over = over
        self._roused = threading.Event()

    def wait(self, timeout: timedelta) -> bool:
        """Return when `timeout` has passed, at once where there was a hint, and always once all is over."""
        # Whoever ends all says so first and rouses then: what is found roused below and cleared is found over above.
        if self._over.is_set() or not self._roused.wait(timeout.total_seconds()):
            return False
        self._roused.clear()
        return not self._over.is_set()

    def rouse(self) -> None:
        """Let the wait that is under way, or the next one, return."""
        self._roused.set()


class SilentChangeFeed:
    """`News` for those who only poll."""

    def listen(self, tell: Callable[[], None]) -> None:
        """Nothing is to be heard."""

    def close(self) -> None:
        """Nobody listens."""


def sleep(duration: timedelta) -> None:
    """Wait for real, deaf to everything."""
    time.sleep(duration.total_seconds())
