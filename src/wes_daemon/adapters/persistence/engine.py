"""Makes an engine from a database URI. Engines for PostgreSQL and for SQLite behave alike."""

import shlex
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from wes_daemon.adapters.persistence.errors import describe_database, translate
from wes_daemon.adapters.persistence.location import keep_daemon_tables_in
from wes_daemon.adapters.persistence.relations import recognise_once
from wes_daemon.adapters.persistence.response_timeouts import ResponseTimeouts
from wes_daemon.adapters.persistence.server_encoding import prepare_encoding
from wes_daemon.adapters.persistence.transactions import LOCK_TIMEOUT, WRITE_QUEUE, WRITES, WriteQueue
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
            and repeats nothing of this one but its scheme.
    """
    url = _parsed(uri)
    if _has_unescaped_parts(url):
        raise StorageMisconfigured(
            "the database URI has an unescaped @, / or ?: percent-encode those in user and password (%40, %2F, %3F)"
        )
    if url.drivername in _POSTGRESQL:
        return url.set(drivername="postgresql+psycopg2")
    if url.get_backend_name() in _MYSQL:
        raise StorageMisconfigured(
            f"the database URI begins with {url.drivername}://, but MySQL and MariaDB are not supported; "
            f"the daemon works on PostgreSQL and SQLite: {_SUPPORTED}"
        )
    if url.drivername not in _SQLITE:
        raise StorageMisconfigured(
            f"the database URI begins with {url.drivername}://, which is not supported: {_SUPPORTED}"
        )
    if url.host:
        raise StorageMisconfigured("the database URI has too few slashes: use sqlite:////absolute/path/to/file.db")
    if _is_in_memory(url):
        raise StorageMisconfigured(
            "the database URI names a SQLite database in memory, which threads cannot share: "
            "use sqlite:////absolute/path/to/file.db"
        )
    return url


def sqlite_file(url: URL) -> Path:
    """The absolute path of a SQLite database, whose URL may contain a `file:` URI."""
    name = url.database or ""
    if name.startswith("file:") and "uri" in url.query:
        name = unquote(urlsplit(name).path)
    return Path(name).absolute()


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


def _parsed(uri: str) -> URL:
    if "://" not in uri:
        raise StorageMisconfigured(f"the database URI has no scheme: {_SUPPORTED}")
    try:
        return make_url(uri)
    except (ArgumentError, ValueError):
        # Not `from error`: its text may repeat the URI with the password in it.
        raise StorageMisconfigured(f"the database URI cannot be read: {_SUPPORTED}") from None


def _has_unescaped_parts(url: URL) -> bool:
    """Whether a part of the password was parsed as the host, or a part of the query as the user."""
    return "@" in (url.host or "") or "?" in (url.username or "")


def _is_in_memory(url: URL) -> bool:
    return not url.database or ":memory:" in url.database or url.query.get("mode") == "memory"


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
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_timeout.total_seconds(),
        hide_parameters=True,
        connect_args={"timeout": busy_timeout.total_seconds()},
        execution_options={WRITE_QUEUE: WriteQueue(busy_timeout)},
    )
    event.listen(engine, "do_connect", lambda *_: _require_folder(url))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _require_folder(url: URL) -> None:
    folder = sqlite_file(url).parent
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
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.info[_WAL] = True
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
