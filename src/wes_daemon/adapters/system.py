"""The machine's own clock and ids, and a wake-up that waits for real."""

import threading
import time
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
    """A `WakeUp` that waits on a condition; for as many threads as there are."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def wait(self, timeout: timedelta) -> None:
        """Return when `timeout` has passed or somebody called `wake`."""
        self._event.wait(timeout.total_seconds())

    def wake(self) -> None:
        """Let every wait return, now and from now on."""
        self._event.set()


def sleep(duration: timedelta) -> None:
    """Wait for real, deaf to everything."""
    time.sleep(duration.total_seconds())
