"""What the daemons publish, in memory."""

from collections.abc import Collection, Sequence, Set

from wes_daemon.adapters.memory.leases import live_daemons
from wes_daemon.adapters.memory.store import MemoryStore
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
            waiting = {
                row.provider for row in tables.submissions.values() if row.state in (SubmissionState.READY, *IN_DOUBT)
            }
            new = [
                run for id, run in tables.runs.items() if id not in tables.submissions and run.state is RunState.QUEUED
            ]
            found = {*waiting, *(row.provider for row in tables.polls.values()), *map(destination, new)}
        return {name for name in found if name is not None}

    def live(self) -> Sequence[Publication | None]:
        with self._store.lock:
            return [info.providers for info in live_daemons(self._store.tables, self._store.clock)]

    def were_known(self, names: Collection[ProviderType]) -> Collection[ProviderType]:
        with self._store.lock:
            tables = self._store.tables
            published = {name for row in tables.daemons.values() for name in row.info.providers or ()}
            accepted = {row.provider for row in tables.submissions.values() if row.provider_run_id is not None}
            return (published | accepted).intersection(names)  # type: ignore[return-value]  # `names` has no None
