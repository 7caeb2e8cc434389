"""The leases of daemon sessions, on the database's clock."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Select, Update, delete, insert, select, update

from wes_daemon.adapters.persistence.expressions import store_after, store_now
from wes_daemon.adapters.persistence.mapping import daemon_from, publication_text
from wes_daemon.adapters.persistence.tables import daemons
from wes_daemon.application.ports.errors import LeaseLost
from wes_daemon.application.ports.leases import DaemonInfo, SessionId

KEPT = timedelta(days=7)
"""How long an expired session stays in the table, for diagnosis."""


class SqlLeaseRepository:
    """`LeaseRepository` in the table `daemons`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open(self, daemon: DaemonInfo, *, lasting: timedelta) -> None:
        self._connection.execute(delete(daemons).where(daemons.c.lease_until < store_after(-KEPT)))
        self._connection.execute(
            insert(daemons).values(
                id=daemon.id,
                host=daemon.host,
                pid=daemon.pid,
                version=daemon.version,
                started_at=daemon.started_at,
                lease_until=store_after(lasting),
                providers=publication_text(daemon.providers),
            )
        )

    def renew(self, daemon: SessionId, *, lasting: timedelta) -> None:
        renewed = self._connection.execute(_update_valid(daemon).values(lease_until=store_after(lasting)))
        if renewed.rowcount == 0:
            raise LeaseLost(f"daemon {daemon}: its lease has expired: start a new session")

    def close(self, daemon: SessionId) -> None:
        self._connection.execute(_update_valid(daemon).values(lease_until=store_now()))

    def daemons(self) -> Sequence[DaemonInfo]:
        return [daemon_from(row) for row in self._connection.execute(select_daemons())]


def select_daemons() -> Select[Any]:
    """Rows for `daemon_from`: the sessions whose lease is valid, oldest first."""
    return (
        select(daemons, store_now().label("now"))
        .where(daemons.c.lease_until > store_now())
        .order_by(daemons.c.started_at, daemons.c.id)
    )


def _update_valid(daemon: SessionId) -> Update:
    return update(daemons).where(daemons.c.id == daemon, daemons.c.lease_until > store_now())
