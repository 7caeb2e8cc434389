"""Units of work whose commits go wrong when they are told to, and are looked at when they do not."""

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum, auto
from types import TracebackType
from typing import Self

from wes_daemon.adapters.memory.store import MemoryStore, Tables
from wes_daemon.adapters.memory.unit_of_work import MemoryUnitOfWork
from wes_daemon.application.ports.errors import Contended, StorageUnavailable

Watcher = Callable[[Tables, Tables], None]
"""Is told of the tables before and after each commit."""


class CommitFate(Enum):
    """What becomes of a commit."""

    WORKS = auto()
    FAILS = auto()
    IS_IN_THE_WAY = auto()
    LOSES_ITS_ANSWER = auto()


class WatchedUnits:
    """Gives units of work over one store."""

    def __init__(self, store: MemoryStore, watcher: Watcher) -> None:
        self._store = store
        self._watcher = watcher
        self._fates: deque[CommitFate] = deque()

    def __call__(self) -> MemoryUnitOfWork:
        """A new unit of work."""
        return _WatchedUnit(self._store, self._watcher, self._fates)

    def foresee(self, fates: Iterable[CommitFate]) -> None:
        """What becomes of the next commits; those after them work."""
        self._fates = deque(fates)

    def heal(self) -> None:
        """From now on every commit works."""
        self._fates.clear()


class _WatchedUnit(MemoryUnitOfWork):
    def __init__(self, store: MemoryStore, watcher: Watcher, fates: deque[CommitFate]) -> None:
        super().__init__(store)
        self._real = store
        self._watcher = watcher
        self._fates = fates

    def __enter__(self) -> Self:
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)

    def commit(self) -> None:
        fate = self._fates.popleft() if self._fates else CommitFate.WORKS
        if fate is CommitFate.FAILS:
            raise StorageUnavailable("the database is away")
        if fate is CommitFate.IS_IN_THE_WAY:
            raise Contended("another transaction was in the way")
        before = self._real.tables
        super().commit()
        self._watcher(before, self._real.tables)
        if fate is CommitFate.LOSES_ITS_ANSWER:
            raise StorageUnavailable("the answer to the commit was lost")
