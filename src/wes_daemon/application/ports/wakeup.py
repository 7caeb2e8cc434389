"""Waits that hints end early, so that a queued run does not wait for the next regular pass."""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol


class Listener(Protocol):
    """Waits for hints, in one thread."""

    def wait(self, timeout: timedelta) -> bool:
        """Return after `timeout`, or at once if there was a hint since the last wait that returned True.

        A hint between two waits is kept for the next one; several hints count as one.

        Returns:
            Whether there was a hint. After `WakeUp.wake` every wait returns at once.
        """


class WakeUp(Protocol):
    """Ends waits early, in any number of threads. A hint may be missing or wrong; regular passes find every run."""

    def wait(self, timeout: timedelta) -> None:
        """Return after `timeout`, or at once if `wake` was called; ignores hints."""

    def listener(self) -> Listener:
        """Return a listener that receives every hint from now on, as all other listeners do."""

    def hint(self) -> None:
        """Report that a run may have been queued or cancelled. May be called from any thread."""

    def wake(self) -> None:
        """End every wait, now and in the future. May be called from any thread and from a signal handler."""


class ChangeFeed(Protocol):
    """Reports that other connections have written to a database."""

    def listen(self, hint: Callable[[], None]) -> None:
        """Call `hint` once at the start, and soon after each commit that may have queued or cancelled a run.

        Waits while the database is unavailable, and calls `hint` when it is back. Returns after `close`, and
        may return earlier if the database cannot report changes.
        """

    def close(self) -> None:
        """Make `listen` return soon, now or when it is called. May be called from any thread, and repeatedly."""
