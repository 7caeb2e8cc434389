"""Permission to call a provider's service: rate limits, priorities and the lease check behind one object."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

ALL_OPERATIONS = "*"
"""Stands for every operation of a service that has no rate of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The rate limit that a service reports with an answer; None where it reports nothing.

    Attributes:
        limit: calls in one of the service's windows.
        remaining: calls left until `resets_at`, over all callers of the account.
    """

    limit: int | None = None
    remaining: int | None = None
    resets_at: datetime | None = None


class CallGate(Protocol):
    """The one object from which a provider's client gets permission to call, and to which it reports the answers.

    Every method may be called from several threads at once.
    """

    def acquire(self, operation: str) -> None:
        """Wait until the client may send one request of this operation.

        Must not be called while a unit of work is open in this thread.

        Raises:
            NotNow: the wait would be too long, or the lease may end before an answer arrives; nothing was sent.
        """

    def observe(self, allowance: Allowance) -> None:
        """Record the rate limit that the service reported with an answer."""

    def throttled(self, operation: str) -> None:
        """Record that the service refused a request of this operation because there were too many."""

    def block_until(self, until: datetime, operation: str = ALL_OPERATIONS, *, reason: str) -> None:
        """Permit no request of this operation before `until`, a time that the service named.

        Args:
            reason: why, as the beginning of a sentence that ends with the time, such as "AWS asked for no calls".
        """


class OpenCallGate:
    """A `CallGate` that always permits the call, for clients without rate limits."""

    def acquire(self, operation: str) -> None:
        """Return at once."""

    def observe(self, allowance: Allowance) -> None:
        """Ignore the report."""

    def throttled(self, operation: str) -> None:
        """Ignore the report."""

    def block_until(self, until: datetime, operation: str = ALL_OPERATIONS, *, reason: str) -> None:
        """Ignore the report."""
