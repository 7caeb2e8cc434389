"""The watermarks in memory."""

from datetime import datetime, timedelta

from wes_daemon.adapters.memory.store import MemoryStore
from wes_daemon.application.ports.watermarks import Turn
from wes_daemon.domain.runs import ProviderType


class MemoryWatermarks:
    """`Watermarks` in a dictionary beside the store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._turns: dict[str, Turn] = {}

    def begin(self, name: str, provider: ProviderType, *, every: timedelta) -> Turn | None:
        """As the port says."""
        with self._store.lock:
            now = self._store.clock.now()
            before = self._turns.get(name)
            if not self._is_followed(provider) or (before and before.begun_at > now - every):
                return None
            self._turns[name] = Turn(seen_until=before.seen_until if before else now, begun_at=now)
            return self._turns[name]

    def advance(self, name: str, until: datetime) -> None:
        """As the port says."""
        with self._store.lock:
            if before := self._turns.get(name):
                self._turns[name] = Turn(seen_until=max(before.seen_until, until), begun_at=before.begun_at)

    def _is_followed(self, provider: ProviderType) -> bool:
        rows = self._store.tables.polls.values()
        return any(row.provider is provider and not row.known_state.has_ended for row in rows)
