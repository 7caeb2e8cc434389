"""A hint that something was queued, so that nobody has to wait for the next poll."""

from datetime import timedelta
from typing import Protocol


class WakeUp(Protocol):
    """Waits until something may have happened. A hint may be missed or false; polling remains the truth."""

    def wait(self, timeout: timedelta) -> None:
        """Return when `timeout` has passed, or earlier when there is a hint or `wake` was called."""

    def wake(self) -> None:
        """Let every `wait`, under way or still to come, return at once.

        Safe from any thread and from a signal handler.
        """
