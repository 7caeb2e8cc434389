"""Judges the tables of a WES service: what cannot work, what works with limits, and the SQL that fixes it.

On PostgreSQL the catalogs are read; SQLite stores any value in a column of any type, so that little is judged there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, bindparam, text
from sqlalchemy.exc import NotSupportedError

from wes_daemon.adapters.persistence.keys import RUN_KEY_TYPES
from wes_daemon.adapters.persistence.service_views import hint_at_service_views
from wes_daemon.adapters.persistence.tables import service_metadata
from wes_daemon.domain.states import RunState

_TEXTS = frozenset({"varchar", "text", "bpchar", "citext", "name"})
_JSON = frozenset({"json", "jsonb", "text", "varchar"})
TIME_TYPES = frozenset({"timestamp", "timestamptz"})
_TIMES = TIME_TYPES | {"varchar", "text"}
_NUMBERS = frozenset({"int2", "int4", "int8", "numeric"})
_STATE_LENGTH = max(len(state) for state in RunState)
_TASK_ID_LENGTH = 36

# The columns that the daemon writes after a service has inserted the row; `task_logs` is inserted as a whole.
_UPDATED = ("state", "tags", "start_time", "end_time")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceColumn:
    """A column of a service's table.

    Attributes:
        type: the name in `pg_type`, of a domain the name of its base type; on SQLite the declared type.
        length: the longest text; None if there is no limit.
        labels: the values of an enum type; None for other types.
        needs_value: whether an INSERT must name the column, because it is NOT NULL without a default.
        is_computed: whether no statement may write the column.
    """

    table: str
    name: str
    type: str
    declared: str
    length: int | None = None
    labels: frozenset[str] | None = None
    needs_value: bool = False
    is_computed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was found in the service's tables.

    Attributes:
        problems: what prevents the daemon from working. Each names what is there, what is needed, and the SQL for it.
        limits: what works only in part.
    """

    problems: Sequence[str] = ()
    limits: Sequence[str] = ()


def judge(connection: Connection) -> Judgement:
    """Judge those tables of the service that exist. Columns that are missing are reported, tables are not."""
    if connection.dialect.name == "postgresql":
        columns, relations = list(_postgresql_columns(connection)), connection.execute(_RELATIONS).all()
        problems = [*_missing(columns), *_wrong_types(columns), *_computed(columns)]
        problems += [*_unusable(relations), *_problems_of_views(connection)]
        limits = [*_unfillable(columns), *_unusable_task_ids(columns)]
        limits += [*_without_key(relations), *_row_security_limits(relations)]
    else:
        columns = list(_sqlite_columns(connection))
        problems = [*_missing(columns), *_without_rowid(connection)]
        limits = list(_unfillable(columns))
    return Judgement(problems=problems, limits=limits)


def _missing(columns: Sequence[ServiceColumn]) -> Iterator[str]:
    found = {(column.table, column.name) for column in columns}
    for table in service_metadata.sorted_tables:
        missing = [column.name for column in table.columns if (table.name, column.name) not in found]
        if missing and any(name == table.name for name, _ in found):
            names = {name for owner, name in found if owner == table.name}
            yield (
                f"table {table.name} lacks {', '.join(missing)}: add the missing columns, "
                "or use a schema or database for the daemon in which the table has them"
                f"{hint_at_service_views(names)}"
            )


def _wrong_types(columns: Sequence[ServiceColumn]) -> Iterator[str]:
    for column in columns:
        needed = _NEEDED.get(f"{column.table}.{column.name}")
        if needed is None or column.type in needed.types:
            yield from _too_narrow(column)
        elif column.labels is not None and column.name == "state":
            yield from _missing_labels(column)
        elif column.labels is None or not needed.may_be_enum:
            yield (
                f"{column.table}.{column.name} is {column.declared}, but {needed.description} is needed: "
                f"ALTER TABLE {column.table} ALTER COLUMN {column.name} TYPE {needed.suggestion} "
                # Most types have no cast to these that PostgreSQL makes by itself.
                f"USING {column.name}::text::{needed.suggestion}"
            )


def _too_narrow(column: ServiceColumn) -> Iterator[str]:
    if column.name == "state" and column.length is not None and column.length < _STATE_LENGTH:
        yield (
            f"{column.table}.state is {column.declared}, but the longest state has {_STATE_LENGTH} characters: "
            f"ALTER TABLE {column.table} ALTER COLUMN state TYPE varchar(20)"
        )


def _missing_labels(column: ServiceColumn) -> Iterator[str]:
    missing = sorted(set(RunState) - (column.labels or frozenset()))
    if missing:
        statements = "; ".join(f"ALTER TYPE {column.declared} ADD VALUE '{label}'" for label in missing)
        yield f"{column.table}.state is the enum {column.declared} without {', '.join(missing)}: {statements}"


def _computed(columns: Sequence[ServiceColumn]) -> Iterator[str]:
    for column in columns:
        is_written = column.table == "task_logs" or column.name in _UPDATED
        if column.is_computed and is_written and f"{column.table}.{column.name}" in _NEEDED:
            yield (
                f"{column.table}.{column.name} is computed by the database, but the daemon writes it: "
                f"make it an ordinary column of type {_NEEDED[f'{column.table}.{column.name}'].suggestion}"
            )


def _unfillable(columns: Sequence[ServiceColumn]) -> Iterator[str]:
    """Limits by columns that only the service fills. The daemon inserts task logs, and `submit` inserts runs."""
    effects = {"task_logs": "task logs cannot be stored", "workflow_runs": "`wes-daemon submit` cannot queue runs"}
    for table, effect in effects.items():
        known = {column.name for column in service_metadata.tables[table].columns}
        names = [each.name for each in columns if each.table == table and each.needs_value and each.name not in known]
        if names:
            defaults = "; ".join(f"ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT ..." for name in names)
            yield f"{table}.{', '.join(names)} is NOT NULL without a default in the database, so {effect}: {defaults}"


def _unusable_task_ids(columns: Sequence[ServiceColumn]) -> Iterator[str]:
    for column in columns:
        if f"{column.table}.{column.name}" != "task_logs.id" or column.labels is not None:
            continue
        is_text = column.type in _TEXTS and (column.length is None or column.length >= _TASK_ID_LENGTH)
        if not is_text and column.type != "uuid":
            yield (
                f"task_logs.id is {column.declared}, but a task log has a UUID as id, so task logs cannot be stored: "
                "ALTER TABLE task_logs ALTER COLUMN id TYPE varchar(36)"
            )


def _unusable(relations: Sequence[Row[Any]]) -> Iterator[str]:
    for row in relations:
        if row.relkind == "m":
            yield (
                f"view {row.relname} is a materialized view, which cannot be written: "
                "use a table, or a view with triggers"
            )
        if row.has_row_security and not (row.may_read and row.may_write):
            yield (
                f"row level security of {row.relname} hides all rows from the role {row.role}: CREATE POLICY "
                f"wes_daemon ON {row.relname} TO {row.role} USING (true) WITH CHECK (true)"
            )


def _problems_of_views(connection: Connection) -> Iterator[str]:
    names = list(service_metadata.tables)
    for view in connection.execute(_VIEWS, {"names": names}).all():
        yield from _problems_of(connection, view)


def _problems_of(connection: Connection, view: Row[Any]) -> Iterator[str]:
    if view.writable & _CAN_UPDATE_AND_INSERT != _CAN_UPDATE_AND_INSERT:
        yield f"view {view.relname} cannot be written: create INSTEAD OF triggers for INSERT and UPDATE on it"
        return
    names = [column.name for column in service_metadata.tables[view.relname].columns]
    fixed = connection.execute(_FIXED_COLUMNS, {"view": view.oid, "names": names}).scalars().all()
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


def _row_security_limits(relations: Sequence[Row[Any]]) -> Iterator[str]:
    for row in relations:
        if row.has_row_security and row.may_read and row.may_write:
            yield (
                f"row level security of {row.relname} applies to the role {row.role}: runs that its policies hide "
                f"are not executed: ALTER ROLE {row.role} BYPASSRLS"
            )


def _without_key(relations: Sequence[Row[Any]]) -> Iterator[str]:
    for row in relations:
        if row.relname == "workflow_runs" and row.relkind == "r" and not row.has_unique_run_id:
            yield (
                "workflow_runs has no unique index on run_id, so two rows may have the same id: "
                "ALTER TABLE workflow_runs ADD PRIMARY KEY (run_id)"
            )


def _without_rowid(connection: Connection) -> Iterator[str]:
    for row in connection.execute(_SQLITE_TABLES):
        if row.type == "view":
            yield f"{row.name} is a view, which works on PostgreSQL only: use a table"
        elif row.name == "workflow_runs" and row.is_without_rowid:
            yield "workflow_runs is a table WITHOUT ROWID: create it without this clause"


def _postgresql_columns(connection: Connection) -> Iterator[ServiceColumn]:
    for row in connection.execute(_COLUMNS):
        yield ServiceColumn(
            table=row.relname,
            name=row.attname,
            type=row.base_type,
            declared=row.declared,
            length=row.type_modifier - 4 if row.base_type in ("varchar", "bpchar") and row.type_modifier > 4 else None,
            labels=frozenset(row.labels) if row.labels else None,
            needs_value=row.needs_value,
            is_computed=row.is_computed,
        )


def _sqlite_columns(connection: Connection) -> Iterator[ServiceColumn]:
    for table in service_metadata.tables:
        for row in connection.execute(_SQLITE_COLUMNS, {"name": table}):
            yield _sqlite_column(table, row)


def _sqlite_column(table: str, row: Row[Any]) -> ServiceColumn:
    # A column INTEGER PRIMARY KEY gets a value from SQLite.
    is_rowid = row.pk and row.type.upper() == "INTEGER"
    return ServiceColumn(
        table=table,
        name=row.name,
        type=row.type.lower(),
        declared=row.type,
        needs_value=bool(row.notnull) and row.dflt_value is None and not is_rowid,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Needed:
    """The types that a column may have on PostgreSQL."""

    types: frozenset[str]
    description: str
    suggestion: str
    may_be_enum: bool = False


_RUN_ID = _Needed(
    types=frozenset(RUN_KEY_TYPES), description="text, CHAR, UUID, INTEGER or BIGINT", suggestion="varchar(64)"
)
_STATE = _Needed(types=_TEXTS, description="text or an enum of the states", suggestion="varchar(20)")
_LABEL = _Needed(types=_TEXTS, description="text", suggestion="text", may_be_enum=True)
_TIME = _Needed(types=_TIMES, description="TIMESTAMP with or without time zone, or text", suggestion="timestamptz")
_JSON_VALUE = _Needed(types=_JSON, description="JSON, JSONB or text", suggestion="json")
_NUMBER = _Needed(types=_NUMBERS, description="a number", suggestion="integer")

_NEEDED: Mapping[str, _Needed] = {
    "workflow_runs.run_id": _RUN_ID,
    "workflow_runs.state": _STATE,
    "workflow_runs.workflow_params": _JSON_VALUE,
    "workflow_runs.workflow_type": _LABEL,
    "workflow_runs.workflow_type_version": _LABEL,
    "workflow_runs.workflow_engine": _LABEL,
    "workflow_runs.workflow_engine_version": _LABEL,
    "workflow_runs.workflow_url": _LABEL,
    "workflow_runs.tags": _JSON_VALUE,
    "workflow_runs.start_time": _TIME,
    "workflow_runs.end_time": _TIME,
    "task_logs.run_id": _RUN_ID,
    "task_logs.cmd": _JSON_VALUE,
    "task_logs.start_time": _TIME,
    "task_logs.end_time": _TIME,
    "task_logs.exit_code": _NUMBER,
    "task_logs.system_logs": _JSON_VALUE,
}

_NAMES: BindParameter[Sequence[str]] = bindparam("names", list(service_metadata.tables), expanding=True)

# `pg_table_is_visible` is true for the relation that a statement without a schema finds through the search path.
_COLUMNS = text(
    """
    SELECT c.relname, a.attname, coalesce(b.typname, t.typname) AS base_type,
        format_type(a.atttypid, a.atttypmod) AS declared,
        CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS type_modifier,
        (SELECT array_agg(e.enumlabel::text) FROM pg_enum e WHERE e.enumtypid = coalesce(b.oid, t.oid)) AS labels,
        (a.attnotnull OR t.typnotnull) AND NOT a.atthasdef AND t.typdefault IS NULL AND a.attidentity = ''
            AND c.relkind <> 'v' AS needs_value,
        a.attgenerated <> '' OR a.attidentity = 'a' AS is_computed
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
    WHERE c.relname IN :names AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(c.oid)
    ORDER BY c.relname, a.attnum
    """
).bindparams(_NAMES)

_RELATIONS = text(
    """
    SELECT c.relname, c.relkind::text AS relkind, quote_ident(current_user) AS role,
        row_security_active(c.oid) AS has_row_security,
        EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('*', 'r')
            AND (p.polroles = '{0}' OR EXISTS (SELECT FROM unnest(p.polroles) role
                WHERE role <> 0 AND pg_has_role(role, 'MEMBER')))) AS may_read,
        EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('*', 'w')
            AND (p.polroles = '{0}' OR EXISTS (SELECT FROM unnest(p.polroles) role
                WHERE role <> 0 AND pg_has_role(role, 'MEMBER')))) AS may_write,
        EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'run_id'
            WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
            AND i.indnatts = 1 AND i.indkey[0] = a.attnum) AS has_unique_run_id
    FROM pg_class c
    WHERE c.relname IN :names AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(c.oid)
    ORDER BY c.relname
    """
).bindparams(_NAMES)

# Source: pg_relation_is_updatable in the PostgreSQL sources. The bits are those of information_schema.tables.
_CAN_UPDATE_AND_INSERT = 4 | 8
_VIEWS = text(
    """
    SELECT relname, oid, pg_relation_is_updatable(oid, true) AS writable
    FROM pg_class WHERE relkind = 'v' AND oid IN (SELECT to_regclass(name) FROM unnest(:names) AS name)
    ORDER BY relname
    """
)
_FIXED_COLUMNS = text(
    """
    SELECT attname FROM pg_attribute
    WHERE attrelid = :view AND attname = ANY (:names) AND NOT pg_column_is_updatable(:view, attnum, true)
    ORDER BY attnum
    """
)

_SQLITE_TABLES = text(
    """
    SELECT name, type, upper(sql) LIKE '%WITHOUT%ROWID%' AS is_without_rowid FROM sqlite_schema
    WHERE name IN :names AND type IN ('table', 'view') ORDER BY name
    """
).bindparams(_NAMES)
_SQLITE_COLUMNS = text('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(:name)')
