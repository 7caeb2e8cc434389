"""Lists of owned tasks, and the deletion of drafts that no run will start."""

from datetime import timedelta

import pytest

from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import SevenBridgesHarness
from tests.simulators.sevenbridges.faults import CUT_AFTER, TOO_MANY
from tests.unit.application.reconciling import FakeReconcileQueries, FakeRepairUnits
from wes_daemon.adapters.memory.environment import CountingIds
from wes_daemon.adapters.memory.providers import MemoryProviderDirectory
from wes_daemon.adapters.memory.store import MemoryStore
from wes_daemon.application.ports.errors import NotNow, OutcomeUnknown
from wes_daemon.application.ports.reconcile_queries import RecordedRun
from wes_daemon.application.reconciling.delete_drafts import DeleteDrafts
from wes_daemon.application.reconciling.discrepancies import Tolerances
from wes_daemon.application.reconciling.repairing import Repairer
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState
from wes_daemon.testing import accept, all_former_runs, all_owned_runs, owned_run

__all__ = ["authority", "harness", "trusted"]


def test_a_project_is_listed_page_by_page_and_nothing_is_missed(harness: SevenBridgesHarness) -> None:
    template = harness.submission()
    ids = set(harness.copies(230, name=template.key, description=template.key))

    found = all_owned_runs(harness, harness.provider())

    assert ids <= {run.id for run in found}
    assert harness.operations() == ["list_tasks"] * 3


def test_a_page_costs_one_call_with_only_the_necessary_fields(harness: SevenBridgesHarness) -> None:
    accept(harness.provider(), harness.submission())
    harness.platform.calls.clear()

    harness.provider().owned_runs(harness.beginning)

    [call] = harness.platform.calls
    assert "inputs" not in call.params["fields"][0]
    assert call.params["created_from"] == ["2000-01-01T00:00:00"]


def test_a_task_without_an_ownership_marker_is_not_listed(harness: SevenBridgesHarness) -> None:
    accept(harness.provider(), harness.of(key="nightly-7"))

    assert all_owned_runs(harness, harness.provider()) == []


def test_a_run_that_was_renamed_is_listed_by_its_description(harness: SevenBridgesHarness) -> None:
    submission = harness.submission()
    id = accept(harness.provider(), submission)
    harness.platform.tasks[id]["name"] = "sample 7, second try"

    assert owned_run(all_owned_runs(harness, harness.provider()), id).key == submission.key


def test_a_draft_that_a_person_has_renamed_is_not_listed(harness: SevenBridgesHarness) -> None:
    id = harness.only_prepare(harness.submission())
    harness.platform.tasks[id]["name"] = "my own"

    assert all_owned_runs(harness, harness.provider()) == []


def test_the_children_of_a_batch_are_not_listed(harness: SevenBridgesHarness) -> None:
    submission = harness.submission()
    parent = accept(harness.provider(), submission)
    harness.copies(2, parent=parent, description=f"{submission.key}\n", name="part")

    assert submission.key not in [run.key for run in all_owned_runs(harness, harness.provider()) if run.id != parent]


def test_a_task_that_was_listed_as_a_draft_and_then_started_is_not_deleted(
    harness: SevenBridgesHarness,
) -> None:
    submission = harness.submission()
    id = harness.only_prepare(submission)
    harness.platform.move(id, "QUEUED")
    harness.operations()

    assert harness.provider().delete_draft(id) is False

    assert harness.platform.tasks[id]["status"] == "QUEUED"
    assert harness.operations() == ["delete_task"]


def test_a_lost_answer_leaves_the_outcome_of_a_deletion_unknown(harness: SevenBridgesHarness) -> None:
    id = harness.only_prepare(harness.submission())
    harness.platform.faults.add("delete_task", CUT_AFTER)

    with pytest.raises(OutcomeUnknown):
        harness.provider().delete_draft(id)

    assert harness.provider().delete_draft(id) is False


def test_a_throttled_list_is_not_now(harness: SevenBridgesHarness) -> None:
    harness.platform.faults.add("list_tasks", TOO_MANY)

    with pytest.raises(NotNow):
        harness.provider().owned_runs(harness.beginning)


def test_leftover_drafts_are_deleted_and_the_accepted_run_continues(harness: SevenBridgesHarness) -> None:
    submission = harness.of(key="wes-run-1")
    ended = harness.of(key="wes-run-2")
    left = harness.drafts(ended, 3)
    running = accept(harness.provider(), submission)
    queries = FakeReconcileQueries()
    for run_id, state in ((RunId("run-1"), RunState.RUNNING), (RunId("run-2"), RunState.CANCELED)):
        queries.records[run_id] = RecordedRun(run_id=run_id, state=state)
    harness.clock.advance(timedelta(days=2))
    harness.operations()

    report = _delete_drafts(harness, queries)()

    assert report.deleted == 3
    assert set(left).isdisjoint(harness.platform.tasks)
    assert running in harness.platform.tasks
    assert harness.operations() == ["list_tasks", *["delete_task"] * 3]


def _delete_drafts(harness: SevenBridgesHarness, queries: FakeReconcileQueries) -> DeleteDrafts:
    units = FakeRepairUnits(MemoryStore(harness.clock))
    return DeleteDrafts(
        queries=queries,
        providers=MemoryProviderDirectory({ProviderType.SEVENBRIDGES: harness.provider()}),
        repairer=Repairer(units=units, clock=harness.clock, ids=CountingIds(), by="a test"),
        clock=harness.clock,
        stop=StopSignal(),
        tolerances=Tolerances(),
    )


def test_an_id_that_cannot_be_a_tasks_costs_no_call(harness: SevenBridgesHarness) -> None:
    assert harness.provider().delete_draft(ProviderRunId("../projects")) is False
    assert harness.operations() == []


def test_the_former_daemons_tasks_are_listed_page_by_page_and_nothing_is_missed(harness: SevenBridgesHarness) -> None:
    ids = set(harness.copies(230, name="WES-run-1"))

    found = all_former_runs(harness, harness.provider(), since=harness.beginning)

    assert {run.id for run in found} == ids
    assert {run.run_id for run in found} == {"run-1"}
    assert harness.operations() == ["list_tasks"] * 3


def test_the_former_daemons_active_tasks_take_one_list_for_each_active_status(harness: SevenBridgesHarness) -> None:
    harness.copies(300, name="WES-old", status="COMPLETED")
    queued = harness.copies(120, name="WES-queued", status="QUEUED")
    running = harness.copies(1, name="WES-running", status="RUNNING")
    harness.copies(1, name="WES-stopping", status="ABORTING")
    harness.copies(1, name="WES-draft", status="DRAFT")

    found = all_former_runs(harness, harness.provider(), since=None)

    assert {run.id for run in found} == {*queued, *running}
    assert harness.operations() == ["list_tasks"] * 4


@pytest.mark.parametrize("name", ["wes-run-1", "WES-", "WES run-1", "my WES-run-1", "WES-run 1"])
def test_a_task_with_another_name_is_not_the_former_daemons(harness: SevenBridgesHarness, name: str) -> None:
    harness.copies(1, name=name)

    assert all_former_runs(harness, harness.provider(), since=harness.beginning) == []


def test_a_part_of_a_batch_is_not_the_former_daemons(harness: SevenBridgesHarness) -> None:
    harness.copies(1, name="WES-run-1", parent="another")

    assert all_former_runs(harness, harness.provider(), since=harness.beginning) == []


def test_a_draft_of_the_former_daemon_is_listed_as_a_draft(harness: SevenBridgesHarness) -> None:
    harness.copies(1, name="WES-run-1", status="DRAFT")

    [found] = all_former_runs(harness, harness.provider(), since=harness.beginning)

    assert found.is_draft
