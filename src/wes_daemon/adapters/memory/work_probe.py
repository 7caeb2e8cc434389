"""The agenda in memory: what a pass would find is found on a copy, as far as it is not seen at once."""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

from wes_daemon.adapters.memory.polls import MemoryPollSchedule
from wes_daemon.adapters.memory.repository import stored_run
from wes_daemon.adapters.memory.store import DaemonRow, MemoryStore, SubmissionRow, Tables
from wes_daemon.adapters.memory.submissions import MemorySubmissionQueue
from wes_daemon.application.ports.leases import DaemonInfo, SessionId
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import PROVIDER_ID_TAG, ProviderType, Run, RunId, RunSummary
from wes_daemon.domain.states import RunState

_NO_TIME = timedelta(0)
_SOMEBODY = SessionId("somebody who looks")
_ACTIVE = (RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED, RunState.CANCELING)


class MemoryWorkProbe:
    """An `Agenda` over a memory store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def is_queued(
        self, destination: Callable[[RunSummary], ProviderType | None], *, excluding: Collection[ProviderType | None]
    ) -> bool:
        """As the port says."""
        tables = self._copy()
        queued = [run for run in tables.runs.values() if run.state is RunState.QUEUED]
        unknown = [run for run in queued if run.id not in tables.submissions]
        known = [run for run in queued if run.id in tables.submissions]
        return (
            any(destination(stored_run(tables, run.id)) not in excluding for run in unknown)
            or any(_is_closed(tables, run.id) for run in known)
            or any(
                row.state is SubmissionState.READY
                for row in self._claimed(_SOMEBODY, excluding, cap=len(tables.submissions) + 1)
            )
        )

    def has_takeovers(self, owner: SessionId, *, excluding: Collection[ProviderType | None]) -> bool:
        """As the port says."""
        return bool(self._claimed(owner, excluding, cap=0))

    def has_runs_to_adopt(self) -> bool:
        """As the port says."""
        tables = self._copy()
        return any(_would_be_followed(tables, run) for run in tables.runs.values())

    def has_cancelled_runs(self, *, excluding: Collection[ProviderType]) -> bool:
        """As the port says."""
        withdrawn = MemorySubmissionQueue(self._copy(), self._store.clock).withdrawn(limit=1)
        return bool(withdrawn) or RunState.CANCELING in self._unwanted(excluding)

    def has_runs_ended_elsewhere(self, *, excluding: Collection[ProviderType]) -> bool:
        """As the port says."""
        tables = self._copy()
        waiting = [id for id, row in tables.submissions.items() if row.state is SubmissionState.READY]
        states = {_state(tables, id) for id in waiting}
        return bool(states - {RunState.QUEUED, RunState.CANCELING}) or any(
            state.has_ended for state in self._unwanted(excluding)
        )

    def is_due(self, *, excluding: Collection[ProviderType]) -> bool:
        """As the port says."""
        polls = MemoryPollSchedule(self._copy(), self._store.clock)
        return bool(
            polls.lease_due(
                limit=1,
                ahead=_NO_TIME,
                lease=_NO_TIME,
                not_leased_for=_NO_TIME,
                serving=frozenset(ProviderType) - frozenset(excluding),
            )
        )

    def _copy(self) -> Tables:
        with self._store.lock:
            return self._store.tables.copy()

    def _claimed(
        self, owner: SessionId, excluding: Collection[ProviderType | None], *, cap: int
    ) -> Sequence[SubmissionRow]:
        """The rows, as they are now, that a claim would change."""
        before, after, now = self._copy(), self._copy(), self._store.clock.now()
        info = DaemonInfo(id=owner, host="", pid=0, version="", started_at=now)
        after.daemons[owner] = DaemonRow(info, now + timedelta(hours=1))
        MemorySubmissionQueue(after, self._store.clock).claim(
            owner, limit=len(before.submissions), cap=cap, excluding=excluding, destination=lambda _: None
        )
        return [row for id, row in before.submissions.items() if after.submissions[id] != row]

    def _unwanted(self, excluding: Collection[ProviderType]) -> Collection[RunState]:
        """The states of the runs that providers still work on and should not."""
        tables = self._copy()
        polls = MemoryPollSchedule(tables, self._store.clock)
        held = polls.to_cancel(
            limit=len(tables.polls), lease=_NO_TIME, serving=frozenset(ProviderType) - frozenset(excluding)
        )
        return {stored_run(tables, run.run_id).state for run in held}


def _would_be_followed(tables: Tables, run: Run) -> bool:
    if run.state not in _ACTIVE:
        return False
    row = tables.submissions.get(run.id)
    if row is None:
        return PROVIDER_ID_TAG in str(run.tags)
    return _is_closed(tables, run.id) and row.provider_run_id is not None


def _is_closed(tables: Tables, run_id: RunId) -> bool:
    return tables.submissions[run_id].state is SubmissionState.CLOSED and run_id not in tables.polls


def _state(tables: Tables, run_id: RunId) -> RunState | None:
    run = tables.runs.get(run_id)
    return run.state if run else None
