"""Makes an engine from a database URI. Engines for PostgreSQL and for SQLite behave alike."""

import shlex
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from sqlite3 import Connection as SqliteConnection
from sqlite3 import OperationalError
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from wes_daemon.adapters.persistence.address import SCHEME
from wes_daemon.adapters.persistence.errors import describe_database, translate
from wes_daemon.adapters.persistence.location import keep_daemon_tables_in
from wes_daemon.adapters.persistence.postgresql_uri import read_postgresql_uri
from wes_daemon.adapters.persistence.relations import recognise_once
from wes_daemon.adapters.persistence.response_timeouts import ResponseTimeouts
from wes_daemon.adapters.persistence.server_encoding import prepare_encoding
from wes_daemon.adapters.persistence.sqlite_file import SqliteFile
from wes_daemon.adapters.persistence.sqlite_uri import connection_url, read_sqlite_uri, sqlite_path
from wes_daemon.adapters.persistence.transactions import LOCK_TIMEOUT, SQLITE_FILE, WRITE_QUEUE, WRITES, WriteQueue
from wes_daemon.application.ports.errors import StorageMisconfigured

_POSTGRESQL = frozenset({"postgresql", "postgres", "postgresql+psycopg2"})
_SQLITE = frozenset({"sqlite", "sqlite+pysqlite"})
_MYSQL = frozenset({"mysql", "mariadb"})
_SUPPORTED = "use postgresql://user:password@host:5432/database or sqlite:////absolute/path/to/file.db"

# Source: "Parameter Key Words" in libpq's manual. Parameters of the URI take precedence.
_POSTGRESQL_PARAMETERS: Mapping[str, object] = {
    "application_name": "wes-daemon",
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    # In milliseconds, and shorter than the response timeout. It ends a connection whose data is not acknowledged.
    "tcp_user_timeout": 30_000,
}

_WAL = "wes_daemon_wal"
"""The key in `Connection.info` that says whether the journal mode was set."""

_RESPONSE_TIMEOUT = timedelta(seconds=60)


def database_url(uri: str) -> URL:
    """The URI with the driver that this package uses.

    Raises:
        StorageMisconfigured: the URI names no supported database. The message says which URIs are supported,
            and repeats no password.
    """
    uri = uri.strip()
    scheme = SCHEME.match(uri)
    if scheme is None:
        raise StorageMisconfigured(f"the database URI has no scheme: {_SUPPORTED}")
    driver = scheme[0].removesuffix("://")
    if driver in _POSTGRESQL:
        return read_postgresql_uri(uri)
    if driver in _SQLITE:
        return read_sqlite_uri(uri)
    if driver.partition("+")[0] in _MYSQL:
        raise StorageMisconfigured(
            f"the database URI begins with {scheme[0]}, but MySQL and MariaDB are not supported; "
            f"the daemon works on PostgreSQL and SQLite: {_SUPPORTED}"
        )
    raise StorageMisconfigured(f"the database URI begins with {scheme[0]}, which is not supported: {_SUPPORTED}")


def make_engine(
    uri: str,
    *,
    connections: int,
    busy_timeout: timedelta = timedelta(seconds=30),
    response_timeout: timedelta = _RESPONSE_TIMEOUT,
    daemon_schema: str | None = None,
) -> Engine:
    """An engine that connects at its first use.

    Args:
        connections: at most this many are in use at once; a thread waits up to `busy_timeout` for one.
        busy_timeout: how long a transaction on SQLite waits for the write lock.
        response_timeout: how long a PostgreSQL server may take for one statement or commit. After that the connection
            counts as lost. A statement waits for a lock for half of this time. Upgrades have no such limit.
        daemon_schema: the schema of the daemon's tables, if they do not stand in the first schema of the search path.

    Raises:
        StorageMisconfigured: the URI cannot be used, or names SQLite, which has no schemas, and a schema is given.
    """
    url = database_url(uri)
    if url.get_backend_name() == "sqlite":
        engine = _sqlite_engine(url, connections, busy_timeout)
    else:
        engine = _postgresql_engine(url, connections, busy_timeout, response_timeout)
    event.listen(engine, "handle_error", translate)
    if daemon_schema is not None:
        keep_daemon_tables_in(engine, daemon_schema)
    return engine


def _postgresql_engine(url: URL, connections: int, busy_timeout: timedelta, response_timeout: timedelta) -> Engine:
    timeouts = ResponseTimeouts(response_timeout)
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_timeout.total_seconds(),
        pool_pre_ping=True,
        # The statements must see what was committed while they waited for a lock, whatever the server's default is.
        isolation_level="READ COMMITTED",
        use_native_hstore=False,
        hide_parameters=True,
        connect_args={name: value for name, value in _POSTGRESQL_PARAMETERS.items() if name not in url.query}
        | {"connection_factory": timeouts.connect, "client_encoding": "utf8"},
        execution_options={LOCK_TIMEOUT: response_timeout / 2},
    )
    event.listen(engine, "engine_disposed", lambda _: timeouts.stop())
    event.listen(engine, "connect", lambda connection, _: prepare_encoding(engine, connection))
    event.listen(engine, "connect", lambda connection, _: recognise_once(engine, connection))
    return engine


def _sqlite_engine(url: URL, connections: int, busy_timeout: timedelta) -> Engine:
    asked = url.query.get("timeout")
    busy_timeout = timedelta(seconds=float(asked)) if isinstance(asked, str) else busy_timeout
    file = SqliteFile.at(sqlite_path(url))
    engine = create_engine(
        connection_url(url),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_timeout.total_seconds(),
        hide_parameters=True,
        connect_args={"timeout": busy_timeout.total_seconds()},
        execution_options={WRITE_QUEUE: WriteQueue(busy_timeout), SQLITE_FILE: file},
    )
    event.listen(engine, "do_connect", lambda *_: _require_folder(url))
    event.listen(engine, "connect", lambda *_: file.count_opened())
    event.listen(engine, "close", lambda connection, _: file.count_closed(connection))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _require_folder(url: URL) -> None:
    folder = sqlite_path(url).parent
    try:
        folder.stat()
    except FileNotFoundError as error:
        raise StorageMisconfigured(
            f"{describe_database(url)}: the folder {folder} does not exist: "
            f"create it (mkdir -p {shlex.quote(str(folder))}), or correct the path in the database URI"
        ) from error
    except OSError:
        # SQLite reports a folder that may not be entered.
        return


def _prepare_sqlite(connection: SqliteConnection, _record: object) -> None:
    # The driver then begins no transactions of its own; `_begin_sqlite` begins them.
    connection.isolation_level = None
    # Other programs write to the database, and invalid UTF-8 must not make a row unreadable.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    for setting in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {setting}").close()


def _begin_sqlite(connection: Connection) -> None:
    # SQLite refuses the write lock at once, without waiting, if the transaction has read before it requests the lock.
    immediate = connection.get_execution_options().get(WRITES, False)
    if immediate and not connection.info.get(_WAL):
        # Not when the connection is opened: the file keeps the mode, and a command that only reads must not change it.
        connection.info[_WAL] = _switch_to_wal(connection.connection.driver_connection)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _switch_to_wal(driver: Any) -> bool:
    """Switch the file to write-ahead logging unless another process uses it; return whether it has this mode now.

    A transaction works in any mode, and must not wait for the switch.
    """
    [timeout] = driver.execute("PRAGMA busy_timeout").fetchone()
    driver.execute("PRAGMA busy_timeout = 0").close()
    try:
        driver.execute("PRAGMA journal_mode = WAL").close()
    except OperationalError:
        return False
    finally:
        driver.execute(f"PRAGMA busy_timeout = {timeout}").close()
    return True
