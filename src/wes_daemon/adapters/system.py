"""The machine's own clock and ids, and a wake-up that waits for real."""

import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment in UTC."""
        return datetime.now(UTC)


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
