"""Types of the ids of rows. The id of a run has the type that the WES service's table gives it."""

import json
import re
from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import ColumnElement, Dialect, Text, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import TypeCompiler
from sqlalchemy.types import UserDefinedType

from wes_daemon.adapters.persistence.relations import relations_of
from wes_daemon.adapters.persistence.types import storable_text

_LARGEST_NUMBER = 2**63 - 1


class RunKeyType(StrEnum):
    """A type of `workflow_runs.run_id` on PostgreSQL; the value is the name of the type."""

    TEXT = "text"
    CHAR = "bpchar"
    UUID = "uuid"
    NUMBER = "bigint"

    def accepts(self, key: str) -> bool:
        """Whether a column of this type can hold the key, and the database returns it in the same spelling."""
        match self:
            case RunKeyType.UUID:
                return _UUID.fullmatch(key) is not None
            case RunKeyType.NUMBER:
                return _NUMBER.fullmatch(key) is not None and abs(int(key)) <= _LARGEST_NUMBER
            case RunKeyType.CHAR:
                return not key.endswith(" ")
            case _:
                return True


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,18}")

RUN_KEY_TYPES = {
    "varchar": RunKeyType.TEXT,
    "text": RunKeyType.TEXT,
    "bpchar": RunKeyType.CHAR,
    "uuid": RunKeyType.UUID,
    "int4": RunKeyType.NUMBER,
    "int8": RunKeyType.NUMBER,
}
"""The supported types of `workflow_runs.run_id` by their names in `pg_type`."""


def run_key_type(dialect: Dialect) -> RunKeyType:
    """The type of the ids of runs in the database of this dialect's engine.

    It is text if the service's type is not supported; the check of the schema refuses that type.
    """
    return RUN_KEY_TYPES.get(relations_of(dialect).types.get("workflow_runs.run_id", ""), RunKeyType.TEXT)


class Key(TypeDecorator[str]):
    """The id of a row. It is never truncated, since a truncated key is another key."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        # SQLite can store a key with NUL and find it; PostgreSQL accepts no parameter with NUL.
        return value if value is None or dialect.name == "sqlite" else storable_text(value)


class _RunKeyColumn(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "TEXT"


@compiles(_RunKeyColumn, "postgresql")
def _(_type: _RunKeyColumn, compiler: TypeCompiler, **_options: object) -> str:
    return run_key_type(compiler.dialect)


class RunKey(TypeDecorator[str]):
    """The id of a run, as text in this package and in the service's type in the database.

    A text that the service's type cannot hold, or holds in another spelling, is the id of no run: it is sent as NULL,
    which equals no id.
    """

    impl = _RunKeyColumn
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or dialect.name == "sqlite":
            return value
        return storable_text(value) if run_key_type(dialect).accepts(value) else None

    def process_result_value(self, value: object | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        # A column of type CHAR(n) pads its values with blanks.
        return str(value).rstrip(" ") if run_key_type(dialect) is RunKeyType.CHAR else str(value)


class Keys(TypeDecorator[Sequence[str]]):
    """Any number of keys in one parameter: an array on PostgreSQL, a JSON list on SQLite."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> str | list[str]:
        return json.dumps(value) if dialect.name == "sqlite" else list(value or ())


class RunKeys(Keys):
    """As `Keys`, for ids of runs; texts that the service's type cannot hold are left out."""

    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> str | list[str]:
        accepts = run_key_type(dialect).accepts
        return super().process_bind_param([key for key in value or () if accepts(key)], dialect)


def keys_for(column: ColumnElement[str]) -> Keys:
    """The type of a parameter with any number of values of the column."""
    return RunKeys() if isinstance(column.type, RunKey) else Keys()


def declared_key(column: ColumnElement[str], dialect: Dialect) -> str:
    """The name of the column's type on PostgreSQL."""
    return run_key_type(dialect) if isinstance(column.type, RunKey) else RunKeyType.TEXT
