"""Watermarks of the lists of ended runs in memory."""

from dataclasses import replace
from datetime import datetime, timedelta

from wes_daemon.adapters.memory.store import MemoryStore
from wes_daemon.application.ports.watermarks import ListReading
from wes_daemon.domain.runs import ProviderType


class MemoryWatermarks:
    """`Watermarks` in a dictionary, with the clock and the polls of a store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._readings: dict[str, ListReading] = {}

    def begin(self, name: str, provider: ProviderType, *, every: timedelta) -> ListReading | None:
        with self._store.lock:
            now = self._store.clock.now()
            previous = self._readings.get(name)
            if not self._is_followed(provider) or (previous and previous.began_at > now - every):
                return None
            self._readings[name] = ListReading(read_until=previous.read_until if previous else now, began_at=now)
            return self._readings[name]

    def advance(self, name: str, until: datetime) -> None:
        with self._store.lock:
            if reading := self._readings.get(name):
                self._readings[name] = replace(reading, read_until=max(reading.read_until, until))

    def _is_followed(self, provider: ProviderType) -> bool:
        rows = self._store.tables.polls.values()
        return any(row.provider == provider and not row.known_state.has_ended for row in rows)
