"""What replicas share of what a service lets us call."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much of one budget is left; all moments are of the store's clock.

    Attributes:
        tokens: calls that may be made now, beside those that are kept.
        kept: calls that only those who follow runs may make, so that they are never starved.
        counted_at: when both were true.
        peak: calls a second at which the service last said that these are too many; None where it never did.
        throttled_at: when it said so.
        held_until: nobody calls before that.
    """

    tokens: float
    kept: float
    counted_at: datetime
    peak: float | None = None
    throttled_at: datetime | None = None
    held_until: datetime | None = None


Revision = Callable[[Budget | None, datetime], tuple[Budget, T]]
"""What becomes of a budget, None where there is none yet, at the store's present moment; and what the caller hears."""


class SharedBudgets(Protocol):
    """Budgets by name, the same for all daemons on one store."""

    def revise(self, name: str, revision: Revision[T]) -> T:
        """Put in the place of a budget what the revision makes of it, and return what it says beside that.

        Of one budget, one revision follows the other, whichever process or thread asks for it.
        Not while a unit of work is open in this thread. A budget that nobody has revised for a week may be forgotten.

        Raises:
            StorageUnavailable: whether it was revised is unknown.
        """
