"""Column types: they convert values for PostgreSQL and for SQLite.

Reading is lenient, because a WES service may own the tables and other programs may have written to them.
Writing is strict: a written value is valid, fits its column, and has the same meaning for every reader.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Dialect, Text, TypeDecorator, cast, type_coerce
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from wes_daemon.adapters.persistence.server_encoding import UTF8, ServerEncoding, encoding_of
from wes_daemon.domain.runs import Unreadable

TRUNCATION_MARK = "…"
NUL_MARK = "\N{SYMBOL FOR NULL}"

MAX_DEPTH = 200
"""The maximum depth of lists and objects in JSON. A value with deeper nesting is read as `Unreadable`."""

MAX_TEXT_LEVELS = 3
"""How often the text of an object may have been written as a JSON string again, as `json.dumps(json.dumps(…))` does."""

_SURROGATES = re.compile("[\ud800-\udfff]")


def storable_text(text: str) -> str:
    """The text without characters that PostgreSQL or UTF-8 cannot hold: marks replace NUL and lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text.replace("\0", NUL_MARK))


def truncated(text: str, length: int, encoding: ServerEncoding = UTF8) -> str:
    """The text with at most `length` characters or bytes, as the database counts them; a mark replaces the rest."""
    if encoding.length(text) <= length:
        return text
    mark = encoding.text(TRUNCATION_MARK)
    kept = text[: max(length - encoding.length(mark), 0)]
    while encoding.length(kept + mark) > length and kept:
        kept = kept[:-1]
    return kept + mark


def storable_json(value: object) -> object:
    """The value as JSON that every database accepts: no NUL, no NaN, only strings as keys."""
    match value:
        case str():
            return storable_text(value)
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else json.dumps(value)
        case Mapping():
            return {storable_text(str(key)): storable_json(item) for key, item in value.items()}
        case Unreadable():
            return storable_text(value.text)
        case Iterable():
            return [storable_json(item) for item in value]
        case _:
            return storable_text(str(value))


def read_json(text: str) -> object:
    """The value of a JSON text, or the text itself as `Unreadable`."""
    try:
        value = _decoder.decode(text)
    except (ValueError, RecursionError):
        return Unreadable(text)
    return Unreadable(text) if _is_too_deep(text, value) else value


def read_json_object(text: str) -> object:
    """As `read_json`, but if the value is the text of an object, which some clients send, that object is returned."""
    return object_in_text(read_json(text))


def object_in_text(value: object) -> object:
    """The object whose JSON text the value is, or the value itself if it is no such text."""
    inner = value
    for _ in range(MAX_TEXT_LEVELS):
        if not isinstance(inner, str):
            break
        inner = read_json(inner)
    return inner if isinstance(inner, Mapping) else value


def _is_too_deep(text: str, value: object) -> bool:
    """Whether the value is nested so deep that writing it again would fail."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _items(outer)]
    return bool(level)


def _items(value: object) -> Iterable[object]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()


def _reject(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def json_text(value: object) -> str:
    """The value as JSON text that every database accepts."""
    return json.dumps(storable_json(value), ensure_ascii=False)


# Created once: `json.loads` creates a decoder for each text.
_decoder = json.JSONDecoder(parse_constant=_reject)


class PlainText(TypeDecorator[str]):
    """Text for people; truncated with a mark if the column has a length."""

    impl = Text
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.length = length

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        encoding = encoding_of(dialect)
        text = encoding.text(storable_text(value))
        return text if self.length is None else truncated(text, self.length, encoding)


class Json(TypeDecorator[object]):
    """JSON in a column of type json, jsonb or text.

    It is sent and received as text: PostgreSQL accepts an untyped literal for each of the three types, and the
    driver's own parser raises for text that is not JSON.
    """

    impl = Text
    cache_ok = True

    def __init__(self, *, holds_object: bool = False) -> None:
        """Make the type of one column; `holds_object` says that a text of an object is read as that object."""
        super().__init__()
        self.holds_object = holds_object

    def process_bind_param(self, value: object | None, dialect: Dialect) -> str | None:
        return None if value is None else encoding_of(dialect).json(json_text(value))

    def process_result_value(self, value: object | None, _dialect: Dialect) -> object | None:
        if value is None:
            return None
        return read_json_object(str(value)) if self.holds_object else read_json(str(value))

    def column_expression(self, column: ColumnElement[object]) -> ColumnElement[object]:
        # A column that is declared JSON has numeric affinity in SQLite, which returns the text `7` as a number.
        return type_coerce(cast(column, Text), self)


def service_time_text(moment: datetime) -> str:
    """The time as in a WES service's column: in UTC, without a zone."""
    return _in_utc(moment).replace(tzinfo=None).isoformat(" ", "microseconds")


def iso_time(moment: datetime) -> str:
    """The time as in the daemon's own columns on SQLite: in UTC, with a zone, always of the same length."""
    return _in_utc(moment).isoformat("T", "microseconds")


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except OverflowError:
        # The first or the last day that Python knows, in a zone in which it is the day before or after in UTC.
        return moment.replace(tzinfo=UTC)


class ServiceTime(TypeDecorator[datetime]):
    """A time in a table that a WES service may own, in a column with or without a time zone; written in UTC.

    PostgreSQL reads `…+00:00` in an untyped literal correctly for both kinds of column, in any session time zone.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        text = service_time_text(value)
        return text if dialect.name == "sqlite" else f"{text}+00:00"

    def process_result_value(self, value: object | None, _dialect: Dialect) -> datetime | None:
        return _as_utc(value)

    def column_expression(self, column: ColumnElement[datetime]) -> ColumnElement[datetime]:
        return type_coerce(_TimeText(column), self)


class _TimeText(FunctionElement[str]):
    """A time as the database writes it: the driver raises for times that Python cannot hold, such as infinity."""

    type = Text()
    inherit_cache = True


@compiles(_TimeText, "postgresql")
def _(element: _TimeText, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS TEXT)"


@compiles(_TimeText, "sqlite")
def _(element: _TimeText, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite returns each value with the type that it was stored with. A number stays one, and is not read as a time.
    return compiler.process(element.clauses, **options)


class UtcTime(TypeDecorator[datetime]):
    """A time in one of the daemon's own tables: timestamptz on PostgreSQL, ISO text of fixed length on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str] | TypeEngine[datetime]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return iso_time(value)

    def process_result_value(self, value: object | None, _dialect: Dialect) -> datetime | None:
        return _as_utc(value)


def _as_utc(value: object) -> datetime | None:
    """The time, or None for a value that is no time or that Python cannot hold in UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(moment, datetime):
            return None
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
