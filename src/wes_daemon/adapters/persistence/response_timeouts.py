"""Response timeouts for connections to PostgreSQL.

The kernel detects a peer that is gone, but not one that is reachable and does not respond: a proxy that has lost its
server, a process that was stopped. When a response is overdue the socket is shut down, and the thread that waits for
it gets the driver's error for a lost connection.
"""

import os
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED
from psycopg2.extensions import connection as DriverConnection  # noqa: N812 - the driver's classes are lower-case
from psycopg2.extensions import cursor as DriverCursor  # noqa: N812 - as above
from psycopg2.sql import Composable

from wes_daemon.adapters.persistence.refused_connections import ExplainedConnection

_TICKS = 10
"""The precision of a timeout: a socket is shut down at most one tenth of the timeout too late."""

Query = str | bytes | Composable
Parameters = Sequence[object] | Mapping[str, object] | None


class ResponseTimeouts:
    """Shuts down sockets whose response is overdue. One thread serves all connections of an engine.

    The thread starts with the first request. It ends when there was no request for a while, or with `stop`.
    Time is counted in ticks, so that the responses are not all overdue when a suspended process resumes.
    """

    def __init__(self, timeout: timedelta) -> None:
        self.timeout = timeout
        self._tick = timeout.total_seconds() / _TICKS
        self._lock = threading.Lock()
        self._ticks_waited: dict[_Socket, int] = {}
        self._stopping: threading.Event | None = None

    def connect(self, dsn: str) -> "TimedConnection":
        """A connection with this response timeout: psycopg2's `connection_factory`."""
        return TimedConnection(dsn, self)

    def begin(self, requested: "_Socket") -> None:
        """Start the timeout of a request on this socket."""
        with self._lock:
            self._ticks_waited[requested] = 0
            if self._stopping is None:
                self._stopping = threading.Event()
                threading.Thread(
                    target=self._run, args=(self._stopping,), name="response-timeouts", daemon=True
                ).start()

    def end(self, requested: "_Socket") -> bool:
        """Stop the timeout. Return whether the socket was shut down meanwhile."""
        with self._lock:
            return self._ticks_waited.pop(requested, None) is None

    def stop(self) -> None:
        """End the thread. The next request starts another one."""
        with self._lock:
            if self._stopping is not None:
                self._stopping.set()
            self._stopping = None

    def _run(self, stopping: threading.Event) -> None:
        idle_ticks = 0
        while not stopping.wait(self._tick):
            with self._lock:
                self._shut_down_overdue()
                idle_ticks = 0 if self._ticks_waited else idle_ticks + 1
                if idle_ticks > _TICKS and self._stopping is stopping:
                    self._stopping = None
                    return

    def _shut_down_overdue(self) -> None:
        for requested in list(self._ticks_waited):
            self._ticks_waited[requested] += 1
            if self._ticks_waited[requested] > _TICKS:
                # Under the lock: the waiting thread cannot go on and return the connection to the pool meanwhile.
                requested.shut_down()
                del self._ticks_waited[requested]


class _Socket:
    """The socket of one connection."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._file = _file_identity(descriptor)

    def shut_down(self) -> None:
        """End all reads from the socket. Does nothing if the driver has closed it already."""
        with suppress(OSError):
            # The descriptor may denote another file by now; its duplicate denotes the same file throughout.
            duplicate = socket.socket(fileno=os.dup(self._descriptor))
            with duplicate:
                if _file_identity(duplicate.fileno()) == self._file:
                    duplicate.shutdown(socket.SHUT_RDWR)


def _file_identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


class TimedConnection(ExplainedConnection):
    """A driver's connection that applies a response timeout to each request."""

    def __init__(self, dsn: str, timeouts: ResponseTimeouts) -> None:
        super().__init__(dsn)
        self.cursor_factory = TimedCursor
        self._socket = _Socket(self.fileno())
        self._timeouts: ResponseTimeouts | None = timeouts

    @contextmanager
    def without_timeout(self) -> Iterator[None]:
        """Apply no response timeout within the block."""
        timeouts, self._timeouts = self._timeouts, None
        try:
            yield
        finally:
            self._timeouts = timeouts

    @property
    def autocommit(self) -> bool:
        return bool(super().autocommit)

    @autocommit.setter
    def autocommit(self, on: bool) -> None:
        # Without this the driver sends the isolation level to the server whenever the pool tests the connection. That
        # request has no timeout, and changes a session that a pooler may share.
        if on:
            self.isolation_level = None
        DriverConnection.autocommit.__set__(self, on)  # type: ignore[attr-defined]
        if not on:
            self.isolation_level = ISOLATION_LEVEL_READ_COMMITTED

    def commit(self) -> None:
        with self.response_timeout():
            super().commit()

    def rollback(self) -> None:
        with self.response_timeout():
            super().rollback()

    @contextmanager
    def response_timeout(self) -> Iterator[None]:
        """Apply the response timeout to the request that the block makes.

        Raises:
            OperationalError: the response was overdue, and the connection is lost.
        """
        timeouts = self._timeouts
        if timeouts is None:
            yield
            return
        timeouts.begin(self._socket)
        try:
            yield
        except psycopg2.Error as error:
            if timeouts.end(self._socket):
                raise psycopg2.OperationalError(
                    f"no answer within {timeouts.timeout.total_seconds():g} s, so the connection was closed"
                ) from error
            raise
        finally:
            timeouts.end(self._socket)


class TimedCursor(DriverCursor):
    """A cursor of a `TimedConnection`."""

    connection: TimedConnection

    def execute(self, query: Query, vars: Parameters = None) -> None:
        with self.connection.response_timeout():
            super().execute(query, vars)

    def executemany(self, query: Query, vars_list: Iterable[Parameters]) -> None:
        """As the driver's; the response timeout applies to all of the executions together."""
        with self.connection.response_timeout():
            super().executemany(query, vars_list)
