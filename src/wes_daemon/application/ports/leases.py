"""Leases of daemon sessions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType, Protocol

SessionId = NewType("SessionId", str)
"""One incarnation of a daemon process; never used again by another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonInfo:
    """A daemon process, for the people who look at the database.

    Attributes:
        lease_left: negative when it ran out.
    """

    id: SessionId
    host: str
    pid: int
    version: str
    started_at: datetime
    lease_left: timedelta = timedelta(0)


class Lease(Protocol):
    """The heartbeat of daemon processes. What a daemon has claimed is safe while its lease lasts."""

    def open(self, daemon: DaemonInfo, *, lasting: timedelta) -> None:
        """Announce a new incarnation."""

    def renew(self, daemon: SessionId, *, lasting: timedelta) -> None:
        """Extend the lease.

        Raises:
            LeaseLost: it ran out before; the incarnation is over.
        """

    def close(self, daemon: SessionId) -> None:
        """End the lease now, so that others may take over at once; unknown ids are no error."""

    def daemons(self) -> Sequence[DaemonInfo]:
        """Those whose lease lasts, oldest first."""
