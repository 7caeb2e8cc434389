"""Column types: how values cross into the database, on PostgreSQL and on SQLite alike.

Reading is lenient, for a WES service may own the tables and anybody may have written to them.
Writing is strict: whatever is written is valid, fits its column, and means the same to every reader.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Dialect, Text, TypeDecorator, cast, type_coerce
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.types import TypeEngine

from wes_daemon.domain.runs import Unreadable

CUT_MARK = "…"
DEEPEST = 200
"""Lists and objects inside each other, in JSON that is still read."""

NUL_MARK = "\N{SYMBOL FOR NULL}"
_SURROGATES = re.compile("[\ud800-\udfff]")


def storable_text(text: str) -> str:
    """The text without what PostgreSQL or UTF-8 cannot hold: NUL and lone surrogates become visible marks."""
    if text.isascii() and "\0" not in text:
        return text
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text.replace("\0", NUL_MARK))


def cut(text: str, length: int) -> str:
    """The text in at most `length` characters, with a mark where the rest was."""
    return text if len(text) <= length else text[: length - len(CUT_MARK)] + CUT_MARK


def storable_json(value: object) -> object:
    """The value as JSON that every database takes: no NUL, no NaN, nothing but names as keys."""
    match value:
        case str():
            return storable_text(value)
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else json.dumps(value)
        case Mapping():
            return {storable_text(str(key)): storable_json(held) for key, held in value.items()}
        case Unreadable():
            return storable_text(value.text)
        case Iterable():
            return [storable_json(held) for held in value]
        case _:
            return storable_text(str(value))


def read_json(text: str) -> object:
    """What the text says, or the text itself as `Unreadable`."""
    try:
        found = _decoder.decode(text)
    except (ValueError, RecursionError):
        return Unreadable(text)
    return Unreadable(text) if _is_too_deep(text, found) else found


def _is_too_deep(text: str, value: object) -> bool:
    """Whether the value is nested so deep that writing it again would fail; nobody writes such a thing by hand."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return False
    layer = [value]
    for _ in range(DEEPEST):
        layer = [inner for held in layer for inner in _inside(held)]
    return bool(layer)


def _inside(value: object) -> Iterable[object]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def written_json(value: object) -> str:
    """The value as the text of JSON that every database takes."""
    return json.dumps(storable_json(value), ensure_ascii=False)


# Made once: json.loads makes one for each text.
_decoder = json.JSONDecoder(parse_constant=_refuse)


class Key(TypeDecorator[str]):
    """A run's id and the like: never cut, for a cut key is another key."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        # SQLite may hold a key with NUL and then finds it; PostgreSQL cannot even be asked.
        return value if value is None or dialect.name == "sqlite" else storable_text(value)


class PlainText(TypeDecorator[str]):
    """Text for people; cut with a mark where the column has a length."""

    impl = Text
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.length = length

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        if value is None:
            return None
        return storable_text(value) if self.length is None else cut(storable_text(value), self.length)


class Json(TypeDecorator[object]):
    """JSON in a column of type json, jsonb or text.

    It travels as text in both directions: PostgreSQL takes an untyped literal for any of the three,
    and the driver's own parser would raise for what is no JSON.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object | None, _dialect: Dialect) -> str | None:
        return None if value is None else written_json(value)

    def process_result_value(self, value: Any, _dialect: Dialect) -> object | None:
        return None if value is None else read_json(str(value))

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        # SQLite gives a column declared JSON numeric affinity and would hand out `7` as a number.
        return type_coerce(cast(column, Text), self)


def written_time(moment: datetime) -> str:
    """The moment as a service's column holds it: in UTC, without a zone."""
    return _in_utc(moment).replace(tzinfo=None).isoformat(" ", "microseconds")


def iso_time(moment: datetime) -> str:
    """The moment as our own columns hold it on SQLite: in UTC, with a zone, and of one length."""
    return _in_utc(moment).isoformat("T", "microseconds")


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


class ServiceTime(TypeDecorator[datetime]):
    """A time in a table of a WES service: UTC without a zone, or with one, as found.

    PostgreSQL reads `…+00:00` in an untyped literal rightly for both kinds of column, whatever the session's zone.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        text = written_time(value)
        return text if dialect.name == "sqlite" else f"{text}+00:00"

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        return _as_utc(value)


class UtcTime(TypeDecorator[datetime]):
    """A time in one of the daemon's own tables: timestamptz on PostgreSQL, ISO text of one shape on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return iso_time(value)

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        return _as_utc(value)


def _as_utc(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Keys(TypeDecorator[Sequence[str]]):
    """Any number of keys in one parameter: an array on PostgreSQL, a JSON list on SQLite."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        return json.dumps(value) if dialect.name == "sqlite" else list(value or ())
