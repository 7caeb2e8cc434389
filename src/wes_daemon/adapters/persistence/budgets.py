"""Budgets in the table `provider_budgets`, by the database's clock."""

from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection, Engine, delete, select

from wes_daemon.adapters.persistence import locks
from wes_daemon.adapters.persistence.engine import writing
from wes_daemon.adapters.persistence.expressions import insert_into, store_after, store_now
from wes_daemon.adapters.persistence.tables import provider_budgets
from wes_daemon.application.ports.budgets import Budget, Revision

T = TypeVar("T")

KEPT = timedelta(days=7)
"""How long a budget that nobody spends is remembered: credentials change, and with them the names."""

_VALUES = tuple(column for column in provider_budgets.columns if not column.primary_key)


class SqlBudgets:
    """`SharedBudgets` of all who work on one database: a short transaction for each revision."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def revise(self, name: str, revision: Revision[T]) -> T:
        """As the port says."""
        with writing(self._engine) as connection:
            budget = _locked(connection, name) or _first(connection, name)
            revised, answer = revision(budget, _now(connection))
            _write(connection, name, revised)
            connection.commit()
        return answer


def _locked(connection: Connection, name: str) -> Budget | None:
    query = select(*_VALUES).where(provider_budgets.c.name == name).with_for_update()
    row = connection.execute(query).mappings().first()
    return Budget(**row) if row else None


def _first(connection: Connection, name: str) -> Budget | None:
    """A row that is not there cannot be locked; of those who miss it, all but the first find it now."""
    locks.take(connection, locks.OPENING_A_BUDGET)
    connection.execute(delete(provider_budgets).where(provider_budgets.c.counted_at < store_after(-KEPT)))
    return _locked(connection, name)


def _now(connection: Connection) -> datetime:
    """Asked for once the row is ours: a statement that had to wait for it has an older idea of the time."""
    now: datetime = connection.execute(select(store_now())).scalar_one()
    return now


def _write(connection: Connection, name: str, budget: Budget) -> None:
    values = {column.name: getattr(budget, column.name) for column in _VALUES}
    insertion = insert_into(connection.dialect.name, provider_budgets).values(name=name, **values)
    connection.execute(insertion.on_conflict_do_update(index_elements=["name"], set_=values))
