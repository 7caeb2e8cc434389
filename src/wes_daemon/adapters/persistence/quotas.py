"""Quotas in the table `provider_budgets`, counted by the database's clock."""

from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection, Engine, delete, select

from wes_daemon.adapters.persistence.expressions import insert_into, store_after, store_now
from wes_daemon.adapters.persistence.tables import provider_budgets
from wes_daemon.adapters.persistence.transactions import QUOTA_LOCK, acquire_lock, writing
from wes_daemon.application.ports.quotas import Quota, QuotaChange

T = TypeVar("T")

FORGOTTEN_AFTER = timedelta(days=7)
"""How long an unused quota is kept. Credentials change, and the quotas' names with them."""

_COLUMNS = {
    "tokens": provider_budgets.c.tokens,
    "routine_tokens": provider_budgets.c.kept,
    "counted_at": provider_budgets.c.counted_at,
    "peak": provider_budgets.c.peak,
    "throttled_at": provider_budgets.c.throttled_at,
    "blocked_until": provider_budgets.c.held_until,
}
"""The column of each attribute of `Quota`."""


class SqlQuotas:
    """`SharedQuotas` of all daemons on one database. Each change is one short transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def apply(self, name: str, change: QuotaChange[T]) -> T:
        with writing(self._engine) as connection:
            quota = _read_locked(connection, name) or _read_missing(connection, name)
            changed, result = change(quota, _now(connection))
            _write(connection, name, changed)
            connection.commit()
        return result


def _read_locked(connection: Connection, name: str) -> Quota | None:
    columns = [column.label(attribute) for attribute, column in _COLUMNS.items()]
    query = select(*columns).where(provider_budgets.c.name == name).with_for_update()
    row = connection.execute(query).mappings().first()
    return Quota(**row) if row else None


def _read_missing(connection: Connection, name: str) -> Quota | None:
    """Read a missing quota again under `QUOTA_LOCK`, since several daemons may create it at once."""
    acquire_lock(connection, QUOTA_LOCK)
    connection.execute(delete(provider_budgets).where(provider_budgets.c.counted_at < store_after(-FORGOTTEN_AFTER)))
    return _read_locked(connection, name)


def _now(connection: Connection) -> datetime:
    # A separate statement: one that waited for the lock of the row would return an earlier time.
    now: datetime = connection.execute(select(store_now())).scalar_one()
    return now


def _write(connection: Connection, name: str, quota: Quota) -> None:
    values = {column.name: getattr(quota, attribute) for attribute, column in _COLUMNS.items()}
    insertion = insert_into(connection.dialect.name, provider_budgets).values(name=name, **values)
    connection.execute(insertion.on_conflict_do_update(index_elements=["name"], set_=values))
