"""Late updates in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from wes_daemon.adapters.memory.store import LateUpdateRow, Tables
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.late_updates import LateUpdate
from wes_daemon.domain.runs import RunId


class MemoryLateUpdates:
    """`LateUpdates` on the memory tables. The keys of the rows are in the order of their insertion."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._rows = tables.late_updates
        self._clock = clock

    def add(self, updates: Collection[LateUpdate], *, wait: timedelta) -> None:
        for each in updates:
            number = max(self._rows, default=0) + 1
            self._rows[number] = LateUpdateRow(replace(each, tokens=(number,)), self._clock.now() + wait)

    def due(self, *, limit: int) -> Sequence[RunId]:
        now = self._clock.now()
        rows = sorted((row for row in self._rows.values() if row.not_before <= now), key=lambda row: row.not_before)
        return list(dict.fromkeys(row.update.run_id for row in rows))[:limit]

    def get(self, run_ids: Collection[RunId]) -> Mapping[RunId, LateUpdate]:
        found: dict[RunId, LateUpdate] = {}
        for each in (row.update for row in self._rows.values()):
            if each.run_id in run_ids:
                earlier = found.get(each.run_id)
                found[each.run_id] = earlier.followed_by(each) if earlier else each
        return found

    def postpone(self, update: LateUpdate, *, wait: timedelta, reason: str) -> None:
        self.remove([update])
        last = update.tokens[-1]
        postponed = replace(update, attempts=update.attempts + 1, reason=reason, tokens=(last,))
        self._rows[last] = LateUpdateRow(postponed, self._clock.now() + wait)

    def remove(self, updates: Collection[LateUpdate]) -> None:
        for each in updates:
            for token in each.tokens:
                self._rows.pop(token, None)


def has_late_update(tables: Tables, run_id: RunId) -> bool:
    """Whether the run has a late update, so that its row is not what the daemon knows."""
    return any(row.update.run_id == run_id for row in tables.late_updates.values())
