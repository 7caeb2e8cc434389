"""What `workflow_runs` and `task_logs` are on PostgreSQL: tables, partitioned tables or views of a WES service.

A view has no system columns, and a row of a partitioned table is located by its partition and its place in it.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import NotSupportedError

from wes_daemon.adapters.persistence.tables import service_metadata

SERVICE_RELATIONS = "wes_daemon_service_relations"
"""Execution option of engines for PostgreSQL: their `ServiceRelations`."""

STORED_ORDER_COLUMN = "stored_order"
"""A view may have this column: its rows are then enrolled in this order, and otherwise by their run ids."""

_KIND_OF_WORKFLOW_RUNS = f"""
SELECT relkind, EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = '{STORED_ORDER_COLUMN}' AND NOT attisdropped
)
FROM pg_class WHERE oid = to_regclass('workflow_runs')
"""

# Source: pg_relation_is_updatable in the PostgreSQL sources. The bits are those of information_schema.tables.
_CAN_UPDATE_AND_INSERT = 4 | 8
_VIEWS = text(
    """
    SELECT relname, oid, relkind = 'm' AS is_materialized, pg_relation_is_updatable(oid, true) AS writable
    FROM pg_class WHERE relkind IN ('v', 'm') AND oid IN (SELECT to_regclass(name) FROM unnest(:names) AS name)
    ORDER BY relname
    """
)
_VIEWS_ON_SQLITE = text("SELECT name FROM sqlite_master WHERE type = 'view' ORDER BY name")
_COLUMNS = text(
    """
    SELECT attname FROM pg_attribute
    WHERE attrelid = :view AND attname = ANY (:names) AND NOT pg_column_is_updatable(:view, attnum, true)
    ORDER BY attnum
    """
)


class ServiceRelations:
    """The relation that `workflow_runs` is, found out at the first connection and when the schema is checked.

    Attributes:
        stored_order: the SQL by which the rows are sorted as they were stored.
    """

    def __init__(self) -> None:
        self.stored_order = _TABLE_ORDER
        self._is_known = False

    def recognise_once(self, driver_connection: Any, _record: object) -> None:
        """Find out the kind of relation unless it is known: a listener for the event `connect`."""
        if not self._is_known:
            with driver_connection.cursor() as cursor:
                cursor.execute(_KIND_OF_WORKFLOW_RUNS)
                self._set(cursor.fetchone())
            driver_connection.rollback()

    def recognise(self, connection: Connection) -> None:
        """Find out the kind of relation again: it may have been created since."""
        self._set(connection.exec_driver_sql(_KIND_OF_WORKFLOW_RUNS).first())

    def _set(self, row: Any) -> None:
        self._is_known = row is not None
        kind, has_order = row or ("r", False)
        if kind in ("v", "m"):
            self.stored_order = _ORDERED_VIEW_ORDER if has_order else _VIEW_ORDER
        else:
            self.stored_order = _PARTITIONED_ORDER if kind == "p" else _TABLE_ORDER


_TABLE_ORDER = "workflow_runs.ctid"
# Partitions are usually created in the order of their ranges, so that older ones have lower numbers.
_PARTITIONED_ORDER = "ROW(workflow_runs.tableoid, workflow_runs.ctid)"
_ORDERED_VIEW_ORDER = f"ROW(workflow_runs.{STORED_ORDER_COLUMN}, workflow_runs.run_id)"
_VIEW_ORDER = "workflow_runs.run_id"


def recognise_service_relations(connection: Connection) -> None:
    """Find out again what `workflow_runs` is, for the connection's engine."""
    relations = connection.get_execution_options().get(SERVICE_RELATIONS)
    if relations is not None:
        relations.recognise(connection)


def stored_order(connection: Connection) -> str:
    """The order in which the database stored the rows of `workflow_runs`, which has no column for their age: SQL."""
    if connection.dialect.name == "sqlite":
        return "workflow_runs.rowid"
    relations = connection.get_execution_options().get(SERVICE_RELATIONS)
    return _TABLE_ORDER if relations is None else str(relations.stored_order)


def stored_order_of_few(connection: Connection) -> str:
    """As `stored_order`, for rows found by an index. The plus sign prevents SQLite from scanning all rows in order."""
    order = stored_order(connection)
    return f"+{order}" if connection.dialect.name == "sqlite" else order


def problems_of_views(connection: Connection) -> Iterator[str]:
    """What prevents the daemon from using the service's views, each with what fixes it; nothing for tables."""
    names = list(service_metadata.tables)
    if connection.dialect.name == "sqlite":
        views = connection.execute(_VIEWS_ON_SQLITE).scalars().all()
        yield from (f"{view} is a view, which works on PostgreSQL only: use a table" for view in views if view in names)
        return
    for view in connection.execute(_VIEWS, {"names": names}).all():
        yield from _problems_of(connection, view)


def _problems_of(connection: Connection, view: Row[Any]) -> Iterator[str]:
    if view.is_materialized:
        yield f"{view.relname} is a materialized view, which cannot be written: use a table, or a view with triggers"
        return
    if view.writable & _CAN_UPDATE_AND_INSERT != _CAN_UPDATE_AND_INSERT:
        yield f"view {view.relname} cannot be written: create INSTEAD OF triggers for INSERT and UPDATE on it"
        return
    names = [column.name for column in service_metadata.tables[view.relname].columns]
    fixed = connection.execute(_COLUMNS, {"view": view.oid, "names": names}).scalars().all()
    if fixed:
        yield (
            f"view {view.relname} computes {', '.join(fixed)}, which cannot be written: "
            "create INSTEAD OF triggers for INSERT and UPDATE on it"
        )
    if not _can_lock_rows(connection, view.relname):
        yield (
            f"view {view.relname} has rows that cannot be locked: "
            "define it without outer join, grouping, DISTINCT, UNION and window functions"
        )


def _can_lock_rows(connection: Connection, view: str) -> bool:
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(f"EXPLAIN SELECT * FROM {view} FOR UPDATE")
    except NotSupportedError:
        return False
    return True
