"""One transaction, and the stores that take part in it."""

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine

from wes_daemon.adapters.persistence.engine import writing
from wes_daemon.adapters.persistence.leases import SqlLease
from wes_daemon.adapters.persistence.polls import SqlPollSchedule
from wes_daemon.adapters.persistence.repository import SqlRunRepository
from wes_daemon.adapters.persistence.submissions import SqlSubmissionQueue


class SqlUnitOfWork:
    """`UnitOfWork` on a connection that is taken at entry and given back at the exit."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._resources = ExitStack()
        self._entered: Connection | None = None

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
    def leases(self) -> SqlLease:
        return SqlLease(self._connection)

    def __enter__(self) -> Self:
        self._entered = self._resources.enter_context(writing(self._engine))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = None
        self._resources.close()

    def commit(self) -> None:
        """Make everything durable, and end this unit of work: nothing more can be done with it."""
        connection = self._connection
        self._entered = None
        connection.commit()
        # The connection, and on SQLite the right to write, are wanted by others before the block is left.
        self._resources.close()

    @property
    def _connection(self) -> Connection:
        if self._entered is None:
            raise RuntimeError("this unit of work is not open: enter it, and use it before its commit")
        return self._entered


class SqlUnitsOfWork:
    """Gives units of work on one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self) -> SqlUnitOfWork:
        return SqlUnitOfWork(self._engine)
