"""The unit of work in memory."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from wes_daemon.adapters.memory.late_updates import MemoryLateUpdates
from wes_daemon.adapters.memory.leases import MemoryLeaseRepository
from wes_daemon.adapters.memory.polls import MemoryPollSchedule
from wes_daemon.adapters.memory.repository import MemoryRunRepository
from wes_daemon.adapters.memory.store import MemoryStore, Tables
from wes_daemon.adapters.memory.submissions import MemorySubmissionQueue
from wes_daemon.application.ports.errors import StorageRefused
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.domain.runs import RunId


class MemoryUnitOfWork:
    """A `UnitOfWork` that holds the store's lock, works on a copy, and makes the copy current with `commit`.

    A unit of work inside another raises `RuntimeError`: on SQLite the inner one would wait for the outer one for ever.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._open_copy: Tables | None = None
        self._refusals: dict[RunId, StorageRefused] | None = None

    @property
    def runs(self) -> MemoryRunRepository:
        return MemoryRunRepository(self._copy, self._store.faults)

    @property
    def submissions(self) -> MemorySubmissionQueue:
        return MemorySubmissionQueue(self._copy, self._store.clock, self._store.faults, self._refusals)

    @property
    def polls(self) -> MemoryPollSchedule:
        return MemoryPollSchedule(self._copy, self._store.clock)

    @property
    def leases(self) -> MemoryLeaseRepository:
        return MemoryLeaseRepository(self._copy, self._store.clock)

    @property
    def late_updates(self) -> MemoryLateUpdates:
        return MemoryLateUpdates(self._copy, self._store.clock)

    def isolate_refusals(self) -> Mapping[RunId, StorageRefused]:
        self._refusals = {}
        return self._refusals

    def __enter__(self) -> Self:
        self._store.begin()
        self._open_copy = self._store.tables.copy()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open_copy is not None:
            self._end()

    def commit(self) -> None:
        self._store.tables = self._copy
        self._end()

    def _end(self) -> None:
        self._open_copy = None
        self._store.end()

    @property
    def _copy(self) -> Tables:
        if self._open_copy is None:
            raise RuntimeError("this unit of work is not open: enter it, and use it before its commit")
        return self._open_copy


class MemoryUnitsOfWork:
    """Creates units of work on one store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __call__(self) -> UnitOfWork:
        return MemoryUnitOfWork(self._store)
