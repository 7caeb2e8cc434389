"""One transaction over the memory store."""

from types import TracebackType
from typing import Self

from wes_daemon.adapters.memory.leases import MemoryLease
from wes_daemon.adapters.memory.polls import MemoryPollSchedule
from wes_daemon.adapters.memory.repository import MemoryRunRepository
from wes_daemon.adapters.memory.store import MemoryStore, Tables
from wes_daemon.adapters.memory.submissions import MemorySubmissionQueue
from wes_daemon.application.ports.unit_of_work import UnitOfWork


class MemoryUnitOfWork:
    """A `UnitOfWork` that holds the store's lock, works on a copy, and puts the copy in place at `commit`.

    One inside another raises `RuntimeError`: on SQLite the inner one would wait for the outer one for ever.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._open: Tables | None = None

    @property
    def runs(self) -> MemoryRunRepository:
        """As the port says."""
        return MemoryRunRepository(self._copy)

    @property
    def submissions(self) -> MemorySubmissionQueue:
        """As the port says."""
        return MemorySubmissionQueue(self._copy, self._store.clock)

    @property
    def polls(self) -> MemoryPollSchedule:
        """As the port says."""
        return MemoryPollSchedule(self._copy, self._store.clock)

    @property
    def leases(self) -> MemoryLease:
        """As the port says."""
        return MemoryLease(self._copy, self._store.clock)

    def __enter__(self) -> Self:
        self._store.begin()
        self._open = self._store.tables.copy()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None:
            self._end()

    def commit(self) -> None:
        """Put the copy in place."""
        self._store.tables = self._copy
        self._end()

    def _end(self) -> None:
        self._open = None
        self._store.end()

    @property
    def _copy(self) -> Tables:
        if self._open is None:
            raise RuntimeError("this unit of work is not open: enter it, and use it before its commit")
        return self._open


class MemoryUnitsOfWork:
    """Gives units of work over one store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __call__(self) -> UnitOfWork:
        """A new unit of work."""
        return MemoryUnitOfWork(self._store)
