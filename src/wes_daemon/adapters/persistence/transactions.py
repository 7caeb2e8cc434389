"""Transactions that read or write, and the locks that serialize writers: threads, daemons and upgrades."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wes_daemon.adapters.persistence.errors import describe_database
from wes_daemon.adapters.persistence.response_timeouts import TimedConnection
from wes_daemon.application.ports.errors import StorageUnavailable

# Execution options of engines and connections.
LOCK_TIMEOUT = "wes_daemon_lock_timeout"
"""How long a transaction on PostgreSQL waits for a lock: a `timedelta`."""

WRITE_QUEUE = "wes_daemon_write_queue"
"""The `WriteQueue` of a SQLite database."""

SQLITE_FILE = "wes_daemon_sqlite_file"
"""The `SqliteFile` of a SQLite database."""

WRITES = "wes_daemon_writes"
"""Whether a transaction may write."""

# Keys of advisory locks.
CLAIM_LOCK = 0x7765735F636C61
"""Serializes claims, so that the number of active runs is correct until a claim is committed."""

SCHEMA_LOCK = 0x7765735F757067
"""Serializes changes of the schema."""

QUOTA_LOCK = 0x7765735F627564
"""Serializes the creation of missing quotas."""

# The statements of one transaction follow each other quickly. The locks of a suspended process must not delay a
# takeover, which is expected within a lease and ten seconds.
_IDLE_TIMEOUT = timedelta(seconds=8)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for a transaction that only reads; it blocks no writer."""
    with _connected(engine) as connection:
        yield connection


DAEMON_WRITES = "SET LOCAL wes_daemon.writes = 'on';"
"""Marks a transaction of the daemon on PostgreSQL: the triggers do not report the runs that the daemon itself ends."""


@contextmanager
def writing(engine: Engine, further_settings: str = "") -> Iterator[Connection]:
    """A connection in a transaction that may write; it is rolled back unless the block commits it.

    On SQLite the transaction has the database's only write lock from the start. Threads of this process queue for it
    here: in SQLite's own wait they sleep and retry, and some of sixteen threads never got the lock.

    Args:
        further_settings: statements on PostgreSQL that begin the transaction in the same round trip, each with its
            semicolon.
    """
    with _writing(engine) as connection:
        lock_timeout = connection.get_execution_options().get(LOCK_TIMEOUT)
        if lock_timeout is not None:
            connection.exec_driver_sql(further_settings + _transaction_settings(lock_timeout))
        yield connection


@contextmanager
def upgrading(engine: Engine) -> Iterator[Connection]:
    """As `writing`, without timeouts for locks and responses."""
    with _writing(engine) as connection, _without_response_timeout(connection):
        yield connection


def acquire_lock(connection: Connection, key: int) -> None:
    """Wait for the lock; the end of the transaction releases it.

    On PostgreSQL it is an advisory lock. It belongs to the transaction, so that it works behind a pooler in
    transaction mode. On SQLite the transaction's write lock excludes all other writers already.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({key})")


def require_current_file(engine: Engine) -> None:
    """Check that the file of a SQLite database is the one that the connections lead to.

    Raises:
        StorageUnavailable: it was removed or replaced. The idle connections were closed; a later call may succeed.
    """
    file = engine.get_execution_options().get(SQLITE_FILE)
    if file is None or file.is_current():
        return
    engine.dispose()
    file.require_current()


class WriteQueue:
    """Admits one thread at a time, in the order of arrival, so that fast threads do not delay a heartbeat."""

    def __init__(self, longest_wait: timedelta) -> None:
        self._longest_wait = longest_wait
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._admitted: int | None = None

    def enter(self) -> bool:
        """Wait for admission. Return whether it came within the longest wait.

        Raises:
            RuntimeError: this thread is admitted already, and would wait for itself.
        """
        if self._admitted == threading.get_ident():
            raise RuntimeError("a unit of work is open in this thread already")
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            is_admitted = self._changed.wait_for(lambda: self._is_next(ticket), self._longest_wait.total_seconds())
            self._waiting.remove(ticket)
            if is_admitted:
                self._admitted = threading.get_ident()
            # A thread that stops waiting may have been the next one.
            self._changed.notify_all()
        return is_admitted

    def leave(self) -> None:
        """Let the next thread enter."""
        with self._changed:
            self._admitted = None
            self._changed.notify_all()

    def _is_next(self, ticket: object) -> bool:
        return self._admitted is None and self._waiting[0] is ticket


def _transaction_settings(lock_timeout: timedelta) -> str:
    """Settings of a transaction. PostgreSQL resets them at its end."""
    return (
        # A session that waits for a lock stays in the queue after its client is gone: the server does not notice.
        f"SET LOCAL lock_timeout = {_milliseconds(lock_timeout)};"
        # A process that is suspended in the middle of a transaction must not keep its locks.
        f"SET LOCAL idle_in_transaction_session_timeout = {_milliseconds(_IDLE_TIMEOUT)};"
        # The statements read few rows by key, or the first rows of an index. With outdated statistics a planner may
        # choose to scan a whole table, or to collect all rows of an index and sort them.
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;"
        # Before PostgreSQL 18 a disabled plan that is used has so high a cost that PostgreSQL compiles the statement.
        "SET LOCAL jit = off"
    )


def _milliseconds(time: timedelta) -> int:
    return round(time.total_seconds() * 1000)


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    with _admitted(engine), _connected(engine) as connection:
        connection.execution_options(**{WRITES: True}).begin()
        yield connection


@contextmanager
def _admitted(engine: Engine) -> Iterator[None]:
    queue = engine.get_execution_options().get(WRITE_QUEUE)
    if queue is None:
        yield
        return
    if not queue.enter():
        raise StorageUnavailable(
            f"{describe_database(engine.url)}: other threads of this process kept it locked for writing"
        )
    try:
        yield
    finally:
        queue.leave()


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    require_current_file(engine)
    try:
        connection = engine.connect()
    except PoolTimeout as error:
        raise StorageUnavailable(
            f"{describe_database(engine.url)}: all connections of this process are in use"
        ) from error
    try:
        yield connection
    finally:
        _return_to_pool(connection)


def _return_to_pool(connection: Connection) -> None:
    file = connection.get_execution_options().get(SQLITE_FILE)
    if file is not None and not file.is_current():
        connection.invalidate()
    try:
        connection.close()
    except StorageUnavailable:
        # The rollback did not reach the server. The server rolls back what was not committed.
        if not connection.closed:
            connection.invalidate()
            connection.close()


def _without_response_timeout(connection: Connection) -> AbstractContextManager[None]:
    driver_connection = connection.connection.driver_connection
    return driver_connection.without_timeout() if isinstance(driver_connection, TimedConnection) else nullcontext()
