"""The ledger in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from wes_daemon.adapters.memory.store import MemoryStore, SubmissionRow, Tables
from wes_daemon.adapters.memory.unit_of_work import MemoryUnitOfWork
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import ClaimLost
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.ledger import UNSETTLED, Entry, FollowedRun
from wes_daemon.application.ports.submissions import Claim, SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState


class MemoryLedger:
    """A `Ledger` over the store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def entries(self, run_ids: Collection[RunId]) -> Mapping[RunId, Entry]:
        """As the port says."""
        with self._store.lock:
            tables, clock = self._store.tables, self._store.clock
            return {run_id: entry for run_id in run_ids if (entry := _entry(tables, clock, run_id))}

    def holders(self, provider: ProviderType, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, RunId]:
        """As the port says."""
        with self._store.lock:
            return {
                row.provider_run_id: run_id
                for run_id, row in self._store.tables.submissions.items()
                if row.provider is provider and row.provider_run_id is not None and row.provider_run_id in ids
            }

    def followed(self, provider: ProviderType, *, after: RunId | None, limit: int) -> Sequence[FollowedRun]:
        """As the port says."""
        with self._store.lock:
            runs, rows = self._store.tables.runs, sorted(self._store.tables.polls.items())
        found = [
            FollowedRun(
                run_id=run_id,
                provider_run_id=row.provider_run_id,
                state=runs[run_id].state if run_id in runs else None,
                known_state=row.known_state,
            )
            for run_id, row in rows
            if row.provider is provider and not row.known_state.has_ended and run_id > (after or "")
        ]
        return found[:limit]

    def has_used(self, provider: ProviderType) -> bool:
        """As the port says."""
        with self._store.lock:
            rows = self._store.tables.submissions.values()
            return any(row.provider is provider and row.provider_run_id is not None for row in rows)


class MemoryMending(MemoryUnitOfWork):
    """A `Mending`: a unit of work with two more writes."""

    def take(self, run_id: RunId, owner: SessionId, provider: ProviderType) -> Claim:
        """As the port says."""
        tables, clock = self._copy, self._store.clock
        entry = _entry(tables, clock, run_id)
        if entry is None or entry.is_claimed or not _is_unsettled(entry):
            raise ClaimLost(f"run {run_id}: a daemon is at work on it, or it is settled by now")
        now = clock.now()
        row = tables.submissions.get(run_id) or SubmissionRow(
            provider=provider, state=SubmissionState.READY, enrolled_at=now, not_before=now
        )
        row = replace(row, state=SubmissionState.INTENT, owner=owner, claim_seq=row.claim_seq + 1)
        tables.submissions[run_id] = row
        return Claim(run_id=run_id, owner=owner, seq=row.claim_seq, resumed=True)

    def hasten(self, run_id: RunId, id: ProviderRunId) -> bool:
        """As the port says."""
        row = self._copy.polls.get(run_id)
        if row is None or row.provider_run_id != id:
            return False
        self._copy.polls[run_id] = replace(row, next_check_at=self._store.clock.now())
        return True


class MemoryMendings:
    """Gives mendings over one store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __call__(self) -> MemoryMending:
        """A new one."""
        return MemoryMending(self._store)


def _is_unsettled(entry: Entry) -> bool:
    return entry.submission in UNSETTLED or (entry.submission is None and entry.state is RunState.QUEUED)


def _entry(tables: Tables, clock: Clock, run_id: RunId) -> Entry | None:
    run, row = tables.runs.get(run_id), tables.submissions.get(run_id)
    state = run.state if run else None
    if row is None:
        return Entry(run_id=run_id, state=state) if run else None
    owner = tables.daemons.get(row.owner) if row.owner else None
    return Entry(
        run_id=run_id,
        state=state,
        submission=row.state,
        provider=row.provider,
        provider_run_id=row.provider_run_id,
        prepared_id=row.prepared_id,
        is_claimed=owner is not None and owner.lease_until > clock.now(),
    )
