"""Reports commits of other connections, on a connection that is used for nothing else.

PostgreSQL sends NOTIFY when a run is queued or cancelled: see the triggers of revision 0004.
A SQLite file only shows that another connection has written to it.
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

from wes_daemon.adapters.persistence.error_messages import message_of
from wes_daemon.adapters.persistence.errors import storage_error
from wes_daemon.adapters.persistence.transactions import reading, require_current_file
from wes_daemon.application.ports.errors import StorageMisconfigured, StorageUnavailable
from wes_daemon.application.runtime.event_log import log_event

_log = logging.getLogger(__name__)

CHANNEL = "wes_daemon_runs"
"""The channel on which the triggers send NOTIFY."""

_POOLED = (
    "the connection goes through a pooler, and a shared session gets no notifications: queued runs are found by polling"
)
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(minutes=1)

WaitForChange = Callable[[], bool]
"""Waits for a while, and returns whether there was a change."""


class DatabaseChangeFeed:
    """The `ChangeFeed` of one database.

    Args:
        engine: used for nothing else; its one connection stays open, and is closed at the end.
        poll_every: how often a SQLite file is checked for changes.
        ping_every: how often the connection to a server that sends nothing is checked.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        poll_every: timedelta = timedelta(milliseconds=100),
        ping_every: timedelta = timedelta(minutes=1),
    ) -> None:
        self._engine = engine
        self._poll_every = poll_every
        self._ping_every = ping_every
        self._is_closing = threading.Event()
        # Ends the wait for a notification: `select` waits for sockets only.
        self._closing_sender: socket.socket | None = None
        self._is_lost = False
        self._pause = _FIRST_PAUSE

    def listen(self, hint: Callable[[], None]) -> None:
        """Call `hint` after changes, until `close`; connects again after an outage."""
        receiver, sender = socket.socketpair()
        with receiver, sender:
            self._closing_sender = sender
            while not self._is_closing.is_set():
                try:
                    with self._connected(receiver) as wait_for_change:
                        self._report_changes(wait_for_change, hint)
                except (StorageUnavailable, StorageMisconfigured) as error:
                    self._report_outage(error)
        self._engine.dispose()

    def close(self) -> None:
        """End `listen`."""
        self._is_closing.set()
        if self._closing_sender is not None:
            # The socket is closed already if `listen` has ended.
            with suppress(OSError):
                self._closing_sender.send(b".")

    def _report_changes(self, wait_for_change: WaitForChange, hint: Callable[[], None]) -> None:
        self._report_connection()
        # There may have been changes before the connection was opened.
        hint()
        while not self._is_closing.is_set():
            if wait_for_change():
                hint()
            self._pause = _FIRST_PAUSE

    def _report_connection(self) -> None:
        if self._is_lost:
            log_event(_log, logging.INFO, "change_feed.back")
        self._is_lost = False

    def _report_outage(self, error: Exception) -> None:
        """Log the first failure, and pause before the next attempt, longer each time."""
        if not self._is_lost and not self._is_closing.is_set():
            log_event(_log, logging.WARNING, "change_feed.lost", reason=error)
        self._is_lost = True
        self._is_closing.wait(self._pause.total_seconds())
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    @contextmanager
    def _connected(self, receiver: socket.socket) -> Iterator[WaitForChange]:
        with reading(self._engine) as connection, _translated_errors(self._engine):
            if self._engine.dialect.name == "sqlite":
                yield self._sqlite_changes(connection.connection.driver_connection)
            else:
                yield self._notifications(connection.execution_options(isolation_level="AUTOCOMMIT"), receiver)

    def _sqlite_changes(self, driver: Any) -> WaitForChange:
        """Return a function that waits for a commit of any other connection, in this process or another one."""
        seen = _data_version(driver)

        def wait_for_change() -> bool:
            nonlocal seen
            self._is_closing.wait(self._poll_every.total_seconds())
            require_current_file(self._engine)
            before, seen = seen, _data_version(driver)
            return seen != before

        return wait_for_change

    def _notifications(self, connection: Connection, receiver: socket.socket) -> WaitForChange:
        driver: Any = connection.connection.driver_connection
        if connection.exec_driver_sql("SELECT pg_backend_pid()").scalar() != driver.info.backend_pid:
            # LISTEN could stay in a session that the pooler gives to other clients, which would be notified instead.
            log_event(_log, logging.WARNING, "change_feed.none", reason=_POOLED)
            return self._wait_until_closed
        connection.exec_driver_sql(f"LISTEN {CHANNEL}")

        def wait_for_change() -> bool:
            readable, _, _ = select.select([driver, receiver], [], [], self._ping_every.total_seconds())
            if not readable:
                connection.exec_driver_sql("SELECT 1")
            driver.poll()
            has_changed = bool(driver.notifies)
            driver.notifies.clear()
            return has_changed

        return wait_for_change

    def _wait_until_closed(self) -> bool:
        self._is_closing.wait()
        return False


def _data_version(driver: Any) -> int:
    [version] = driver.execute("PRAGMA data_version").fetchone()
    return int(version)


@contextmanager
def _translated_errors(engine: Engine) -> Iterator[None]:
    """Translate errors that the driver raises outside of the engine."""
    try:
        yield
    except (psycopg2.Error, sqlite3.Error) as error:
        raise (storage_error(error, engine.url) or StorageUnavailable(message_of(error))) from error
