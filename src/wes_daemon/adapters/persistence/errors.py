"""Translates the drivers' errors into the daemon's errors, in the engine's event `handle_error`.

Errors that the tables below do not contain are bugs in a statement and pass, reduced to messages without values.
"""

import re
import sqlite3
from collections.abc import Mapping

import psycopg2
from sqlalchemy import URL
from sqlalchemy.engine import ExceptionContext

from wes_daemon.adapters.persistence.error_messages import hide_values, is_raised_by_function, message_of
from wes_daemon.adapters.persistence.refused_connections import RefusedConnection
from wes_daemon.adapters.persistence.sqlite_uri import is_read_only, sqlite_path
from wes_daemon.application.ports.errors import (
    Contended,
    Locked,
    StorageMisconfigured,
    StorageRefused,
    StorageUnavailable,
)
from wes_daemon.domain.errors import WesDaemonError

UPGRADE_COMMAND = "wes-daemon db upgrade"

_UPGRADE = f"upgrade it with `{UPGRADE_COMMAND}`"
_GRANT = "grant the privilege to the role that the daemon connects as"
_PASSWORD = "check user and password in the database URI"  # noqa: S105 - advice
_ROLE = "check user and password in the database URI, the role's LOGIN attribute, and the server's pg_hba.conf"
_DATABASE = "check the database name in the database URI, or create the database"
_OPTIONS = "check the options in the database URI: everything after its ?"
_READ_ONLY = "remove mode=ro and immutable from the database URI: they permit commands that only read"
_FILE = "check the path in the database URI and its permissions"

# Source: appendix "PostgreSQL Error Codes" of the PostgreSQL manual; classes are the first two characters.
_UNAVAILABLE_CLASSES = frozenset({"08", "40", "53", "57", "58"})
_UNAVAILABLE_CODES = frozenset({"25006", "25P03", "25P04", "55P03", "55006"})
_CONTENDED_CODES = frozenset({"40001", "40P01"})
_LOCK_TIMEOUT_CODE = "55P03"
# The connection cannot be used any more: it has ended, or leads to a server that has become a replica.
_LOST_CODES = frozenset({"25006", "25P03", "25P04", "57P01", "57P02", "57P03", "57P04", "57P05"})
_MISCONFIGURED_CODES: Mapping[str, str] = {
    "3F000": _UPGRADE,
    "42501": _GRANT,
    "42703": _UPGRADE,
    "42P01": _UPGRADE,
    "42P07": "a table of that name belongs to another program: use a schema or database of its own for the daemon",
}

# A value, a constraint, a rule, a trigger or the type of a column refuses a row. Class 0A and the like are bugs in a
# statement.
_REFUSED_CLASSES = frozenset({"22", "23", "27", "2F", "38", "39", "44", "54", "P0"})
_REFUSED_CODES = frozenset({"428C9", "42725", "42804", "42809", "42846", "42883"})

# Refusals of a connection that last until a person changes the database URI or the server. The classes 53 (too many
# connections) and 57 (the server starts or stops) end by themselves.
_PERMANENT_REFUSALS: Mapping[str, str] = {
    "22": _OPTIONS,
    "28": _ROLE,
    "28P01": _PASSWORD,
    "3D": _DATABASE,
    "42": _OPTIONS,
    "42501": _GRANT,
    "55P02": _OPTIONS,
}

_NUL = "A string literal cannot contain NUL (0x00) characters."
"""The message of the `ValueError` that psycopg2 raises."""

# Source: "Result and Error Codes" of the SQLite manual; extended codes begin with the name of the primary one.
_SQLITE_UNAVAILABLE = (
    "SQLITE_BUSY",
    "SQLITE_FULL",
    "SQLITE_INTERRUPT",
    "SQLITE_IOERR",
    "SQLITE_LOCKED",
    "SQLITE_NOMEM",
    "SQLITE_PROTOCOL",
    "SQLITE_READONLY",
    "SQLITE_SCHEMA",
)
_SQLITE_REFUSED = ("SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_TOOBIG")
_SQLITE_MISCONFIGURED: Mapping[str, str] = {
    "SQLITE_AUTH": _FILE,
    "SQLITE_CANTOPEN": _FILE,
    "SQLITE_CORRUPT": "restore it from a backup",
    "SQLITE_NOTADB": "the path in the database URI names a file that is not a SQLite database",
    "SQLITE_PERM": _FILE,
}
# SQLite has one code for these, and one language.
_SQLITE_MISSING = re.compile(r"no such table|no such column|has no column named")
_SQLITE_EXISTS = re.compile(r"^table \S+ already exists")
_SQLITE_BAD_VALUE = re.compile(r"^(malformed JSON|integer overflow)$")


def describe_database(url: URL) -> str:
    """The database for messages, without user and password."""
    if url.get_backend_name() == "sqlite":
        return f"the SQLite database {sqlite_path(url) if (url.database or '').startswith('file:') else url.database}"
    host = url.host or url.query.get("host", "the local socket")
    hosts = host if isinstance(host, str) else ",".join(host)
    name = url.database or url.username
    return f"the PostgreSQL database {f'{name} ' if name else ''}at {hosts}"


def translate(context: ExceptionContext) -> None:
    """Raise the daemon's error in place of the driver's, if there is one: a listener for the event `handle_error`."""
    # The pool evaluates the driver's own error when it tests a connection.
    if context.is_pre_ping or context.engine is None:
        return
    if _is_connection_lost(context.original_exception):
        # The pool then replaces all its connections; the new ones may lead to another server.
        context.is_disconnect = True
    error = storage_error(context.original_exception, context.engine.url)
    if error is None and context.statement is not None and _is_unsendable(context.original_exception):
        error = StorageRefused(f"{describe_database(context.engine.url)}: a value cannot be stored as text or number")
    if context.sqlalchemy_exception is not None:
        hide_values(context.sqlalchemy_exception)
    if error is not None:
        raise error


def storage_error(error: BaseException, url: URL) -> WesDaemonError | None:
    """The daemon's error for a driver's error; None if that is a bug. It is reduced to its message without values."""
    translated = _translated(error, url)
    hide_values(error)
    return translated


def _translated(error: BaseException, url: URL) -> WesDaemonError | None:
    match error:
        case RefusedConnection():
            return _from_refused_connection(error, url)
        case psycopg2.Error():
            return _from_postgresql(error, url)
        case sqlite3.Error():
            return _from_sqlite(error, url)
        case _:
            return None


def _is_unsendable(error: BaseException) -> bool:
    """Whether the driver has not sent a statement because of a value, such as a NUL or half of a surrogate pair."""
    return isinstance(error, UnicodeEncodeError | OverflowError) or str(error) == _NUL


def _is_connection_lost(error: BaseException) -> bool:
    if not isinstance(error, psycopg2.Error):
        return False
    return error.pgcode in _LOST_CODES or _is_unclassified(error)


def _is_unclassified(error: psycopg2.Error) -> bool:
    # psycopg2 raises `DatabaseError` itself, without a code, when the server ends in the middle of a response.
    return type(error) is psycopg2.DatabaseError and error.pgcode is None


def _from_refused_connection(error: RefusedConnection, url: URL) -> WesDaemonError:
    fixes = [_PERMANENT_REFUSALS.get(code) or _PERMANENT_REFUSALS.get(code[:2]) for code in sorted(error.sqlstates)]
    # Of several servers one may only be starting.
    if not fixes or not all(fixes):
        return _unavailable(error, url)
    return _misconfigured(error, url, fixes[0] or "")


def _from_postgresql(error: psycopg2.Error, url: URL) -> WesDaemonError | None:
    code: str | None = error.pgcode
    if code is None:
        return _without_code(error, url)
    if code in _CONTENDED_CODES:
        return Contended(_message(error, url))
    if code == _LOCK_TIMEOUT_CODE:
        return Locked(_message(error, url))
    if code in _UNAVAILABLE_CODES or code[:2] in _UNAVAILABLE_CLASSES:
        return _unavailable(error, url)
    # A function of the service may lack a table or a privilege, too.
    if code in _REFUSED_CODES or code[:2] in _REFUSED_CLASSES or is_raised_by_function(error):
        return StorageRefused(_message(error, url))
    if code in _MISCONFIGURED_CODES:
        return _misconfigured(error, url, _MISCONFIGURED_CODES[code])
    return None


def _without_code(error: psycopg2.Error, url: URL) -> WesDaemonError | None:
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) or _is_unclassified(error):
        return _unavailable(error, url)
    return None


def _from_sqlite(error: sqlite3.Error, url: URL) -> WesDaemonError | None:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_READONLY") and is_read_only(url):
        return _misconfigured(error, url, _READ_ONLY)
    if name.startswith(_SQLITE_UNAVAILABLE):
        return _unavailable(error, url)
    if name.startswith(_SQLITE_REFUSED) or _SQLITE_BAD_VALUE.search(str(error)):
        return StorageRefused(_message(error, url))
    for code, fix in _SQLITE_MISCONFIGURED.items():
        if name.startswith(code):
            return _misconfigured(error, url, fix)
    if _SQLITE_MISSING.search(str(error)):
        return _misconfigured(error, url, _UPGRADE)
    if _SQLITE_EXISTS.search(str(error)):
        return _misconfigured(error, url, _MISCONFIGURED_CODES["42P07"])
    return None


def _unavailable(error: Exception, url: URL) -> StorageUnavailable:
    return StorageUnavailable(_message(error, url))


def _misconfigured(error: Exception, url: URL, fix: str) -> StorageMisconfigured:
    return StorageMisconfigured(f"{_message(error, url)}: {fix}")


def _message(error: Exception, url: URL) -> str:
    return f"{describe_database(url)}: {message_of(error)}"
