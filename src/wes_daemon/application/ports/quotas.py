"""Quotas: how many calls a service permits, shared by all replicas."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The state of one quota, a token bucket. All times are of the store's clock.

    Attributes:
        tokens: calls that may be made now, without `routine_tokens`.
        routine_tokens: further calls for routine calls (status, inventory) only: other calls cannot starve these.
        counted_at: the time at which both numbers were correct.
        peak: the calls per second at which the service last throttled; None if it never did.
        throttled_at: when the service last throttled.
        blocked_until: no call is sent before this time.
    """

    tokens: float
    routine_tokens: float
    counted_at: datetime
    peak: float | None = None
    throttled_at: datetime | None = None
    blocked_until: datetime | None = None


QuotaChange = Callable[[Quota | None, datetime], tuple[Quota, T]]
"""Maps the stored quota (None if there is none) and the store's present time to the new quota and a result."""


class SharedQuotas(Protocol):
    """Quotas by name, shared by all daemons on one store."""

    def apply(self, name: str, change: QuotaChange[T]) -> T:
        """Replace a quota by the one that `change` returns, and return the result of `change`.

        Changes of one quota are applied one after the other, across all threads and processes.
        A change that raises leaves the quota as it was.
        Must not be called while a unit of work is open in this thread.
        The store may forget a quota that was not changed for a week.

        Raises:
            StorageUnavailable: whether the change was stored is unknown.
        """
