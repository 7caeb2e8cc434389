"""What both databases can be asked, each in its own words."""

import json
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

from wes_daemon.adapters.persistence.types import Keys, UtcTime

LONGEST = timedelta(days=3650)
"""Longer waits are cut to this, lest a provider's `Retry-After` leaves the calendar."""


class _StoreTime(FunctionElement[datetime]):
    """The database's clock when the statement began, plus so many seconds."""

    type = UtcTime()
    inherit_cache = True


@compiles(_StoreTime, "postgresql")
def _(element: _StoreTime, compiler: SQLCompiler, **options: Any) -> str:
    # now() would be the transaction's start, before it waited for a lock.
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.clauses, **options)}))"


@compiles(_StoreTime, "sqlite")
def _(element: _StoreTime, compiler: SQLCompiler, **options: Any) -> str:
    shift = f"printf('%+.3f seconds', {compiler.process(element.clauses, **options)})"
    return f"(strftime('%Y-%m-%dT%H:%M:%f', 'now', {shift}) || '000+00:00')"


def store_now() -> ColumnElement[datetime]:
    """The present moment on the database's clock, which all daemons share."""
    return _StoreTime(literal_column("0"))


def store_after(time: timedelta) -> ColumnElement[datetime]:
    """The moment on the database's clock that lies `time` ahead, or back where it is negative."""
    return _StoreTime(literal(as_seconds(time)))


def store_in(seconds: ColumnElement[float]) -> ColumnElement[datetime]:
    """As `store_after`, for what differs from row to row."""
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
    """How long ago it was when the statement began, on the database's clock; cheaper to read than two moments."""
    return _SecondsSince(moment)


def as_seconds(time: timedelta) -> float:
    """A wait as a database takes it: no longer than the calendar."""
    return min(time, LONGEST).total_seconds()


def is_one_of(column: ColumnElement[str], *words: str) -> ColumnElement[bool]:
    """Whether the column holds one of the words.

    They are written into the statement: SQLite does not match a parameter with the condition of a partial index.

    Args:
        words: of our own, letters and underscores.
    """
    written: list[ColumnElement[str]] = [literal_column(f"'{word}'") for word in words]
    return column == written[0] if len(written) == 1 else column.in_(written)


def of_same_run(column: Column[Any], run_id: Column[str]) -> ColumnElement[Any]:
    """The column's value in the row of that run in its table, which has one row a run; NULL where there is none.

    It is looked up by the key, row by row: no planner makes a join of it, for which it may go through all of them.
    """
    return select(column).where(column.table.c.run_id == run_id).correlate(run_id.table).scalar_subquery()


class _InList(FunctionElement[bool]):
    inherit_cache = True


@compiles(_InList, "postgresql")
def _(element: _InList, compiler: SQLCompiler, **options: Any) -> str:
    column, keys = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY ({keys})"


@compiles(_InList, "sqlite")
def _(element: _InList, compiler: SQLCompiler, **options: Any) -> str:
    column, keys = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({keys}))"


def in_list(column: ColumnElement[str], keys: Collection[str]) -> ColumnElement[bool]:
    """Whether the column holds one of the keys, of which there may be any number, none included."""
    return _InList(column, bindparam(None, list(keys), Keys, unique=True))


def in_list_parameter(column: ColumnElement[str], parameter: str) -> ColumnElement[bool]:
    """As `in_list`, for the keys that a parameter of this name holds, so that the statement can be built once."""
    return _InList(column, bindparam(parameter, type_=Keys))


class _KeyValue(FunctionElement[str]):
    type = Text()
    inherit_cache = True


@compiles(_KeyValue, "postgresql")
def _(element: _KeyValue, compiler: SQLCompiler, **options: Any) -> str:
    # Of a plain equality a planner can also make a hash, or an order, of the whole table.
    return f"ANY (ARRAY[{compiler.process(element.clauses, **options)}])"


@compiles(_KeyValue, "sqlite")
def _(element: _KeyValue, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


def by_key(key: Column[str], value: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the key is this value of another table, each of which is looked up: there is no other way to join them.

    A planner may take a schedule that was empty a minute ago for small, and would go through all of it.
    """
    return key == _KeyValue(value)


class _InLockedRows(FunctionElement[bool]):
    inherit_cache = True


@compiles(_InLockedRows, "postgresql")
def _(element: _InLockedRows, compiler: SQLCompiler, **options: Any) -> str:
    # A join with the locked rows may lose the index and scan the whole table.
    column, pick = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY (ARRAY{pick})"


@compiles(_InLockedRows, "sqlite")
def _(element: _InLockedRows, compiler: SQLCompiler, **options: Any) -> str:
    column, pick = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN {pick}"


def in_locked_rows(key: Column[str], rows: Select[Any]) -> ColumnElement[bool]:
    """Whether the key is among `rows`, which are locked; rows that others have locked are passed over.

    Args:
        key: of the table to lock; `rows` selects it as its only column.
    """
    locked = rows.with_for_update(of=key.table, skip_locked=True)
    # A LIMIT that is evaluated again and again lets too many through.
    pick: CTE = locked.cte("pick").prefix_with("MATERIALIZED")
    return _InLockedRows(key, select(pick.c[key.name]).scalar_subquery())


class _PairInList(FunctionElement[bool]):
    inherit_cache = True


@compiles(_PairInList, "postgresql")
def _(element: _PairInList, compiler: SQLCompiler, **options: Any) -> str:
    key, seq, pairs = (compiler.process(clause, **options) for clause in element.clauses)
    source = f"json_array_elements(CAST({pairs} AS json)) AS pair"
    return f"({key}, {seq}) IN (SELECT pair ->> 0, (pair ->> 1)::integer FROM {source})"


@compiles(_PairInList, "sqlite")
def _(element: _PairInList, compiler: SQLCompiler, **options: Any) -> str:
    key, seq, pairs = (compiler.process(clause, **options) for clause in element.clauses)
    fields = "json_extract(value, '$[0]'), json_extract(value, '$[1]')"
    return f"({key}, {seq}) IN (SELECT {fields} FROM json_each({pairs}))"


def pair_in_list(
    key: ColumnElement[str], seq: ColumnElement[int], pairs: Sequence[tuple[str, int]]
) -> ColumnElement[bool]:
    """Whether the two columns together hold one of the pairs, of which there may be any number."""
    return _PairInList(key, seq, literal(json.dumps(pairs)))


JSON_ROWS = "json_rows"
"""The parameter of a statement that works on many rows: a list of objects as JSON."""


def rows_from_json(dialect: str, **columns: TypeEngine[Any]) -> FromClause:
    """Any number of rows as a table in a statement, which come as JSON in the parameter `JSON_ROWS`."""
    sent: ColumnElement[Any] = bindparam(JSON_ROWS, type_=Text)
    if dialect == "postgresql":
        declared = (column(name, type) for name, type in columns.items())
        table = func.json_to_recordset(cast(sent, JSON)).table_valued(*declared, name="json_rows")
        return table.render_derived(with_types=True)
    each = func.json_each(sent).table_valued(column("value", Text), name="each")
    members = [func.json_extract(each.c.value, f"$.{name}", type_=type).label(name) for name, type in columns.items()]
    return select(*members).subquery("json_rows")


def json_rows(rows: Sequence[Mapping[str, object]]) -> Mapping[str, str]:
    """The parameters for a statement with `rows_from_json`; values that JSON has, by the names of its columns."""
    return {JSON_ROWS: json.dumps(rows)}


def stored_order(dialect: str) -> ColumnElement[Any]:
    """What sorts rows of `workflow_runs` as the database has stored them: it has no column that tells their age."""
    hidden = "ctid" if dialect == "postgresql" else "rowid"
    return literal_column(f"workflow_runs.{hidden}")


def stored_order_of_few(dialect: str) -> ColumnElement[Any]:
    """As `stored_order`, for rows that an index finds: the sign keeps SQLite from going through all rows in order."""
    return literal_column("workflow_runs.ctid" if dialect == "postgresql" else "+workflow_runs.rowid")


def insert_into(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insertion that can say what is to happen `on_conflict`."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
