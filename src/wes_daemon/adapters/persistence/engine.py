"""From a database URI to an engine that behaves alike on PostgreSQL and on SQLite."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from wes_daemon.adapters.persistence.answers import AnswerWatch, WatchedConnection
from wes_daemon.adapters.persistence.errors import described, translate
from wes_daemon.application.ports.errors import StorageMisconfigured, StorageUnavailable

_POSTGRESQL = frozenset({"postgresql", "postgres", "postgresql+psycopg2"})
_SQLITE = frozenset({"sqlite", "sqlite+pysqlite"})
_RIGHT = "use postgresql://user:password@host:5432/database or sqlite:////absolute/path/to/file.db"

# Source: "Parameter Key Words" in libpq's manual. What the URI says wins.
_POSTGRESQL_CONNECTION: Mapping[str, object] = {
    "application_name": "wes-daemon",
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    # In milliseconds; what was sent and not even acknowledged is no reason to wait for an answer.
    "tcp_user_timeout": 30_000,
}

_ANSWER_WITHIN = timedelta(seconds=60)
_WAITS_FOR_LOCKS = "wes_daemon_waits_for_locks"

# Between two statements of ours lie moments; a takeover may last for a lease and ten seconds.
_LONGEST_SLEEP = timedelta(seconds=8)

_WRITES = "wes_daemon_writes"

_write_locks: WeakKeyDictionary[Engine, "_Turns"] = WeakKeyDictionary()


def database_url(uri: str) -> URL:
    """The URI with the driver that this package uses.

    Raises:
        StorageMisconfigured: it names no database that can be used; the message says what would be right,
            and repeats nothing of the URI but its scheme.
    """
    url = _parsed(uri)
    if _has_unescaped_parts(url):
        raise StorageMisconfigured(
            "the database URI has an @, / or ? too many: percent-encode those in user and password (%40, %2F, %3F)"
        )
    if url.drivername in _POSTGRESQL:
        return url.set(drivername="postgresql+psycopg2")
    if url.drivername not in _SQLITE:
        raise StorageMisconfigured(f"the database URI begins with {url.drivername}://, which cannot be used: {_RIGHT}")
    if url.host:
        raise StorageMisconfigured("the database URI has too few slashes: use sqlite:////absolute/path/to/file.db")
    if _is_in_memory(url):
        raise StorageMisconfigured(
            "the database URI names a SQLite database in memory, which threads cannot share: "
            "use sqlite:////absolute/path/to/file.db"
        )
    return url


def _parsed(uri: str) -> URL:
    if "://" not in uri:
        raise StorageMisconfigured(f"the database URI has no scheme: {_RIGHT}")
    try:
        return make_url(uri)
    except (ArgumentError, ValueError):
        # Not `from error`: its text may repeat the URI with the password in it.
        raise StorageMisconfigured(f"the database URI cannot be read: {_RIGHT}") from None


def _has_unescaped_parts(url: URL) -> bool:
    """Whether something of a password was taken for the host, or of the query for the user."""
    return "@" in (url.host or "") or "?" in (url.username or "")


def _is_in_memory(url: URL) -> bool:
    return not url.database or ":memory:" in url.database or url.query.get("mode") == "memory"


def make_engine(
    uri: str,
    *,
    connections: int,
    busy_timeout: timedelta = timedelta(seconds=30),
    answer_within: timedelta = _ANSWER_WITHIN,
) -> Engine:
    """An engine that connects when it is first used.

    Args:
        connections: as many as may be in use at once; whoever needs one more waits for `busy_timeout`.
        busy_timeout: how long a SQLite transaction waits for its turn to write.
        answer_within: how long a PostgreSQL server may take over one statement or commit, half of it for a lock;
            then the connection counts as lost. Upgrades may take as long as they need.
    """
    url = database_url(uri)
    if url.get_backend_name() == "sqlite":
        engine = _sqlite_engine(url, connections, busy_timeout)
    else:
        engine = _postgresql_engine(url, connections, busy_timeout, answer_within)
    event.listen(engine, "handle_error", translate)
    return engine


def _postgresql_engine(url: URL, connections: int, busy_timeout: timedelta, answer_within: timedelta) -> Engine:
    watch = AnswerWatch(answer_within)
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_timeout.total_seconds(),
        pool_pre_ping=True,
        # The statements count on seeing what was committed while they waited, whatever the server's default is.
        isolation_level="READ COMMITTED",
        use_native_hstore=False,
        hide_parameters=True,
        connect_args={name: value for name, value in _POSTGRESQL_CONNECTION.items() if name not in url.query}
        | {"connection_factory": watch.connect},
        execution_options={_WAITS_FOR_LOCKS: answer_within / 2},
    )
    event.listen(engine, "engine_disposed", lambda _: watch.rest())
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
    )
    _write_locks[engine] = _Turns()
    event.listen(engine, "do_connect", lambda *_: _make_folder(url))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_folder(url: URL) -> None:
    path = url.database or ""
    if path.startswith("file:"):
        return
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageMisconfigured(
            f"{described(url)}: its folder cannot be made ({error.strerror}): name a path that can be written to"
        ) from error


def _prepare_sqlite(connection: SqliteConnection, _record: object) -> None:
    # The driver begins no transactions of its own then; `_begin_sqlite` does.
    connection.isolation_level = None
    # Anybody may have written anything; broken text must not make a row unreadable.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {setting}").close()


def _begin_sqlite(connection: Connection) -> None:
    # Whoever reads first and asks for the write lock later is refused at once, without any waiting.
    immediate = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection whose transaction only reads, and which nobody who writes has to wait for."""
    with _connected(engine) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that may write; it is undone unless the block commits it.

    On SQLite the transaction has the database's only write lock from the start. Threads of this process queue
    for it here: SQLite itself would let them sleep and try again, and of sixteen some would never have their turn.
    """
    with _writing(engine) as connection:
        patience = connection.get_execution_options().get(_WAITS_FOR_LOCKS)
        if patience is not None:
            connection.exec_driver_sql(_bounds(patience))
        yield connection


def _bounds(patience: timedelta) -> str:
    """What the server is told at the beginning of a transaction, and forgets at its end."""
    return (
        # A server whose client has gone keeps it in the queue for a lock, and does not see that it has gone.
        f"SET LOCAL lock_timeout = {_milliseconds(patience)};"
        # A process that is put to sleep in the middle of a transaction must not keep its locks from all others.
        f"SET LOCAL idle_in_transaction_session_timeout = {_milliseconds(_LONGEST_SLEEP)};"
        # What we ask for is few rows by their keys, or the first ones of an index; from old statistics a planner may
        # conclude that it is as well to go through all of a table, or to collect all that an index has and sort that.
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;"
        # Before PostgreSQL 18 what is off and done all the same looks so dear that compiling seems worth it.
        "SET LOCAL jit = off"
    )


def _milliseconds(time: timedelta) -> int:
    return round(time.total_seconds() * 1000)


@contextmanager
def upgrading(engine: Engine) -> Iterator[Connection]:
    """As `writing`, but locks and answers may take as long as they need."""
    with _writing(engine) as connection, _unhurried(connection):
        yield connection


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    with _turn(engine), _connected(engine) as connection:
        connection.execution_options(**{_WRITES: True}).begin()
        yield connection


def _unhurried(connection: Connection) -> AbstractContextManager[None]:
    driver_connection = connection.connection.driver_connection
    return driver_connection.unhurried() if isinstance(driver_connection, WatchedConnection) else nullcontext()


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    try:
        connection = engine.connect()
    except PoolTimeout as error:
        raise StorageUnavailable(f"{described(engine.url)}: all connections of this process are in use") from error
    try:
        yield connection
    finally:
        _give_back(connection)


def _give_back(connection: Connection) -> None:
    try:
        connection.close()
    except StorageUnavailable:
        # The rollback did not reach the server, which undoes what it does not see committed.
        if not connection.closed:
            connection.invalidate()
            connection.close()


@contextmanager
def _turn(engine: Engine) -> Iterator[None]:
    turns = _write_locks.get(engine)
    if turns is None:
        yield
        return
    if not turns.take(_patience(engine)):
        raise StorageUnavailable(f"{described(engine.url)}: other threads of this process kept it from being written")
    try:
        yield
    finally:
        turns.give_back()


class _Turns:
    """One thread at a time, in the order in which they came: a heartbeat must not wait behind whoever is quicker.

    A thread that asks for a second turn would wait for itself, and is told so.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._holder: int | None = None

    def take(self, patience: float) -> bool:
        if self._holder == threading.get_ident():
            raise RuntimeError("a unit of work is open in this thread already")
        me = object()
        with self._changed:
            self._waiting.append(me)
            taken = self._changed.wait_for(lambda: self._holder is None and self._waiting[0] is me, patience)
            self._waiting.remove(me)
            if taken:
                self._holder = threading.get_ident()
            # Whoever gives up may have been the next.
            self._changed.notify_all()
        return taken

    def give_back(self) -> None:
        with self._changed:
            self._holder = None
            self._changed.notify_all()


def _patience(engine: Engine) -> float:
    pool: Any = engine.pool
    return float(pool.timeout())
