"""Notices that the file of a SQLite database was replaced while it was open, such as by a restore.

An open connection goes on with the former file, which has no name any more, and what it writes there is lost. SQLite
names two more files, -wal and -shm, by the path alone: connections to both databases would use the same ones. So all
connections of this process to the former file are closed before the first one to the new file is opened.
"""

import logging
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from weakref import WeakValueDictionary

from wes_daemon.application.ports.errors import StorageUnavailable
from wes_daemon.application.runtime.event_log import log_event

_log = logging.getLogger(__name__)

_Identity = tuple[int, int]


class SqliteFile:
    """The file at one path, and the connections of this process to it. The engines of a process share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._opened: _Identity | None = None
        self._connections = 0
        self._is_reported = False

    @classmethod
    def at(cls, path: Path) -> "SqliteFile":
        """The one object for this path."""
        with _files_lock:
            return _files.setdefault(path, cls(path))

    def is_current(self) -> bool:
        """Whether the open connections, if there are any, lead to the file that the path names now."""
        return self._opened is None or self._opened == self._identity()

    def require_current(self) -> None:
        """Check that a connection may be opened or used.

        Raises:
            StorageUnavailable: the file was removed, or connections to a former file are open.
        """
        if self.is_current():
            return
        with self._lock:
            if self._identity() is None:
                raise StorageUnavailable(f"the SQLite database {self._path}: the file was removed: put it back")
            self._report()
            if self._connections:
                raise StorageUnavailable(
                    f"the SQLite database {self._path}: the file was replaced: its connections are being closed"
                )
            self._opened, self._is_reported = None, False

    def count_opened(self) -> None:
        """Count a connection that was opened just now."""
        with self._lock:
            self._connections += 1
            if self._opened is None:
                self._opened = self._identity()

    def count_closed(self, connection: sqlite3.Connection) -> None:
        """Count a connection that will be closed at once; the last one to a former file empties the -wal file."""
        with self._lock:
            self._connections -= 1
            if self._connections or self.is_current():
                return
            # Otherwise the next connection would apply what is left there to the new file.
            with suppress(sqlite3.Error):
                connection.rollback()
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()

    def _report(self) -> None:
        if not self._is_reported:
            log_event(_log, logging.WARNING, "database.replaced", file=self._path)
        self._is_reported = True

    def _identity(self) -> _Identity | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


_files: "WeakValueDictionary[Path, SqliteFile]" = WeakValueDictionary()
_files_lock = threading.Lock()
