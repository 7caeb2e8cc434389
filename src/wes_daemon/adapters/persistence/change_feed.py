"""What the database tells of others' commits, heard on a connection that is used for nothing else.

PostgreSQL says NOTIFY where a run is queued or cancelled: see the triggers of the revision 0004.
Of a SQLite file one can only see that somebody has written to it.
"""

import logging
import select
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine

from wes_daemon.adapters.persistence.errors import storage_error
from wes_daemon.adapters.persistence.transactions import reading
from wes_daemon.application.ports.errors import StorageMisconfigured, StorageUnavailable
from wes_daemon.application.runtime.event_log import log_event

_log = logging.getLogger(__name__)

CHANNEL = "wes_daemon_runs"
"""Where the triggers say NOTIFY."""

_POOLED = "a pooler stands before the server, and a shared session hears nothing: queued runs are found by polling"
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(minutes=1)

Heard = Callable[[], bool]
"""Waits for a while; whether something was heard."""


class DatabaseChangeFeed:
    """`News` from one database.

    Args:
        engine: used by nobody else; its one connection is kept, and closed at the end.
        look_every: how long after it was committed something is seen at the latest, where one has to look.
        ask_every: how often a server that says nothing is asked whether it is still there.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        look_every: timedelta = timedelta(milliseconds=100),
        ask_every: timedelta = timedelta(minutes=1),
    ) -> None:
        self._engine = engine
        self._look_every = look_every
        self._ask_every = ask_every
        self._is_closing = threading.Event()
        # Whoever waits for a server hears of nothing else but what can be read.
        self._bell: socket.socket | None = None
        self._is_lost = False
        self._pause = _FIRST_PAUSE

    def listen(self, tell: Callable[[], None]) -> None:
        ear, bell = socket.socketpair()
        with ear, bell:
            self._bell = bell
            while not self._is_closing.is_set():
                try:
                    with self._listening(ear) as heard:
                        self._go_on(heard, tell)
                except (StorageUnavailable, StorageMisconfigured) as error:
                    self._lost(error)
        self._engine.dispose()

    def close(self) -> None:
        self._is_closing.set()
        if self._bell is not None:
            # Where it is closed already, nobody listens any more.
            with suppress(OSError):
                self._bell.send(b".")

    def _go_on(self, heard: Heard, tell: Callable[[], None]) -> None:
        self._found()
        # Something may have been missed.
        tell()
        while not self._is_closing.is_set():
            if heard():
                tell()
            self._pause = _FIRST_PAUSE

    def _found(self) -> None:
        if self._is_lost:
            log_event(_log, logging.INFO, "news.back")
        self._is_lost = False

    def _lost(self, error: Exception) -> None:
        """Say it once, and wait longer each time."""
        if not self._is_lost and not self._is_closing.is_set():
            log_event(_log, logging.WARNING, "news.lost", reason=error)
        self._is_lost = True
        self._is_closing.wait(self._pause.total_seconds())
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    @contextmanager
    def _listening(self, ear: socket.socket) -> Iterator[Heard]:
        with reading(self._engine) as connection, _own_errors(self._engine):
            if self._engine.dialect.name == "sqlite":
                yield self._watched(connection.connection.driver_connection)
            else:
                yield self._notified(connection.execution_options(isolation_level="AUTOCOMMIT"), ear)

    def _watched(self, file: Any) -> Heard:
        """Whether any other connection has committed, of this process or of another."""
        seen = _version(file)

        def heard() -> bool:
            nonlocal seen
            self._is_closing.wait(self._look_every.total_seconds())
            before, seen = seen, _version(file)
            return seen != before

        return heard

    def _notified(self, connection: Connection, ear: socket.socket) -> Heard:
        driver: Any = connection.connection.driver_connection
        if connection.exec_driver_sql("SELECT pg_backend_pid()").scalar() != driver.info.backend_pid:
            # It might go on hearing in a session that others are given, and they would hear it.
            log_event(_log, logging.WARNING, "news.none", reason=_POOLED)
            return self._nothing
        connection.exec_driver_sql(f"LISTEN {CHANNEL}")

        def heard() -> bool:
            readable, _, _ = select.select([driver, ear], [], [], self._ask_every.total_seconds())
            if not readable:
                connection.exec_driver_sql("SELECT 1")
            driver.poll()
            found = bool(driver.notifies)
            driver.notifies.clear()
            return found

        return heard

    def _nothing(self) -> bool:
        self._is_closing.wait()
        return False


def _version(file: Any) -> int:
    [version] = file.execute("PRAGMA data_version").fetchone()
    return int(version)


@contextmanager
def _own_errors(engine: Engine) -> Iterator[None]:
    """What the driver raises where the engine does not see it."""
    try:
        yield
    except (psycopg2.Error, sqlite3.Error) as error:
        raise (storage_error(error, engine.url) or StorageUnavailable(str(error))) from error
