"""Nobody waits for ever for a PostgreSQL server's answer.

The kernel notices a peer that is gone, but not one that is there and says nothing: a proxy that has lost its server,
a process that was stopped. Whoever waits too long for such a one has the connection cut, and learns that as from any
other lost connection.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED
from psycopg2.extensions import connection as PlainConnection  # noqa: N812 - the driver's name is no class's
from psycopg2.extensions import cursor as PlainCursor  # noqa: N812 - as above

_TICKS = 10
"""How finely the time is measured: a connection is cut at the latest a tenth later than was asked for."""


class AnswerWatch:
    """Cuts the connections whose answers do not come. One thread looks after all of an engine's.

    The thread begins with the first question, and ends when no more were asked for a while or `rest` is called.
    Time is counted in ticks, so that a process that was asleep does not find all its answers late.
    """

    def __init__(self, within: timedelta) -> None:
        self.within = within
        self._tick = within.total_seconds() / _TICKS
        self._lock = threading.Lock()
        self._awaited: dict[_Line, int] = {}
        self._resting: threading.Event | None = None

    def connect(self, *arguments: Any, **options: Any) -> "WatchedConnection":
        """A connection whose waits are watched: psycopg2's `connection_factory`."""
        return WatchedConnection(self, *arguments, **options)

    def begin(self, line: "_Line") -> None:
        """A question was asked on this line."""
        with self._lock:
            self._awaited[line] = 0
            if self._resting is None:
                self._resting = threading.Event()
                threading.Thread(target=self._keep, args=(self._resting,), name="answers", daemon=True).start()

    def end(self, line: "_Line") -> bool:
        """It was answered, or failed; whether the line was cut meanwhile."""
        with self._lock:
            return self._awaited.pop(line, None) is None

    def rest(self) -> None:
        """Let the thread end, until the next question."""
        with self._lock:
            if self._resting is not None:
                self._resting.set()
            self._resting = None

    def _keep(self, resting: threading.Event) -> None:
        idle = 0
        while not resting.wait(self._tick):
            with self._lock:
                self._cut_the_late()
                idle = 0 if self._awaited else idle + 1
                if idle > _TICKS and self._resting is resting:
                    self._resting = None
                    return

    def _cut_the_late(self) -> None:
        for line in list(self._awaited):
            self._awaited[line] += 1
            if self._awaited[line] > _TICKS:
                # Under the lock: whoever waits cannot go on and give the line to somebody else.
                line.cut()
                del self._awaited[line]


class _Line:
    """One connection's socket."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._identity = _identity(number)

    def cut(self) -> None:
        """Let whoever reads from it read its end. Does nothing where the driver has closed it already."""
        with suppress(OSError):
            # The number may mean another file by now; the copy means the same one throughout.
            copy = socket.socket(fileno=os.dup(self._number))
            with copy:
                if _identity(copy.fileno()) == self._identity:
                    copy.shutdown(socket.SHUT_RDWR)


def _identity(number: int) -> tuple[int, int]:
    found = os.fstat(number)
    return found.st_dev, found.st_ino


class WatchedConnection(PlainConnection):
    """A driver's connection that has an `AnswerWatch` look after each wait for the server."""

    def __init__(self, watch: AnswerWatch, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = WatchedCursor
        self._line = _Line(self.fileno())
        self._watch: AnswerWatch | None = watch

    @contextmanager
    def unhurried(self) -> Iterator[None]:
        """Within the block an answer may take as long as it likes."""
        watch, self._watch = self._watch, None
        try:
            yield
        finally:
            self._watch = watch

    @property
    def autocommit(self) -> bool:
        """As the driver's."""
        return bool(super().autocommit)

    @autocommit.setter
    def autocommit(self, on: bool) -> None:
        # Otherwise the driver tells the server of the level: a question that nobody watches over, at each look whether
        # the connection lives, and one that changes the session, which a pooler may share.
        if on:
            self.isolation_level = None
        PlainConnection.autocommit.__set__(self, on)  # type: ignore[attr-defined]
        if not on:
            self.isolation_level = ISOLATION_LEVEL_READ_COMMITTED

    def commit(self) -> None:
        """As the driver's."""
        with self.answered():
            super().commit()

    def rollback(self) -> None:
        """As the driver's."""
        with self.answered():
            super().rollback()

    @contextmanager
    def answered(self) -> Iterator[None]:
        """Round whatever waits for the server.

        Raises:
            OperationalError: the answer did not come in time, and the connection is of no more use.
        """
        watch = self._watch
        if watch is None:
            yield
            return
        watch.begin(self._line)
        try:
            yield
        except psycopg2.Error as error:
            if watch.end(self._line):
                raise psycopg2.OperationalError(
                    f"no answer within {watch.within.total_seconds():g} s, so the connection was given up"
                ) from error
            raise
        finally:
            watch.end(self._line)


class WatchedCursor(PlainCursor):
    """A cursor of a `WatchedConnection`."""

    connection: WatchedConnection

    def execute(self, *arguments: Any, **options: Any) -> None:
        """As the driver's."""
        with self.connection.answered():
            super().execute(*arguments, **options)

    def executemany(self, *arguments: Any, **options: Any) -> None:
        """As the driver's; all of them together have the time of one."""
        with self.connection.answered():
            super().executemany(*arguments, **options)
