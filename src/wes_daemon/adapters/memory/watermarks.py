"""The watermarks in memory."""

from datetime import datetime, timedelta

from wes_daemon.adapters.memory.store import MemoryStore
from wes_daemon.application.ports.watermarks import ListReading
from wes_daemon.domain.runs import ProviderType


class MemoryWatermarks:
    """`Watermarks` in a dictionary beside the store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._readings: dict[str, ListReading] = {}

    def begin(self, name: str, provider: ProviderType, *, every: timedelta) -> ListReading | None:
        with self._store.lock:
            now = self._store.clock.now()
            before = self._readings.get(name)
            if not self._is_followed(provider) or (before and before.began_at > now - every):
                return None
            self._readings[name] = ListReading(read_until=before.read_until if before else now, began_at=now)
            return self._readings[name]

    def advance(self, name: str, until: datetime) -> None:
        with self._store.lock:
            if before := self._readings.get(name):
                self._readings[name] = ListReading(read_until=max(before.read_until, until), began_at=before.began_at)

    def _is_followed(self, provider: ProviderType) -> bool:
        rows = self._store.tables.polls.values()
        return any(row.provider is provider and not row.known_state.has_ended for row in rows)
