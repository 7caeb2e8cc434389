"""Statements on many rows, which are sent as JSON in one parameter and unpacked by the database.

One parameter for each value would cost the client more time than the database needs for the row.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnClause,
    ColumnElement,
    Connection,
    Dialect,
    FromClause,
    Integer,
    Table,
    Text,
    bindparam,
    cast,
    column,
    exists,
    func,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from wes_daemon.adapters.persistence.expressions import JSON_ROWS, by_key, insert_into, rows_from_json
from wes_daemon.adapters.persistence.keys import Key, RunKey
from wes_daemon.adapters.persistence.relations import relations_of
from wes_daemon.adapters.persistence.server_encoding import UTF8, ServerEncoding, encoding_of
from wes_daemon.adapters.persistence.tables import daemon_metadata
from wes_daemon.adapters.persistence.types import (
    Json,
    PlainText,
    ServiceTime,
    UtcTime,
    iso_time,
    json_text,
    service_time_text,
    storable_json,
    storable_text,
    truncated,
)

Row = Mapping[str, object]
_Writer = Callable[[Any], object]

# Matches a possible NUL or lone surrogate in ASCII-only JSON.
_SUSPICIOUS = re.compile(r"\\u(0000|d[89a-f])")


def rows_of_table(dialect: str, table: Table, names: Iterable[str]) -> FromClause:
    """A table expression of rows with columns of `table`, read from the JSON in the parameter `JSON_ROWS`.

    The columns of a service's table have the types that the service chose. `table_rows` returns the parameter.
    """
    if dialect != "postgresql":
        return rows_from_json(dialect, **dict.fromkeys(names, Text()))
    if table.metadata is daemon_metadata:
        # Naming the few types costs the server half of what a lookup of all column types costs.
        return rows_from_json(dialect, **{name: _DECLARED[type(table.c[name].type)] for name in names})
    like: ColumnElement[Any] = literal_column(f"NULL::{table.name}")
    columns: list[ColumnClause[Any]] = [column(name) for name in names]
    text = cast(bindparam(JSON_ROWS, type_=Text), JSON)
    return func.json_populate_recordset(like, text).table_valued(*columns, name="json_rows")


def values_from(source: FromClause, table: Table, names: Iterable[str]) -> dict[str, ColumnElement[Any]]:
    """The values for columns of `table`, by name, from the expression that `rows_of_table` returned."""
    return {name: _value(source.c[name], table.c[name]) for name in names}


def _value(value: ColumnElement[Any], column: Column[Any]) -> ColumnElement[Any]:
    if not isinstance(column.type, Json):
        return value
    return _JsonValue(value, literal_column(f"{column.table.name}.{column.name}"))


class _JsonValue(FunctionElement[Any]):
    """A value for a JSON column. `_in_encoding` says in which form it is sent."""

    inherit_cache = True


@compiles(_JsonValue)
def _(element: _JsonValue, compiler: SQLCompiler, **options: Any) -> str:
    value, path = element.clauses
    sent = compiler.process(value, **options)
    type = relations_of(compiler.dialect).types.get(str(path), "json")
    if encoding_of(compiler.dialect).codec is None or not type.startswith("json"):
        return sent
    return f"CAST({sent} #>> '{{}}' AS {type})"


def table_rows(dialect: Dialect, table: Table, rows: Sequence[Row]) -> Mapping[str, str]:
    """The parameters of a statement with `rows_of_table`.

    Args:
        rows: at least one; all have the same columns in the same order.
    """
    if dialect.name != "postgresql":
        return {JSON_ROWS: _text(dialect, table, rows, _IN_SQLITE, _CLEAN_IN_SQLITE)}
    encoding = encoding_of(dialect)
    if encoding is not UTF8:
        return {JSON_ROWS: json.dumps(_written(dialect, table, rows, _in_encoding(encoding)), ensure_ascii=False)}
    return {JSON_ROWS: _text(dialect, table, rows, _IN_POSTGRESQL, _CLEAN_IN_POSTGRESQL)}


def insertion(
    dialect: str, table: Table, names: Iterable[str], **same_in_all: ColumnElement[Any]
) -> postgresql.Insert | sqlite.Insert:
    """An INSERT of the rows in `JSON_ROWS`, in their order; the further columns `same_in_all` are equal in all rows."""
    source = rows_of_table(dialect, table, names)
    # SQLite parses ON CONFLICT after a SELECT as a join unless a WHERE stands between them.
    values = {**values_from(source, table, source.c.keys()), **same_in_all}
    return insert_into(dialect, table).from_select([*values], select(*values.values()).where(true()))


def insert_all(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert the rows in their order."""
    if rows:
        dialect = connection.dialect.name
        connection.execute(_inserting(dialect, table, tuple(rows[0])), table_rows(connection.dialect, table, rows))


def put(connection: Connection, table: Table, rows: Sequence[Row], *, key: str) -> None:
    """Insert the rows; where a key exists, update the named columns. Of several rows with one key the last counts.

    On PostgreSQL a service's table may be a view, or be partitioned by further columns of its key.
    """
    if latest := list({row[key]: row for row in rows}.values()):
        dialect = connection.dialect.name
        connection.execute(
            _putting(dialect, table, tuple(latest[0]), key), table_rows(connection.dialect, table, latest)
        )


# These statements are built once, because building one takes longer than sending it.


@cache
def _inserting(dialect: str, table: Table, names: tuple[str, ...]) -> postgresql.Insert | sqlite.Insert:
    return insertion(dialect, table, names)


@cache
def _putting(dialect: str, table: Table, names: tuple[str, ...], key: str) -> postgresql.Insert | sqlite.Insert:
    if dialect == "postgresql" and table.metadata is not daemon_metadata:
        return _updating_or_inserting(table, names, key)
    statement = insertion(dialect, table, names)
    named = {name: statement.excluded[name] for name in names if name != key}
    return statement.on_conflict_do_update(index_elements=[key], set_=named)


def _updating_or_inserting(table: Table, names: tuple[str, ...], key: str) -> postgresql.Insert:
    """As ON CONFLICT DO UPDATE, which views with triggers do not support, and which needs a unique index on the key.

    The caller's claim keeps other daemons from inserting the same keys meanwhile.
    """
    rows = rows_of_table("postgresql", table, names)
    values = values_from(rows, table, names)
    given = select(*(value.label(name) for name, value in values.items())).cte("given")
    updated = (
        update(table)
        .where(by_key(table.c[key], given.c[key]))
        .values({name: given.c[name] for name in names if name != key})
        .returning(table.c[key])
        .cte("updated")
    )
    is_new = ~exists().where(updated.c[key] == given.c[key])
    return postgresql.insert(table).from_select(names, select(*given.c).where(is_new))


def _text(
    dialect: Dialect,
    table: Table,
    rows: Sequence[Row],
    writers: Mapping[type, _Writer],
    cleaning: Mapping[type, _Writer],
) -> str:
    try:
        text = json.dumps(_written(dialect, table, rows, writers), allow_nan=False)
    except (TypeError, ValueError):
        # A value cannot be serialized. This text makes the search below succeed, so that all values are cleaned.
        text = r"\u0000"
    if _SUSPICIOUS.search(text):
        # This is rare, and only such rows cost an inspection of every value.
        return json.dumps(_written(dialect, table, rows, cleaning))
    return text


def _written(dialect: Dialect, table: Table, rows: Sequence[Row], writers: Mapping[type, _Writer]) -> Sequence[Row]:
    converted = [(name, write) for name in rows[0] if (write := _writer(dialect, table.c[name], writers))]
    written = [dict(row) for row in rows]
    for name, write in converted:
        for row in written:
            if row[name] is not None:
                row[name] = write(row[name])
    return written


def _writer(dialect: Dialect, column: Column[Any], writers: Mapping[type, _Writer]) -> _Writer | None:
    write = writers.get(type(column.type))
    length = longest_text(dialect, column)
    if length is None:
        return write
    encoding = encoding_of(dialect)
    return lambda value: truncated(str(write(value) if write else value), length, encoding)


def longest_text(dialect: Dialect, column: Column[Any]) -> int | None:
    """The length to which texts for the column are truncated; None if it has no limit."""
    if not isinstance(column.type, PlainText):
        return None
    relations, path = relations_of(dialect), f"{column.table.name}.{column.name}"
    return None if path in relations.unlimited else relations.lengths.get(path, column.type.length)


def _extractable(value: object) -> object:
    """Return a value that SQLite extracts from JSON as JSON text: it does so for objects and lists only."""
    return value if isinstance(value, dict | list | tuple) else json_text(value)


def _with_zone(moment: datetime) -> str:
    # PostgreSQL would read a time without a zone in the session's zone. A column without a zone ignores the zone.
    return f"{service_time_text(moment)}+00:00"


_DECLARED: Mapping[type, TypeEngine[Any]] = {
    Key: Text(),
    RunKey: RunKey(),
    PlainText: Text(),
    Json: JSON(),
    UtcTime: postgresql.TIMESTAMP(timezone=True),
    Integer: Integer(),
}

_IN_POSTGRESQL: Mapping[type, _Writer] = {ServiceTime: _with_zone, UtcTime: iso_time}
_IN_SQLITE: Mapping[type, _Writer] = {ServiceTime: service_time_text, UtcTime: iso_time, Json: _extractable}

_CLEAN_IN_POSTGRESQL: Mapping[type, _Writer] = {
    **_IN_POSTGRESQL,
    Key: storable_text,
    RunKey: storable_text,
    PlainText: storable_text,
    Json: storable_json,
}


def _in_encoding(encoding: ServerEncoding) -> Mapping[type, _Writer]:
    """How values are written for a database whose encoding is not UTF-8.

    If the encoding lacks characters, a value for a JSON column is sent as a JSON text in a JSON string: the server
    would convert each escape in a JSON value, and refuse those of characters that it cannot hold.
    """
    return {
        **_CLEAN_IN_POSTGRESQL,
        PlainText: lambda value: encoding.text(storable_text(str(value))),
        Json: storable_json if encoding.codec is None else lambda value: encoding.json(json_text(value)),
    }


# SQLite can store a key with NUL and find it, so keys stay as they are.
_CLEAN_IN_SQLITE: Mapping[type, _Writer] = {**_IN_SQLITE, PlainText: storable_text, Json: json_text}
