"""One transaction over the memory store."""

from types import TracebackType
from typing import Self

from wes_daemon.adapters.memory.leases import MemoryLease
from wes_daemon.adapters.memory.polls import MemoryPollSchedule
from wes_daemon.adapters.memory.repository import MemoryRunRepository
from wes_daemon.adapters.memory.store import MemoryStore
from wes_daemon.adapters.memory.submissions import MemorySubmissionQueue
from wes_daemon.application.ports.persistence import UnitOfWork


class MemoryUnitOfWork:
    """A `UnitOfWork` that holds the store's lock, works on a copy, and puts the copy in place at `commit`."""

    runs: MemoryRunRepository
    submissions: MemorySubmissionQueue
    polls: MemoryPollSchedule
    leases: MemoryLease

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __enter__(self) -> Self:
        self._store.lock.acquire()
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.lock.release()

    def commit(self) -> None:
        """Put the copy in place; what follows in the same block works on a new one."""
        self._store.tables = self._copy
        self._begin()

    def _begin(self) -> None:
        self._copy = self._store.tables.copy()
        self.runs = MemoryRunRepository(self._copy)
        self.submissions = MemorySubmissionQueue(self._copy, self._store.clock)
        self.polls = MemoryPollSchedule(self._copy, self._store.clock)
        self.leases = MemoryLease(self._copy, self._store.clock)


class MemoryUnitsOfWork:
    """Gives units of work over one store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __call__(self) -> UnitOfWork:
        """A new unit of work."""
        return MemoryUnitOfWork(self._store)
