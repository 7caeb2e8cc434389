"""The calls that this process may make without asking anybody, and how many it asks for next."""

import math
from dataclasses import dataclass, field
from datetime import timedelta

_NOTHING = timedelta(0)


@dataclass(slots=True)
class Block:
    """Calls that were taken from a shared budget for this process alone; what is not made in time is lost.

    Attributes:
        ends_at: by the clock that nobody sets.
    """

    open: int = 0
    reserved: int = 0
    kept: int = 0
    ends_at: timedelta = _NOTHING

    def holds(self, *, urgent: bool) -> int:
        """The calls that may be made for one kind of purpose."""
        return self.open + (self.reserved if urgent else self.kept)

    def spend(self, *, urgent: bool) -> None:
        """Make one; first those that nobody else could make."""
        if urgent and self.reserved:
            self.reserved -= 1
        elif not urgent and self.kept:
            self.kept -= 1
        else:
            self.open -= 1

    def shrink_to(self, calls: int) -> None:
        """Leave at most so many, and of them rather those that are reserved."""
        self.reserved = min(self.reserved, calls)
        self.open = min(self.open, calls - self.reserved)
        self.kept = min(self.kept, calls - self.reserved - self.open)


@dataclass(slots=True)
class Demand:
    """How many calls were made of late, for either kind of purpose."""

    since: timedelta = _NOTHING
    made: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})

    def count(self, *, urgent: bool) -> None:
        """One more was made."""
        self.made[urgent] += 1

    def expected(self, now: timedelta, lasting: timedelta, *, urgent: bool) -> int:
        """As many as were made in as long a time; it doubles at most."""
        return math.ceil(self.made[urgent] * (lasting / max(now - self.since, lasting / 2)))
