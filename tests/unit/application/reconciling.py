"""A Seven Bridges in memory, and a database whose records are what a test puts in."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tests.builders import a_run, a_submission
from tests.fault_points import RepairerWithPoint
from wes_daemon.adapters.memory.environment import CountingIds, ManualClock
from wes_daemon.adapters.memory.providers import MemoryProviderDirectory, PreparingMemoryProvider
from wes_daemon.adapters.memory.store import MemoryStore, SubmissionRow
from wes_daemon.adapters.memory.unit_of_work import MemoryUnitOfWork
from wes_daemon.application.ports.errors import ClaimLost
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.reconcile_queries import FollowedRun, RecordedRun, UnexplainedRun
from wes_daemon.application.ports.submissions import Claim, SubmissionState
from wes_daemon.application.reconciling.delete_drafts import DeleteDrafts, DraftReport
from wes_daemon.application.reconciling.discrepancies import Discrepancy, DiscrepancyKind, Repair, Tolerances
from wes_daemon.application.reconciling.reconcile import Reconcile, ReconcileReport
from wes_daemon.application.reconciling.repairing import Repairer, RepairResult
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState
from wes_daemon.testing import accept

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SEVENBRIDGES = ProviderType.SEVENBRIDGES


class FakeReconcileQueries:
    """Returns the records that a test has put in."""

    def __init__(self) -> None:
        self.records: dict[RunId, RecordedRun] = {}
        self.followed: dict[ProviderType, list[FollowedRun]] = defaultdict(list)
        self.unexplained: dict[RunId, UnexplainedRun] = {}
        self.inherited_ended = False
        self.ended_naming: list[FollowedRun] = []

    def recorded_runs(self, run_ids: Collection[RunId]) -> Mapping[RunId, RecordedRun]:
        return {run_id: self.records[run_id] for run_id in run_ids if run_id in self.records}

    def run_ids_of(self, provider: ProviderType, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, RunId]:
        accepted = self._accepted_by(provider)
        return {id: run_id for id, run_id in accepted.items() if id in ids}

    def followed_runs(self, provider: ProviderType, *, after: RunId | None, limit: int) -> Sequence[FollowedRun]:
        return [run for run in self.followed[provider] if run.run_id > (after or "")][:limit]

    def unexplained_runs(self) -> Sequence[UnexplainedRun]:
        return [self.unexplained[run_id] for run_id in sorted(self.unexplained)]

    def has_inherited_runs(self) -> bool:
        return self.inherited_ended or any(each.is_inherited for each in self.unexplained.values())

    def has_inherited_ended_runs(self) -> bool:
        return self.inherited_ended

    def ended_runs_naming(self, provider: ProviderType, *, since: datetime) -> Sequence[FollowedRun]:
        del since
        return self.ended_naming if provider == SEVENBRIDGES else []

    def has_accepted(self, provider: ProviderType) -> bool:
        return bool(self._accepted_by(provider))

    def _accepted_by(self, provider: ProviderType) -> Mapping[ProviderRunId, RunId]:
        records = (record for record in self.records.values() if record.provider == provider)
        return {record.provider_run_id: record.run_id for record in records if record.provider_run_id}


class FakeRepairUnits:
    """Makes repair units on a memory store.

    Attributes:
        refused: the runs that cannot be claimed.
        due: the provider runs that were made due.
        cancelled: the provider runs of ended or deleted runs whose cancellation was recorded.
        ended: the provider runs of ended runs that are not followed any more, or whose rows are active again.
        released: the inherited runs that were released.
    """

    def __init__(self, store: MemoryStore, queries: FakeReconcileQueries | None = None) -> None:
        self.store = store
        self.queries = queries or FakeReconcileQueries()
        self.released: list[RunId] = []
        self.refused: set[RunId] = set()
        self.due: list[ProviderRunId] = []
        self.cancelled: list[ProviderRunId] = []
        self.ended: set[ProviderRunId] = set()

    def __call__(self) -> "FakeRepairUnit":
        return FakeRepairUnit(self)


class FakeRepairUnit(MemoryUnitOfWork):
    """A unit of work that claims, and makes due, as the test says."""

    def __init__(self, units: FakeRepairUnits) -> None:
        super().__init__(units.store)
        self._units = units

    def claim_for_repair(self, run_id: RunId, owner: SessionId, provider: ProviderType) -> Claim:
        if run_id in self._units.refused:
            raise ClaimLost(f"run {run_id}: a live daemon has claimed it")
        now = self._store.clock.now()
        self._copy.submissions[run_id] = SubmissionRow(
            provider=provider,
            state=SubmissionState.INTENT,
            enrolled_at=now,
            not_before=now,
            owner=owner,
            claim_seq=1,
        )
        return Claim(run_id=run_id, owner=owner, fencing_token=1, resumed=True)

    def release(self, run_ids: Collection[RunId]) -> int:
        self._units.released += sorted(run_ids)
        for run_id in run_ids:
            del self._units.queries.unexplained[run_id]
        return len(run_ids)

    def release_ended(self) -> int:
        self._units.queries.inherited_ended = False
        return 0

    def make_due(self, run_id: RunId, id: ProviderRunId) -> bool:
        if id in self._units.ended:
            return False
        self._units.due.append(id)
        return True

    def record_cancel(self, run_id: RunId, id: ProviderRunId) -> bool:
        if id in self._units.ended:
            return False
        self._units.cancelled.append(id)
        return True


class Site:
    """A database with the records that a test puts in, and a Seven Bridges in memory that submits in two steps."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.provider = PreparingMemoryProvider(status_batch=2, clock=self.clock)
        self.directory = MemoryProviderDirectory({SEVENBRIDGES: self.provider})
        self.store = MemoryStore(self.clock)
        self.queries = FakeReconcileQueries()
        self.units = FakeRepairUnits(self.store, self.queries)
        self.stop = StopSignal()
        self.tolerances = Tolerances()
        self.repairer = RepairerWithPoint(
            Repairer(units=self.units, clock=self.clock, ids=CountingIds("person"), by="ada@lab")
        )
        self.reconcile = Reconcile(
            queries=self.queries, providers=self.directory, repairer=self.repairer, clock=self.clock
        )

    def pass_time(self, time: timedelta) -> None:
        """Let time pass."""
        self.clock.advance(time)

    def record(self, run_id: str = "run-1", state: RunState = RunState.QUEUED) -> None:
        """Record a run that is not enrolled."""
        self.store.insert(a_run(run_id, state))
        self.queries.records[RunId(run_id)] = RecordedRun(run_id=RunId(run_id), state=state)

    def update(self, run_id: str = "run-1", **changes: object) -> None:
        """Change the record of a run."""
        records = self.queries.records
        records[RunId(run_id)] = replace(records[RunId(run_id)], **changes)  # type: ignore[arg-type]

    def accepted(self, run_id: str = "run-1") -> ProviderRunId:
        """A run that the provider has accepted, and that is recorded and followed."""
        id = accept(self.provider, a_submission(f"wes-{run_id}"))
        self.record(run_id, RunState.INITIALIZING)
        self.update(run_id, submission=SubmissionState.ACCEPTED, provider=SEVENBRIDGES, provider_run_id=id)
        followed = FollowedRun(
            run_id=RunId(run_id),
            provider_run_id=id,
            state=RunState.INITIALIZING,
            known_state=RunState.INITIALIZING,
        )
        self.queries.followed[SEVENBRIDGES].append(followed)
        return id

    def withdraw(self, state: RunState | None, *, cancel_was_sent: bool = False, run_id: str = "run-1") -> None:
        """The service ends an accepted run, or deletes its row (None)."""
        [followed] = [run for run in self.queries.followed[SEVENBRIDGES] if run.run_id == run_id]
        self.queries.followed[SEVENBRIDGES].remove(followed)
        changed = replace(followed, state=state, cancel_was_sent=cancel_was_sent)
        self.queries.followed[SEVENBRIDGES].append(changed)
        if state is None:
            del self.store.tables.runs[RunId(run_id)]

    def started(self, run_id: str = "run-1") -> ProviderRunId:
        """A provider run with the key of a run, which is not recorded."""
        return self.provider.start_again(a_submission(f"wes-{run_id}"))

    def drafted(self, run_id: str = "run-1") -> ProviderRunId:
        """A further draft with the key of a run, which is not recorded."""
        return self.provider.draft_again(a_submission(f"wes-{run_id}"))

    def compare(self, *, window: timedelta = 7 * DAY) -> ReconcileReport:
        """Compare all providers."""
        return self.reconcile(window=window, tolerances=self.tolerances)

    def found(self) -> Sequence[Discrepancy]:
        """The discrepancies that a comparison finds."""
        return self.compare().discrepancies

    def kinds(self) -> Sequence[tuple[DiscrepancyKind, Repair]]:
        """The kind and the repair of each discrepancy that a comparison finds."""
        return [(each.kind, each.repair) for each in self.found()]

    def repair(self, found: Sequence[Discrepancy] | None = None) -> Sequence[RepairResult]:
        """Repair what an earlier comparison has found, or what a comparison finds now."""
        return self.reconcile.repair(self.found() if found is None else found, tolerances=self.tolerances)

    def timeline(self, run_id: str = "run-1") -> Sequence[str]:
        """The actor and the reason of each entry in the run's timeline."""
        return [f"{entry.by}: {entry.why}" for entry in self.store.timeline(RunId(run_id))]

    def delete_drafts(self) -> DraftReport:
        """Make one pass over the drafts."""
        use_case = DeleteDrafts(
            queries=self.queries,
            providers=self.directory,
            repairer=self.repairer,
            clock=self.clock,
            stop=self.stop,
            tolerances=self.tolerances,
        )
        return use_case()

    def cancel_foreign_runs(self) -> None:
        """Cancel foreign runs from now on."""
        self.tolerances = replace(self.tolerances, foreign_runs=Repair.CANCEL)
