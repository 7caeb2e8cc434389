"""Leases of daemon sessions in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from wes_daemon.adapters.memory.store import DaemonRow, Tables
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import LeaseLost
from wes_daemon.application.ports.leases import DaemonInfo, SessionId


def live_daemons(tables: Tables, clock: Clock) -> Sequence[DaemonInfo]:
    """The sessions whose lease is valid, oldest first."""
    now = clock.now()
    live = [
        replace(row.info, lease_left=row.lease_until - now) for row in tables.daemons.values() if row.lease_until > now
    ]
    return sorted(live, key=lambda info: info.started_at)


class MemoryLeaseRepository:
    """`LeaseRepository` on the memory tables."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    def open(self, daemon: DaemonInfo, *, lasting: timedelta) -> None:
        self._tables.daemons[daemon.id] = DaemonRow(daemon, self._clock.now() + lasting)

    def renew(self, daemon: SessionId, *, lasting: timedelta) -> None:
        row = self._tables.daemons.get(daemon)
        if row is None or row.lease_until <= self._clock.now():
            raise LeaseLost(f"daemon {daemon}: its lease has expired: start a new session")
        self._tables.daemons[daemon] = replace(row, lease_until=self._clock.now() + lasting)

    def close(self, daemon: SessionId) -> None:
        row = self._tables.daemons.get(daemon)
        if row is not None:
            self._tables.daemons[daemon] = replace(row, lease_until=min(row.lease_until, self._clock.now()))

    def daemons(self) -> Sequence[DaemonInfo]:
        return live_daemons(self._tables, self._clock)
