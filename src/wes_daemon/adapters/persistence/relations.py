"""What the tables of a WES service are in this database, as statements need to know it while they are compiled.

On PostgreSQL `workflow_runs` and `task_logs` may be tables, partitioned tables or views, and their columns have the
types and lengths that the service chose. A view has no system columns, and a row of a partitioned table is located by
its partition and its place in it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg2.extensions import connection as DriverConnection  # noqa: N812 - the driver's name of its class
from sqlalchemy import Connection, Dialect, Engine

_ATTRIBUTE = "wes_daemon_relations"

STORED_ORDER_COLUMN = "stored_order"
"""A view may have this column: its rows are then enrolled in this order, and otherwise by their run ids."""

_TABLE_ORDER = "workflow_runs.ctid"
# Partitions are usually created in the order of their ranges, so that older ones have lower numbers.
_PARTITIONED_ORDER = "ROW(workflow_runs.tableoid, workflow_runs.ctid)"
_ORDERED_VIEW_ORDER = f"ROW(workflow_runs.{STORED_ORDER_COLUMN}, workflow_runs.run_id)"
_VIEW_ORDER = "workflow_runs.run_id"

# The statements find the tables through the search path, as all others do. Of a domain the base type counts.
_COLUMNS = """
SELECT c.relname || '.' || a.attname, c.relkind::text, coalesce(b.typname, t.typname)::text,
    CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
WHERE c.oid IN (to_regclass('workflow_runs'), to_regclass('task_logs'))
"""
_WITH_LENGTH = frozenset({"varchar", "bpchar"})
# The modifier of a type with a length is the length plus 4.
_MODIFIER_OFFSET = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRelations:
    """The service's tables on PostgreSQL; empty if they do not exist, and on SQLite.

    Attributes:
        stored_order: the SQL by which the rows of `workflow_runs` are sorted as they were stored.
        types: the name of each column's type in `pg_type`, by `table.column`.
        lengths: the longest text of each column that limits it, by `table.column`.
        unlimited: the columns of tables that limit no text; a column of a view may hide a limit.
    """

    stored_order: str = _TABLE_ORDER
    types: Mapping[str, str] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)
    unlimited: Collection[str] = frozenset()


_UNKNOWN = ServiceRelations()


def relations_of(dialect: Dialect) -> ServiceRelations:
    """The service's tables in the database of this dialect's engine."""
    found: ServiceRelations = getattr(dialect, _ATTRIBUTE, _UNKNOWN)
    return found


def recognise_once(engine: Engine, connection: DriverConnection) -> None:
    """Find out what the service's tables are, on a new connection, unless it is known."""
    if relations_of(engine.dialect).types:
        return
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS)
        rows = cursor.fetchall()
    connection.rollback()
    _use(engine, _relations_from(rows))


def recognise(connection: Connection) -> None:
    """Find out again what the service's tables are: they may have been created or changed since."""
    if connection.dialect.name == "postgresql":
        _use(connection.engine, _relations_from([tuple(row) for row in connection.exec_driver_sql(_COLUMNS)]))


def stored_order(connection: Connection) -> str:
    """The order in which the database stored the rows of `workflow_runs`, which has no column for their age: SQL."""
    if connection.dialect.name == "sqlite":
        return "workflow_runs.rowid"
    return relations_of(connection.dialect).stored_order


def stored_order_of_few(connection: Connection) -> str:
    """As `stored_order`, for rows found by an index. The plus sign prevents SQLite from scanning all rows in order."""
    order = stored_order(connection)
    return f"+{order}" if connection.dialect.name == "sqlite" else order


def _use(engine: Engine, relations: ServiceRelations) -> None:
    if relations_of(engine.dialect) != relations:
        setattr(engine.dialect, _ATTRIBUTE, relations)
        engine.clear_compiled_cache()


def _relations_from(rows: Sequence[tuple[str, str, str, int]]) -> ServiceRelations:
    kinds = {name: kind for name, kind, _, _ in rows}
    lengths = {
        name: modifier - _MODIFIER_OFFSET for name, _, type, modifier in rows if type in _WITH_LENGTH and modifier > 0
    }
    return ServiceRelations(
        stored_order=_order(kinds),
        types={name: type for name, _, type, _ in rows},
        lengths=lengths,
        unlimited=frozenset(name for name, kind in kinds.items() if kind != "v" and name not in lengths),
    )


def _order(kinds: Mapping[str, str]) -> str:
    match kinds.get("workflow_runs.run_id"):
        case "v" | "m":
            return _ORDERED_VIEW_ORDER if f"workflow_runs.{STORED_ORDER_COLUMN}" in kinds else _VIEW_ORDER
        case "p":
            return _PARTITIONED_ORDER
        case _:
            return _TABLE_ORDER
