"""Many rows in one statement: they travel as JSON in one parameter, and the database takes them apart.

A parameter for each value costs the client more than the database needs for the row.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnClause,
    ColumnElement,
    Connection,
    FromClause,
    Table,
    Text,
    cast,
    column,
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite

from wes_daemon.adapters.persistence.expressions import insert_into, taken_apart
from wes_daemon.adapters.persistence.types import (
    Json,
    Key,
    PlainText,
    ServiceTime,
    UtcTime,
    cut,
    iso_time,
    storable_json,
    storable_text,
    written_json,
    written_time,
)

Row = Mapping[str, object]
_Writer = Callable[[Any], object]

# What may be NUL or a lone surrogate in JSON that is all ASCII.
_SUSPICIOUS = re.compile(r"\\u(0000|d[89a-f])")


def sent(connection: Connection, table: Table, rows: Sequence[Row]) -> FromClause:
    """The rows as a table in a statement, with columns of `table`, of whichever types a service has made them.

    Args:
        rows: at least one; all name the same columns, in the same order.
    """
    names = list(rows[0])
    if connection.dialect.name != "postgresql":
        text = _text(table, rows, _IN_SQLITE, _CLEAN_IN_SQLITE)
        return taken_apart(connection, text, **dict.fromkeys(names, Text))
    like: ColumnElement[Any] = literal_column(f"NULL::{table.name}")
    parameter = literal(_text(table, rows, _IN_POSTGRESQL, _CLEAN_IN_POSTGRESQL))
    columns: list[ColumnClause[Any]] = [column(name) for name in names]
    return func.json_populate_recordset(like, cast(parameter, JSON)).table_valued(*columns, name="given")


def insertion(
    connection: Connection, table: Table, rows: Sequence[Row], **alike: ColumnElement[Any]
) -> postgresql.Insert | sqlite.Insert:
    """An insertion of the rows in their order, each with what is `alike` in all of them."""
    source = sent(connection, table, rows)
    # SQLite takes ON CONFLICT after a SELECT for a join unless there is a condition before it.
    values = select(*source.c, *alike.values()).where(true())
    return insert_into(connection, table).from_select([*source.c.keys(), *alike], values)


def put(connection: Connection, table: Table, rows: Sequence[Row], *, key: str) -> None:
    """Insert the rows, or update those columns that they name where the key is known; the last of a key counts."""
    latest = list({row[key]: row for row in rows}.values())
    if not latest:
        return
    statement = insertion(connection, table, latest)
    named = {name: statement.excluded[name] for name in latest[0] if name != key}
    connection.execute(statement.on_conflict_do_update(index_elements=[key], set_=named))


def _text(table: Table, rows: Sequence[Row], writers: Mapping[type, _Writer], cleaning: Mapping[type, _Writer]) -> str:
    try:
        text = json.dumps(_written(table, rows, writers), allow_nan=False)
    except (TypeError, ValueError):
        text = r"\u0000"
    if _SUSPICIOUS.search(text):
        # Rare, so that nobody else has to pay for looking into every value.
        return json.dumps(_written(table, rows, cleaning))
    return text


def _written(table: Table, rows: Sequence[Row], writers: Mapping[type, _Writer]) -> Sequence[Row]:
    touched = [(name, write) for name in rows[0] if (write := _writer(table, name, writers))]
    written = [dict(row) for row in rows]
    for name, write in touched:
        for row in written:
            if row[name] is not None:
                row[name] = write(row[name])
    return written


def _writer(table: Table, name: str, writers: Mapping[type, _Writer]) -> _Writer | None:
    type_ = table.c[name].type
    write = writers.get(type(type_))
    if isinstance(type_, PlainText) and (length := type_.length) is not None:
        return lambda value: cut(str(write(value) if write else value), length)
    return write


def _extractable(value: object) -> object:
    """Objects and lists are taken out of JSON as JSON, all else as the bare value."""
    return value if isinstance(value, dict | list) else written_json(value)


def _with_zone(moment: datetime) -> str:
    # Without a zone a column that has one would be read in the session's; a column that has none passes it over.
    return f"{written_time(moment)}+00:00"


_IN_POSTGRESQL: Mapping[type, _Writer] = {ServiceTime: _with_zone, UtcTime: iso_time}
_IN_SQLITE: Mapping[type, _Writer] = {ServiceTime: written_time, UtcTime: iso_time, Json: _extractable}

_CLEAN_IN_POSTGRESQL: Mapping[type, _Writer] = {
    **_IN_POSTGRESQL,
    Key: storable_text,
    PlainText: storable_text,
    Json: storable_json,
}
# SQLite may hold a key with NUL, and then finds it.
_CLEAN_IN_SQLITE: Mapping[type, _Writer] = {**_IN_SQLITE, PlainText: storable_text, Json: written_json}
