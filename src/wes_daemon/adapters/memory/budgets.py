"""Budgets in memory."""

import threading
from typing import TypeVar

from wes_daemon.application.ports.budgets import Budget, Revision
from wes_daemon.application.ports.environment import Clock

T = TypeVar("T")


class MemoryBudgets:
    """`SharedBudgets` of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._budgets: dict[str, Budget] = {}
        self._lock = threading.Lock()

    def revise(self, name: str, revision: Revision[T]) -> T:
        """As the port says."""
        with self._lock:
            self._budgets[name], answer = revision(self._budgets.get(name), self._clock.now())
        return answer
