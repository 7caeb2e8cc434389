"""Quotas in memory."""

import threading
from typing import TypeVar

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.quotas import Quota, QuotaChange

T = TypeVar("T")


class MemoryQuotas:
    """`SharedQuotas` of a single process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._quotas: dict[str, Quota] = {}
        self._lock = threading.Lock()

    def apply(self, name: str, change: QuotaChange[T]) -> T:
        with self._lock:
            self._quotas[name], result = change(self._quotas.get(name), self._clock.now())
        return result
