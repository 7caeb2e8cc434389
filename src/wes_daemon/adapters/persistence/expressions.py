"""SQL expressions that SQLite and PostgreSQL write differently."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    JSON,
    Column,
    ColumnElement,
    Float,
    FromClause,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from wes_daemon.adapters.persistence.keys import RunKeyType, declared_key, keys_for
from wes_daemon.adapters.persistence.tables import service_metadata
from wes_daemon.adapters.persistence.types import UtcTime

_SURROGATES = re.compile("[\ud800-\udfff]")

LONGEST = timedelta(days=3650)
"""The longest wait. A longer one, such as a provider's `Retry-After`, could exceed the range of a timestamp."""


class _StoreTime(FunctionElement[datetime]):
    """The time on the database's clock when the statement began, plus a number of seconds."""

    type = UtcTime()
    inherit_cache = True


@compiles(_StoreTime, "postgresql")
def _(element: _StoreTime, compiler: SQLCompiler, **options: Any) -> str:
    # now() is the start of the transaction, which may have waited for a lock since.
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.clauses, **options)}))"


@compiles(_StoreTime, "sqlite")
def _(element: _StoreTime, compiler: SQLCompiler, **options: Any) -> str:
    shift = f"printf('%+.3f seconds', {compiler.process(element.clauses, **options)})"
    return f"(strftime('%Y-%m-%dT%H:%M:%f', 'now', {shift}) || '000+00:00')"


def store_now() -> ColumnElement[datetime]:
    """The present time on the database's clock, which all daemons share."""
    return _StoreTime(literal_column("0"))


def store_after(time: timedelta) -> ColumnElement[datetime]:
    """The present time on the database's clock plus `time`, which may be negative."""
    return _StoreTime(literal(as_seconds(time)))


def store_in(seconds: ColumnElement[float]) -> ColumnElement[datetime]:
    """As `store_after`, for a number of seconds that differs from row to row."""
    return _StoreTime(seconds)


class _SecondsSince(FunctionElement[float]):
    type = Float()
    inherit_cache = True


@compiles(_SecondsSince, "postgresql")
def _(element: _SecondsSince, compiler: SQLCompiler, **options: Any) -> str:
    moment = compiler.process(element.clauses, **options)
    return f"CAST(extract(epoch FROM statement_timestamp() - {moment}) AS double precision)"


@compiles(_SecondsSince, "sqlite")
def _(element: _SecondsSince, compiler: SQLCompiler, **options: Any) -> str:
    return f"((julianday('now') - julianday({compiler.process(element.clauses, **options)})) * 86400.0)"


def seconds_since(moment: ColumnElement[datetime]) -> ColumnElement[float]:
    """Seconds from `moment` to the start of the statement, on the database's clock.

    Reading one number is cheaper than reading two times.
    """
    return _SecondsSince(moment)


def as_seconds(time: timedelta) -> float:
    """The seconds of a wait, at most those of `LONGEST`."""
    return min(time, LONGEST).total_seconds()


def is_one_of(column: ColumnElement[str], *values: str) -> ColumnElement[bool]:
    """Whether the column holds one of the values.

    The values become literals of the statement: SQLite does not match a parameter with the condition of a partial
    index.

    Args:
        values: constants of this package, of letters and underscores only.
    """
    literals: list[ColumnElement[str]] = [literal_column(f"'{value}'") for value in values]
    return column == literals[0] if len(literals) == 1 else column.in_(literals)


def of_same_run(column: Column[Any], run_id: Column[str]) -> ColumnElement[Any]:
    """The column's value in the row of that run, in a table with one row for each run; NULL if there is none.

    A scalar subquery looks each row up by its key. A planner could execute a join by scanning the whole table.
    """
    rows = select(column).where(column.table.c.run_id == run_id).correlate(run_id.table)
    # PostgreSQL refuses a second row. In a partitioned table of a service the run id may be a part of the key only.
    return (rows.limit(literal_column("1")) if column.table.metadata is service_metadata else rows).scalar_subquery()


class _InList(FunctionElement[bool]):
    inherit_cache = True


@compiles(_InList, "postgresql")
def _(element: _InList, compiler: SQLCompiler, **options: Any) -> str:
    column, keys = (compiler.process(clause, **options) for clause in element.clauses)
    declared = declared_key(next(iter(element.clauses)), compiler.dialect)
    return f"{column} = ANY ({keys if declared == RunKeyType.TEXT else f'CAST({keys} AS {declared}[])'})"


@compiles(_InList, "sqlite")
def _(element: _InList, compiler: SQLCompiler, **options: Any) -> str:
    column, keys = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({keys}))"


def in_list(column: ColumnElement[str], keys: Collection[str]) -> ColumnElement[bool]:
    """Whether the column holds one of any number of keys; false for none."""
    return _InList(column, bindparam(None, list(keys), keys_for(column), unique=True))


def in_list_parameter(column: ColumnElement[str], parameter: str) -> ColumnElement[bool]:
    """As `in_list`, with the keys in a parameter of this name, so that the statement can be built once."""
    return _InList(column, bindparam(parameter, type_=keys_for(column)))


class _KeyValue(FunctionElement[str]):
    type = Text()
    inherit_cache = True


@compiles(_KeyValue, "postgresql")
def _(element: _KeyValue, compiler: SQLCompiler, **options: Any) -> str:
    # For a plain equality a planner may also hash or sort the whole table.
    return f"ANY (ARRAY[{compiler.process(element.clauses, **options)}])"


@compiles(_KeyValue, "sqlite")
def _(element: _KeyValue, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


def by_key(key: Column[str], value: ColumnElement[str]) -> ColumnElement[bool]:
    """A join condition that forces one lookup by key for each row of the other table.

    With outdated statistics a planner may assume that a table is still empty, and scan it.
    """
    return key == _KeyValue(value)


class _InLockedRows(FunctionElement[bool]):
    inherit_cache = True


@compiles(_InLockedRows, "postgresql")
def _(element: _InLockedRows, compiler: SQLCompiler, **options: Any) -> str:
    # A join with the locked rows may not use the index and may scan the whole table.
    column, pick = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY (ARRAY{pick})"


@compiles(_InLockedRows, "sqlite")
def _(element: _InLockedRows, compiler: SQLCompiler, **options: Any) -> str:
    column, pick = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN {pick}"


def in_locked_rows(key: Column[str], rows: Select[Any]) -> ColumnElement[bool]:
    """Whether the key is one of `rows`, which are locked. Rows that other transactions have locked are skipped.

    Args:
        key: the key of the table to lock, and the only column of `rows`.
    """
    locked = rows.with_for_update(of=key.table, skip_locked=True)
    # Without MATERIALIZED a planner may evaluate the LIMIT once for each row, which selects too many rows.
    pick: CTE = locked.cte("pick").prefix_with("MATERIALIZED")
    return _InLockedRows(key, select(pick.c[key.name]).scalar_subquery())


class _PairInList(FunctionElement[bool]):
    inherit_cache = True


@compiles(_PairInList, "postgresql")
def _(element: _PairInList, compiler: SQLCompiler, **options: Any) -> str:
    key, seq, pairs = (compiler.process(clause, **options) for clause in element.clauses)
    source = f"json_array_elements(CAST({pairs} AS json)) AS pair"
    declared = declared_key(next(iter(element.clauses)), compiler.dialect)
    return f"({key}, {seq}) IN (SELECT (pair ->> 0)::{declared}, (pair ->> 1)::integer FROM {source})"


@compiles(_PairInList, "sqlite")
def _(element: _PairInList, compiler: SQLCompiler, **options: Any) -> str:
    key, seq, pairs = (compiler.process(clause, **options) for clause in element.clauses)
    fields = "json_extract(value, '$[0]'), json_extract(value, '$[1]')"
    return f"({key}, {seq}) IN (SELECT {fields} FROM json_each({pairs}))"


def pair_in_list(
    key: ColumnElement[str], seq: ColumnElement[int], pairs: Sequence[tuple[str, int]]
) -> ColumnElement[bool]:
    """Whether the two columns together hold one of any number of pairs."""
    return _PairInList(key, seq, literal(_unescaped_json(pairs)))


JSON_ROWS = "json_rows"
"""The parameter with the rows of a statement on many rows: a JSON list of objects."""


def rows_from_json(dialect: str, **columns: TypeEngine[Any]) -> FromClause:
    """A table expression of any number of rows, read from the JSON in the parameter `JSON_ROWS`."""
    sent: ColumnElement[Any] = bindparam(JSON_ROWS, type_=Text)
    if dialect == "postgresql":
        declared = (column(name, type) for name, type in columns.items())
        table = func.json_to_recordset(cast(sent, JSON)).table_valued(*declared, name="json_rows")
        return table.render_derived(with_types=True)
    each = func.json_each(sent).table_valued(column("value", Text), name="each")
    members = [func.json_extract(each.c.value, f"$.{name}", type_=type).label(name) for name, type in columns.items()]
    return select(*members).subquery("json_rows")


def json_rows(rows: Sequence[Mapping[str, object]]) -> Mapping[str, str]:
    """The parameters of a statement with `rows_from_json`: JSON values by column name."""
    return {JSON_ROWS: _unescaped_json(rows)}


def _unescaped_json(value: object) -> str:
    """JSON in which characters stand for themselves: a database in SQL_ASCII refuses escapes of other characters."""
    text = json.dumps(value, ensure_ascii=False)
    # The driver cannot send half of a surrogate pair.
    return json.dumps(value) if _SURROGATES.search(text) else text


def insert_into(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT with the dialect's `on_conflict` methods."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
