"""Time and identity, which the core never takes from the standard library itself."""

from datetime import datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What time it is."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC. Somebody may set it, forwards or back."""

    def monotonic(self) -> timedelta:
        """The time since some moment, the same for the whole process; nobody sets it, and it counts sleep."""


class IdSource(Protocol):
    """Where new ids come from."""

    def new_id(self) -> str:
        """A text of at most 36 characters that was never returned before, by any process."""
