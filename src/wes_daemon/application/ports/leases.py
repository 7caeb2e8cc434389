"""Leases of daemon sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType, Protocol

from wes_daemon.domain.runs import ProviderType

SessionId = NewType("SessionId", str)
"""The identity of one daemon session; never reused."""

Publication = Mapping[ProviderType, str]
"""The providers that one daemon knows, and what each lacks there; an empty text for a provider that it serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonInfo:
    """A daemon session, as it is shown to people.

    Attributes:
        lease_left: negative after the lease expired.
        providers: what the daemon publishes; None for a version that publishes nothing.
    """

    id: SessionId
    host: str
    pid: int
    version: str
    started_at: datetime
    lease_left: timedelta = timedelta(0)
    providers: Publication | None = None


class LeaseRepository(Protocol):
    """The leases of daemon sessions. The claims of a session are valid while its lease lasts."""

    def open(self, daemon: DaemonInfo, *, lasting: timedelta) -> None:
        """Register a new session."""

    def renew(self, daemon: SessionId, *, lasting: timedelta) -> None:
        """Extend the lease.

        Raises:
            LeaseLost: it has expired; the session is over.
        """

    def close(self, daemon: SessionId) -> None:
        """End the lease now, so that other daemons may take over at once; unknown ids are ignored."""

    def daemons(self) -> Sequence[DaemonInfo]:
        """Return the sessions whose lease is valid, oldest first."""
