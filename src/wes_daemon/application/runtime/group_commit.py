"""Threads that have something to write at the same time, and one of them that writes it for all."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class _Entry(Generic[T]):
    item: T
    is_done: bool = False
    error: BaseException | None = None


class GroupCommit(Generic[T]):
    """Whoever comes first writes; whoever comes meanwhile waits, and then one of these writes for all of them.

    So nobody waits for company, and the busier it is, the more is written at once.
    """

    def __init__(self, write: Callable[[Sequence[T]], None]) -> None:
        self._write = write
        self._waiting: list[_Entry[T]] = []
        self._is_writing = False
        self._changed = threading.Condition()

    @property
    def waiting(self) -> Sequence[T]:
        """What will be written next."""
        with self._changed:
            return [each.item for each in self._waiting]

    def __call__(self, item: T) -> None:
        """Return once the item is written; what went wrong with those that were written together is raised to each."""
        entry = _Entry(item)
        group = self._group_of(entry)
        if group:
            self._write_all(group)
        if entry.error is not None:
            raise entry.error

    def _group_of(self, entry: _Entry[T]) -> Sequence[_Entry[T]]:
        """What this thread has to write; nothing where another one has written its entry."""
        with self._changed:
            self._waiting.append(entry)
            self._changed.wait_for(lambda: entry.is_done or not self._is_writing)
            if entry.is_done:
                return ()
            self._is_writing = True
            group, self._waiting = self._waiting, []
        return group

    def _write_all(self, group: Sequence[_Entry[T]]) -> None:
        error: BaseException | None = None
        try:
            self._write([each.item for each in group])
        except BaseException as caught:  # noqa: BLE001 - it is raised again, by each thread that waits
            error = caught
        with self._changed:
            for each in group:
                each.is_done, each.error = True, error
            self._is_writing = False
            self._changed.notify_all()
