"""Group commit: writes of several threads are flushed together in one transaction."""

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
    """Collects items that are written at the same time and writes them together.

    A thread that finds no write in progress writes its item at once. Items that arrive during a write wait for its
    end; then one of their threads writes all of them. No thread waits for others to arrive, and groups grow with
    the load.
    """

    def __init__(self, write: Callable[[Sequence[T]], None]) -> None:
        self._write = write
        self._waiting: list[_Entry[T]] = []
        self._is_writing = False
        self._changed = threading.Condition()

    def __call__(self, item: T) -> None:
        """Return once the item is written. An error of the write is raised for each item of its group."""
        entry = _Entry(item)
        group = self._group_to_write(entry)
        if group:
            self._write_all(group)
        if entry.error is not None:
            raise entry.error

    def _group_to_write(self, entry: _Entry[T]) -> Sequence[_Entry[T]]:
        """Return the entries that this thread has to write; none if another thread has written `entry`."""
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
            self._write([entry.item for entry in group])
        except BaseException as caught:  # noqa: BLE001 - raised again by each waiting thread
            error = caught
        with self._changed:
            for entry in group:
                entry.is_done, entry.error = True, error
            self._is_writing = False
            self._changed.notify_all()
