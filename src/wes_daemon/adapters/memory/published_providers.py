"""What the daemons publish, and the providers that no live daemon serves, in memory."""

from collections.abc import Collection, Mapping, Sequence, Set
from datetime import timedelta

from wes_daemon.adapters.memory.leases import live_daemons
from wes_daemon.adapters.memory.store import MemoryStore, UnservedRow
from wes_daemon.application.ports.leases import Publication
from wes_daemon.application.ports.submissions import IN_DOUBT, Destination, SubmissionState
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState


class MemoryPublishedProviders:
    """`PublishedProviders` on the memory tables."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def in_use(self, destination: Destination) -> Set[ProviderType]:
        with self._store.lock:
            tables = self._store.tables
            states = (SubmissionState.READY, *IN_DOUBT)
            waiting = {row.provider for row in tables.submissions.values() if row.state in states}
            queued = [run for run in tables.runs.values() if run.state is RunState.QUEUED]
            new = {destination(run) for run in queued if run.id not in tables.submissions}
            found = {*waiting, *(row.provider for row in tables.polls.values()), *new}
        return {name for name in found if name is not None}

    def live(self) -> Sequence[Publication | None]:
        with self._store.lock:
            return [info.providers for info in live_daemons(self._store.tables, self._store.clock)]

    def were_known(self, names: Collection[ProviderType]) -> Mapping[ProviderType, str]:
        known: dict[ProviderType, str] = {}
        with self._store.lock:
            rows = sorted(self._store.tables.daemons.values(), key=lambda row: row.lease_until)
            for row in rows:
                for name, problem in (row.info.providers or {}).items():
                    served = f"{row.info.host} served it until {row.lease_until:%Y-%m-%dT%H:%M:%SZ}"
                    known[name] = known.get(name, "") if problem else served
            submissions = self._store.tables.submissions.values()
            accepted = {row.provider for row in submissions if row.provider_run_id is not None}
        return {name: known.get(name, "") for name in names if name in known or name in accepted}

    def note_unserved(
        self, reasons: Mapping[ProviderType, str], *, forget_after: timedelta
    ) -> Mapping[ProviderType, timedelta]:
        with self._store.lock:
            now, rows = self._store.clock.now(), self._store.tables.unserved
            before = {name: row.since for name, row in rows.items() if row.seen_at >= now - forget_after}
            rows.clear()
            rows.update({name: UnservedRow(before.get(name, now), now, why) for name, why in reasons.items()})
            return {name: now - row.since for name, row in rows.items()}

    def unserved(self) -> Mapping[ProviderType, str]:
        with self._store.lock:
            return {name: row.reason for name, row in self._store.tables.unserved.items()}
