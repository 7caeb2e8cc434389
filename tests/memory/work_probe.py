"""The work probe in memory: it lets a pass work on a copy of the tables and compares."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from wes_daemon.adapters.memory.polls import MemoryPollSchedule
from wes_daemon.adapters.memory.repository import stored_run
from wes_daemon.adapters.memory.store import DaemonRow, MemoryStore, SubmissionRow, Tables
from wes_daemon.adapters.memory.submissions import MemorySubmissionQueue
from wes_daemon.application.ports.leases import DaemonInfo, SessionId
from wes_daemon.application.ports.submissions import Destination, SubmissionState
from wes_daemon.domain.runs import PROVIDER_ID_TAG, ProviderType, Run, RunId
from wes_daemon.domain.states import RunState

_NO_TIME = timedelta(0)
_PROBE = SessionId("work-probe")
_ACTIVE = (RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED, RunState.CANCELING, RunState.UNKNOWN)


class MemoryWorkProbe:
    """`WorkProbe` over a memory store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def has_queued_runs(self, destination: Destination, *, serving: Collection[ProviderType | None]) -> bool:
        tables = self._copy()
        queued = [run for run in tables.runs.values() if run.state is RunState.QUEUED]
        new = [run for run in queued if run.id not in tables.submissions]
        enrolled = [run for run in queued if run.id in tables.submissions]
        return (
            any(destination(stored_run(tables, run.id)) in serving for run in new)
            or any(_is_closed(tables, run.id) for run in enrolled)
            or any(
                row.state is SubmissionState.READY
                for row in self._claimable(_PROBE, serving, concurrency_limit=len(tables.submissions) + 1)
            )
        )

    def has_takeovers(self, owner: SessionId, *, serving: Collection[ProviderType | None]) -> bool:
        return bool(self._claimable(owner, serving, concurrency_limit=0))

    def has_runs_to_adopt(self) -> bool:
        tables = self._copy()
        return any(_would_be_followed(tables, run) for run in tables.runs.values())

    def has_cancelled_runs(self, *, serving: Collection[ProviderType]) -> bool:
        tables = self._copy()
        withdrawn = MemorySubmissionQueue(tables, self._store.clock).close_withdrawn(limit=1)
        to_end = any(tables.runs[run_id].state is RunState.CANCELING for run_id in withdrawn)
        return to_end or RunState.CANCELING in self._states_to_cancel(serving)

    def has_interrupted_runs(self, *, serving: Collection[ProviderType]) -> bool:
        tables = self._copy()
        before = dict(tables.polls)
        polls = MemoryPollSchedule(tables, self._store.clock)
        polls.forget_restored()
        deleted = any(tables.polls[run_id].provider in serving for run_id in polls.deleted())
        ended = any(state is None or state.has_ended for state in self._states_to_cancel(serving))
        return deleted or ended or tables.polls != before

    def has_runs_ended_elsewhere(self, *, serving: Collection[ProviderType]) -> bool:
        tables = self._copy()
        waiting = [id for id, row in tables.submissions.items() if row.state is SubmissionState.READY]
        states = {_state(tables, id) for id in waiting}
        withdrawn = bool(states - {RunState.QUEUED, RunState.CANCELING})
        return withdrawn or self.has_interrupted_runs(serving=serving)

    def has_due_polls(self, *, serving: Collection[ProviderType]) -> bool:
        polls = MemoryPollSchedule(self._copy(), self._store.clock)
        return bool(polls.lease_due(limit=1, ahead=_NO_TIME, lease=_NO_TIME, not_leased_for=_NO_TIME, serving=serving))

    def _copy(self) -> Tables:
        with self._store.lock:
            return self._store.tables.copy()

    def _claimable(
        self, owner: SessionId, serving: Collection[ProviderType | None], *, concurrency_limit: int
    ) -> Sequence[SubmissionRow]:
        """The rows that a claim would change, as they are now."""
        before, after, now = self._copy(), self._copy(), self._store.clock.now()
        info = DaemonInfo(id=owner, host="", pid=0, version="", started_at=now)
        after.daemons[owner] = DaemonRow(info, now + timedelta(hours=1))
        MemorySubmissionQueue(after, self._store.clock).claim(
            owner,
            limit=len(before.submissions),
            concurrency_limit=concurrency_limit,
            serving=serving,
            destination=lambda _: None,
        )
        return [row for id, row in before.submissions.items() if after.submissions[id] != row]

    def _states_to_cancel(self, serving: Collection[ProviderType]) -> Collection[RunState | None]:
        """The states of the runs that are to be cancelled at their providers; None for deleted rows."""
        tables = self._copy()
        polls = MemoryPollSchedule(tables, self._store.clock)
        to_cancel = polls.to_cancel(limit=len(tables.polls), lease=_NO_TIME, serving=serving)
        return {_state(tables, run.run_id) for run in to_cancel}


def _would_be_followed(tables: Tables, run: Run) -> bool:
    if run.state not in _ACTIVE:
        return False
    row = tables.submissions.get(run.id)
    if row is None:
        return PROVIDER_ID_TAG in str(run.tags)
    is_again = run.state is not RunState.UNKNOWN and _is_closed(tables, run.id)
    return is_again and row.provider_run_id is not None


def _is_closed(tables: Tables, run_id: RunId) -> bool:
    return tables.submissions[run_id].state is SubmissionState.CLOSED and run_id not in tables.polls


def _state(tables: Tables, run_id: RunId) -> RunState | None:
    run = tables.runs.get(run_id)
    return run.state if run else None
