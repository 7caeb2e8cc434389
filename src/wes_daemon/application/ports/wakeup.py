"""Hints that something was queued, so that nobody has to wait for the next poll."""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol


class Listener(Protocol):
    """Somebody who waits for hints, in one thread."""

    def wait(self, timeout: timedelta) -> bool:
        """Return when `timeout` has passed, or at once where there was a hint since the last wait that told of one.

        A hint that comes while nobody waits is kept for the next wait; several of them are one.

        Returns:
            Whether there was a hint. After `WakeUp.wake` every wait returns at once.
        """


class WakeUp(Protocol):
    """Ends waits early, for any number of threads. A hint may be missed or false; polling remains the truth."""

    def wait(self, timeout: timedelta) -> None:
        """Return when `timeout` has passed, or at once when `wake` was called; deaf to hints."""

    def listener(self) -> Listener:
        """Somebody who hears every hint from now on, whoever else hears it."""

    def hint(self) -> None:
        """Something may have been queued or cancelled. Safe from any thread."""

    def wake(self) -> None:
        """Let every wait, under way or still to come, return at once.

        Safe from any thread and from a signal handler.
        """


class ChangeFeed(Protocol):
    """Hears from a database that others have written to it."""

    def listen(self, tell: Callable[[], None]) -> None:
        """Call `tell` once at the beginning, and soon after each commit that may have queued or cancelled a run.

        A database that is away is waited for, and `tell` is called when it is back. Returns after `close`, or where
        nothing can be heard.
        """

    def close(self) -> None:
        """Let `listen` return soon, now or whenever it is called. Safe from any thread, any number of times."""
