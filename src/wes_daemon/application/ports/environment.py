"""Time and ids. The core takes neither from the standard library."""

from datetime import datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the current time, aware and in UTC. The clock may be set forwards or back at any moment."""

    def monotonic(self) -> timedelta:
        """Return the time since a fixed moment.

        The clock is never set. It also counts while the machine sleeps, if the operating system has such a clock.
        """


class IdSource(Protocol):
    """Generates ids."""

    def new_id(self) -> str:
        """Return a globally unique id of at most 36 characters."""
