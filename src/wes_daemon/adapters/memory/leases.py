"""Leases in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from wes_daemon.adapters.memory.store import DaemonRow, Tables
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import LeaseLost
from wes_daemon.application.ports.leases import DaemonInfo, SessionId


def living_daemons(tables: Tables, clock: Clock) -> Sequence[DaemonInfo]:
    """The daemons whose lease lasts, oldest first."""
    now = clock.now()
    living = [
        replace(row.info, lease_left=row.lease_until - now) for row in tables.daemons.values() if row.lease_until > now
    ]
    return sorted(living, key=lambda info: info.started_at)


class MemoryLease:
    """A `Lease` over dictionaries."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    def open(self, daemon: DaemonInfo, *, lasting: timedelta) -> None:
        """As the port says."""
        self._tables.daemons[daemon.id] = DaemonRow(daemon, self._clock.now() + lasting)

    def renew(self, daemon: SessionId, *, lasting: timedelta) -> None:
        """As the port says."""
        row = self._tables.daemons.get(daemon)
        if row is None or row.lease_until <= self._clock.now():
            raise LeaseLost(f"the lease of daemon {daemon} ran out")
        self._tables.daemons[daemon] = replace(row, lease_until=self._clock.now() + lasting)

    def close(self, daemon: SessionId) -> None:
        """As the port says."""
        self._tables.daemons.pop(daemon, None)

    def daemons(self) -> Sequence[DaemonInfo]:
        """As the port says."""
        return living_daemons(self._tables, self._clock)
