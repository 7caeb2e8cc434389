"""Why a connection to PostgreSQL could not be opened, as an SQLSTATE.

psycopg2 gives no SQLSTATE for a connection that failed, only a message in the server's language. libpq knows the
SQLSTATE, and writes it instead of the message at the verbosity `PQERRORS_SQLSTATE`. The verbosity has to be set after
the beginning of the attempt and before the server's answer. So the attempt is repeated with an asynchronous
connection, of which psycopg2 gives the address of libpq's own object.
"""

import ctypes
import os
import re
import select
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg2
from psycopg2 import _psycopg
from psycopg2.extensions import POLL_OK, POLL_READ, parse_dsn
from psycopg2.extensions import connection as DriverConnection  # noqa: N812 - the driver's classes are lower-case

# Sources: "Class 22" and "Class 28" of the appendix "PostgreSQL Error Codes" of the PostgreSQL manual.
INVALID_OPTION = "22023"
INVALID_PASSWORD = "28P01"  # noqa: S105 - a code

# Source: the enumeration PGVerbosity in libpq-fe.h, since PostgreSQL 12. Older versions write the usual message.
_PQERRORS_SQLSTATE = 3
_SQLSTATE = re.compile(r":  ([0-9A-Z]{5})$", re.MULTILINE)
# In every language libpq writes two spaces between the severity and the message of a server.
_FROM_SERVER = ":  "
_LONGEST_SILENCE = timedelta(seconds=10)
_NOWHERE = {"host": f"{os.sep}nowhere", "user": "none", "dbname": "none"}


class RefusedConnection(psycopg2.OperationalError):
    """A connection could not be opened.

    Attributes:
        sqlstates: why each server refused it, or what libpq found to be wrong before; empty if no server answered.
    """

    def __init__(self, message: str, sqlstates: frozenset[str]) -> None:
        super().__init__(message)
        self.sqlstates = sqlstates


class ExplainedConnection(DriverConnection):
    """A driver's connection that raises `RefusedConnection` if it cannot be opened."""

    def __init__(self, dsn: str) -> None:
        try:
            super().__init__(dsn)
        except psycopg2.OperationalError as error:
            raise RefusedConnection(_servers_first(str(error)), self._sqlstates(dsn, str(error))) from error

    def _sqlstates(self, dsn: str, message: str) -> frozenset[str]:
        needs_password = self.info.needs_password
        # libpq keeps the socket open.
        self.close()
        if _FROM_SERVER in message:
            return _sqlstates_of_servers(dsn)
        if needs_password:
            return frozenset({INVALID_PASSWORD})
        return frozenset({INVALID_OPTION}) if _has_invalid_option(dsn) else frozenset()


def _servers_first(message: str) -> str:
    """Put the answers of servers before the hosts that gave none, because messages contain the first line only."""
    return "\n".join(sorted(message.splitlines(), key=lambda line: _FROM_SERVER not in line))


def _sqlstates_of_servers(dsn: str) -> frozenset[str]:
    """Connect once more; empty if that succeeds, or if libpq's function cannot be called."""
    try:
        with closing(psycopg2.connect(dsn, async_=True)) as connection:
            _write_sqlstates(connection.pgconn_ptr)
            _wait(connection)
    except psycopg2.Error as error:
        return frozenset(_SQLSTATE.findall(str(error)))
    except (AttributeError, OSError):
        return frozenset()
    return frozenset()


def _write_sqlstates(connection: int | None) -> None:
    # The driver's module is loaded already. A symbol of it is searched in the libraries that it is linked with, too.
    set_verbosity = ctypes.CDLL(_psycopg.__file__).PQsetErrorVerbosity
    set_verbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]
    set_verbosity(connection, _PQERRORS_SQLSTATE)


def _wait(connection: Any) -> None:
    while (state := connection.poll()) != POLL_OK:
        reading, writing = ([connection], []) if state == POLL_READ else ([], [connection])
        if not any(select.select(reading, writing, [], _LONGEST_SILENCE.total_seconds())):
            return


def _has_invalid_option(dsn: str) -> bool:
    """Whether libpq refuses the value of an option, which it does before it connects to any host."""
    options = {name: value for name, value in parse_dsn(dsn).items() if name not in ("hostaddr", "port")}
    return _first_error({**_NOWHERE, **options, "host": _NOWHERE["host"]}) != _first_error(_NOWHERE)


def _first_error(options: dict[str, str]) -> str:
    try:
        psycopg2.connect(**options, async_=True).close()  # type: ignore[call-overload]  # the options are libpq's
    except psycopg2.Error as error:
        return str(error)
    return ""
