"""Repairs on a real database, and what the daemon does with the runs afterwards."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tests.builders import a_report, a_run, a_submission
from tests.contracts.persistence_harness import HOUR, OTHER, ServiceRow
from tests.integration.persistence.harness import SqlHarness
from tests.unit.application.conftest import World
from wes_daemon.adapters.memory.environment import CountingIds, ManualClock
from wes_daemon.adapters.memory.providers import PreparingMemoryProvider
from wes_daemon.adapters.persistence.reconcile_queries import SqlReconcileQueries, SqlRepairUnits
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.reconciling.discrepancies import Discrepancy, DiscrepancyKind, Repair, Tolerances
from wes_daemon.application.reconciling.reconcile import Reconcile
from wes_daemon.application.reconciling.repairing import Repairer, RepairResult
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState

RUN = RunId("run-1")
SEVENBRIDGES = ProviderType.SEVENBRIDGES


class Site:
    """A database, a Seven Bridges in memory that submits in two steps, and one daemon."""

    def __init__(self, store: SqlHarness) -> None:
        clock = ManualClock(datetime.now(UTC))
        self.store = store
        self.provider = PreparingMemoryProvider(status_batch=2, clock=clock)
        self._world = World(clock=clock, provider=self.provider)
        self._world.units = lambda: store.units()
        self.daemon = self._world.daemon()
        self.queries = SqlReconcileQueries(store.engine)
        repair_units = SqlRepairUnits(store.engine)
        self._reconcile = Reconcile(
            queries=self.queries,
            providers=self._world.directory,
            repairer=Repairer(units=repair_units, clock=clock, ids=CountingIds("person"), by="ada@lab"),
            clock=clock,
        )

    def pass_time(self, time: timedelta) -> None:
        """Let time pass. The daemon's lease expires, and it continues with a new one."""
        self._world.clock.advance(time)
        self.store.let_pass(time)
        self.daemon.daemon_session.renew()

    def queue(self, run_id: str = "run-1", state: RunState = RunState.QUEUED, *, provider_id: str = "") -> None:
        """Queue a run for Seven Bridges, or insert one with the tags of an accepted run."""
        named = f', "provider_id": "{provider_id}"' if provider_id else ""
        self.store.put(ServiceRow(run_id=run_id, state=state, tags=f'{{"provider_type": "sevenbridges"{named}}}'))

    def accepted(self, run_id: str = "run-1") -> ProviderRunId:
        """A run that the provider has accepted, and that the daemon has recorded."""
        self.queue(run_id)
        self.daemon.submit()
        return self.provider.id_of(a_run(run_id).idempotency_key)

    def started(self, run_id: str = "run-1") -> ProviderRunId:
        """A provider run with the key of a run, which is not recorded."""
        return self.provider.start_again(a_submission(f"wes-{run_id}"))

    def found(self) -> Sequence[Discrepancy]:
        """The discrepancies that a comparison finds."""
        return self._reconcile(window=timedelta(days=7), tolerances=Tolerances()).discrepancies

    def repair(self, found: Sequence[Discrepancy] | None = None) -> Sequence[RepairResult]:
        """Repair what an earlier comparison has found, or what a comparison finds now."""
        return self._reconcile.repair(self.found() if found is None else found, tolerances=Tolerances())

    def state(self) -> RunState:
        """The state of the run as a service reads it."""
        return self.store.run(RUN).state

    def timeline(self) -> Sequence[str]:
        """The actor and the reason of each entry in the run's timeline."""
        return [f"{entry.by}: {entry.why}" for entry in self.store.queries.get(RUN).timeline]


@pytest.fixture
def site(store: SqlHarness) -> Site:
    return Site(store)


def test_an_adopted_run_is_followed_and_not_submitted_again(site: Site) -> None:
    site.queue()
    id = site.started()
    site.provider.put(id, a_report(RunState.RUNNING))
    site.pass_time(HOUR)

    [result] = site.repair()

    assert result.succeeded
    assert site.state() is RunState.INITIALIZING
    assert site.timeline()[-1] == f"ada@lab: adopted sevenbridges run {id}"
    assert site.found() == []
    site.daemon.refresh()
    assert site.state() is RunState.RUNNING
    site.daemon.submit()
    assert site.provider.started == ["wes-run-1"]


def test_a_run_that_the_daemon_has_submitted_since_is_not_adopted(site: Site) -> None:
    site.queue()
    site.started()
    site.pass_time(HOUR)
    found = site.found()
    site.daemon.submit()

    [result] = site.repair(found)

    assert not result.succeeded
    assert "finished" in result.message
    assert [each.kind for each in site.found()] == [DiscrepancyKind.DUPLICATE_RUN]


def test_a_run_that_a_live_daemon_has_claimed_has_no_repair(site: Site) -> None:
    site.queue()
    site.started()
    site.pass_time(HOUR)
    site.store.enrol()
    site.store.claim(OTHER)

    [found] = site.found()

    assert (found.kind, found.repair) == (DiscrepancyKind.UNKNOWN_RUN, Repair.NONE)


def test_a_run_whose_daemon_has_died_is_adopted(site: Site) -> None:
    site.queue()
    site.started()
    site.store.enrol()
    site.store.claim(OTHER)
    site.pass_time(HOUR)

    [result] = site.repair()

    assert result.succeeded
    assert site.store.queries.get(RUN).submission is SubmissionState.ACCEPTED


def test_of_two_unknown_runs_one_is_adopted_and_the_other_cancelled_in_one_repair(site: Site) -> None:
    site.queue()
    older = site.started()
    site.pass_time(HOUR)
    younger = site.started()
    site.pass_time(HOUR)

    results = site.repair()

    assert [each.succeeded for each in results] == [True, True]
    assert site.provider.cancelled == [younger]
    assert site.queries.run_ids_of(SEVENBRIDGES, [older, younger]) == {older: "run-1"}


def test_a_provider_run_that_the_daemon_has_adopted_since_is_not_cancelled(site: Site) -> None:
    site.accepted()
    second = site.started()
    found = site.found()
    site.queue("run-2", RunState.RUNNING, provider_id=second)
    site.daemon.submit()

    [result] = site.repair(found)

    assert (result.succeeded, site.provider.cancelled) == (False, [])


def test_a_missing_run_is_made_due_and_ended_by_the_daemons_own_rule_alone(site: Site) -> None:
    site.provider.forget(site.accepted())

    [result] = site.repair()

    assert result.succeeded
    assert site.state() is RunState.INITIALIZING
    assert any("next poll set to now" in entry for entry in site.timeline())
    site.daemon.refresh()
    assert site.state() is RunState.INITIALIZING
    site.pass_time(2 * HOUR)
    site.daemon.refresh()
    assert site.state() is RunState.SYSTEM_ERROR


def test_an_end_is_recorded_by_the_daemon_at_once(site: Site) -> None:
    site.provider.put(site.accepted(), a_report(RunState.COMPLETE))

    site.repair()
    site.daemon.refresh()

    assert site.state() is RunState.COMPLETE


def test_a_run_that_has_ended_since_is_not_made_due(site: Site) -> None:
    site.provider.put(site.accepted(), a_report(RunState.COMPLETE))
    found = site.found()
    site.pass_time(HOUR)
    site.daemon.refresh()

    [result] = site.repair(found)

    assert not result.succeeded


def test_a_discrepancy_of_a_deleted_row_is_repaired(site: Site) -> None:
    site.accepted()
    second = site.started()
    site.store.remove("run-1")

    results = site.repair([each for each in site.found() if each.kind is DiscrepancyKind.DUPLICATE_RUN])

    assert [result.succeeded for result in results] == [True]
    assert site.provider.cancelled == [second]


@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_run_that_was_ended_or_deleted_without_a_daemon_is_found_and_cancelled(site: Site, is_deleted: bool) -> None:
    id = site.accepted()
    if is_deleted:
        site.store.remove("run-1")
    else:
        site.store.move("run-1", RunState.CANCELED)

    found = site.found()
    results = site.repair(found)

    assert [(each.kind, each.repair) for each in found] == [(DiscrepancyKind.STILL_ACTIVE, Repair.CANCEL)]
    assert [result.succeeded for result in results] == [True]
    assert site.provider.cancelled == [id]
    assert DiscrepancyKind.STILL_ACTIVE not in {each.kind for each in site.found()}


def test_a_run_whose_row_was_restored_since_the_comparison_is_not_cancelled(site: Site) -> None:
    site.accepted()
    row = site.store.row("run-1")
    site.store.remove("run-1")
    found = site.found()
    site.store.put(row)

    [result] = site.repair(found)

    assert (result.succeeded, site.provider.cancelled) == (False, [])
    assert site.timeline()[-1].startswith("daemon-1: accepted by")
