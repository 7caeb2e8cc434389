"""Messages of the drivers' errors in one line, without values of rows.

A server's error has many parts. DETAIL and CONTEXT repeat rows and statements, so only the primary message is used,
and it is cut where it can repeat a value.
"""

import re
import sqlite3

import psycopg2
from sqlalchemy.exc import DBAPIError

_HIDDEN = "…"
_LONGEST = 300

# Source: appendix "PostgreSQL Error Codes". The messages of class 22 quote the value, except those of these codes.
_VALUES = "22"
_QUOTES_NO_VALUE = frozenset({"22001", "22012", "22021", "22P05"})
# All quotation marks with which PostgreSQL's translations quote. French has apostrophes, which are none.
_QUOTED = re.compile(r"[\"«»„“”「].*[\"«»„“”」]", re.DOTALL)
# SQLite's module quotes with apostrophes, too.
_QUOTED_BY_SQLITE = re.compile(r"[\"'].*[\"']", re.DOTALL)

# Functions and triggers write what they like, such as a whole row: (1,QUEUED,"{""password"": …}").
_FUNCTION_CLASSES = frozenset({"2F", "38", "39", "P0"})
_RAISE = "exec_stmt_raise"
_ROW = re.compile(r"[{\[].*|\([^()]*,.*", re.DOTALL)


def message_of(error: BaseException) -> str:
    """The error's message in one line, without values of rows."""
    match error:
        case psycopg2.Error():
            message = _of_postgresql(error)
        case sqlite3.Error():
            message = _of_sqlite(error)
        case _:
            message = ""
    lines = message.strip().splitlines()
    return lines[0].strip()[:_LONGEST] if lines else type(error).__name__


def hide_values(error: BaseException) -> None:
    """Reduce an error, and the errors that led to it, to their messages without values.

    SQLAlchemy and Python chain errors, and a traceback prints each of them as its driver has made it.
    """
    known, waiting = set[int](), [error]
    while waiting:
        each = waiting.pop()
        if id(each) in known:
            continue
        known.add(id(each))
        _reduce(each)
        waiting += [other for other in (each.__cause__, each.__context__) if other is not None]


def is_raised_by_function(error: psycopg2.Error) -> bool:
    """Whether a function or a trigger of the database has failed: by RAISE, or in one of its statements."""
    return (
        error.diag.source_function == _RAISE
        or error.diag.internal_query is not None
        # The only part of this text that no server translates.
        or "PL/" in (error.diag.context or "")
    )


def _reduce(error: BaseException) -> None:
    if isinstance(error, psycopg2.Error | sqlite3.Error):
        error.args = (message_of(error),)
    elif isinstance(error, DBAPIError) and error.orig is not None:
        kind = type(error.orig)
        error.args = (f"({kind.__module__}.{kind.__qualname__}) {message_of(error.orig)}",)
        if error.statement is not None:
            # The statement, which has no values, is for the traceback alone.
            error.add_note(f"[SQL: {error.statement}]")
        error.statement, error.params, error.code = None, None, None  # type: ignore[assignment]  # as SQLAlchemy does


def _of_postgresql(error: psycopg2.Error) -> str:
    code, primary = error.pgcode or "", error.diag.message_primary or str(error)
    if code[:2] in _FUNCTION_CLASSES or error.diag.source_function == _RAISE:
        return _ROW.sub(_HIDDEN, primary)
    if code[:2] == _VALUES and code not in _QUOTES_NO_VALUE:
        return _QUOTED.sub(f'"{_HIDDEN}"', primary)
    return primary


def _of_sqlite(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", None)
    if name is None:
        return _QUOTED_BY_SQLITE.sub(f'"{_HIDDEN}"', str(error))
    return _ROW.sub(_HIDDEN, str(error)) if name == "SQLITE_CONSTRAINT_TRIGGER" else str(error)
