"""The unit of work: one transaction and the repositories that use it."""

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine

from wes_daemon.adapters.persistence.isolation import isolate_refusals
from wes_daemon.adapters.persistence.late_updates import SqlLateUpdates
from wes_daemon.adapters.persistence.leases import SqlLeaseRepository
from wes_daemon.adapters.persistence.polls import SqlPollSchedule
from wes_daemon.adapters.persistence.repository import SqlRunRepository
from wes_daemon.adapters.persistence.submissions import SqlSubmissionQueue
from wes_daemon.adapters.persistence.transactions import DAEMON_WRITES, writing
from wes_daemon.application.ports.errors import StorageRefused
from wes_daemon.domain.runs import RunId


class SqlUnitOfWork:
    """`UnitOfWork` on a connection that it gets when it is entered and returns when it ends."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._transaction = ExitStack()
        self._open_connection: Connection | None = None

    @property
    def runs(self) -> SqlRunRepository:
        return SqlRunRepository(self._connection)

    @property
    def submissions(self) -> SqlSubmissionQueue:
        return SqlSubmissionQueue(self._connection)

    @property
    def polls(self) -> SqlPollSchedule:
        return SqlPollSchedule(self._connection)

    @property
    def leases(self) -> SqlLeaseRepository:
        return SqlLeaseRepository(self._connection)

    @property
    def late_updates(self) -> SqlLateUpdates:
        return SqlLateUpdates(self._connection)

    def isolate_refusals(self) -> Mapping[RunId, StorageRefused]:
        return isolate_refusals(self._connection)

    def __enter__(self) -> Self:
        self._open_connection = self._transaction.enter_context(writing(self._engine, DAEMON_WRITES))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open_connection = None
        self._transaction.close()

    def commit(self) -> None:
        """Commit and end this unit of work, which cannot be used any more."""
        connection = self._connection
        self._open_connection = None
        connection.commit()
        # Other threads need the connection, and on SQLite the write lock, before the block is left.
        self._transaction.close()

    @property
    def _connection(self) -> Connection:
        if self._open_connection is None:
            raise RuntimeError("this unit of work is not open: enter it, and use it before its commit")
        return self._open_connection


class SqlUnitsOfWork:
    """Creates units of work on one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self) -> SqlUnitOfWork:
        return SqlUnitOfWork(self._engine)
