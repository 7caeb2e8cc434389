"""Status reports and cancellation of Seven Bridges tasks."""

from datetime import UTC, datetime

import pytest

from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import SevenBridgesHarness
from tests.simulators.sevenbridges import faults
from tests.simulators.sevenbridges.faults import Fault
from wes_daemon.adapters.resilience.decorators import Batching
from wes_daemon.application.ports.errors import Misconfigured, NotNow, OutcomeUnknown
from wes_daemon.domain.runs import ProviderRunId, StatusReport
from wes_daemon.domain.states import RunState
from wes_daemon.testing import accept

__all__ = ["authority", "harness", "trusted"]

UNKNOWN_TASK = ProviderRunId("3f2a0c1e-0000-4000-8000-000000000000")


@pytest.fixture
def run(harness: SevenBridgesHarness) -> ProviderRunId:
    """An accepted run."""
    id = accept(harness.provider(), harness.of())
    harness.operations()
    return id


def status_of(harness: SevenBridgesHarness, id: ProviderRunId) -> StatusReport:
    return harness.provider().statuses([id])[id]


class TestStates:
    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("DRAFT", RunState.INITIALIZING),
            ("CREATING", RunState.INITIALIZING),
            ("QUEUED", RunState.INITIALIZING),
            ("RUNNING", RunState.RUNNING),
            ("ABORTING", RunState.CANCELING),
            ("ABORTED", RunState.CANCELED),
            ("COMPLETED", RunState.COMPLETE),
            ("EXPORTING", RunState.UNKNOWN),
        ],
    )
    def test_every_status_has_its_place(
        self, harness: SevenBridgesHarness, run: ProviderRunId, status: str, state: RunState
    ) -> None:
        harness.platform.move(run, status)

        report = status_of(harness, run)

        assert (report.state, report.provider_status) == (state, status)

    def test_a_task_that_is_queued_again_stays_one_run(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        states = []
        for status in ("RUNNING", "QUEUED", "RUNNING", "COMPLETED"):
            harness.platform.move(run, status)
            states.append(status_of(harness, run).state)

        assert states == [RunState.RUNNING, RunState.INITIALIZING, RunState.RUNNING, RunState.COMPLETE]
        assert len(harness.platform.started) == 1

    def test_a_task_whose_instance_starts_is_not_running_yet(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.move(run, "RUNNING", execution_status={"instance_init": True})

        assert status_of(harness, run).state is RunState.INITIALIZING

    def test_a_queued_task_has_not_started_whatever_its_times_say(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        assert harness.platform.tasks[run]["start_time"]

        assert status_of(harness, run).started_at is None

    def test_times_are_the_services(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        times = {"start_time": "2026-01-12T18:39:30Z", "end_time": "2026-01-12T19:39:30Z"}
        harness.platform.move(run, "COMPLETED", **times)

        report = status_of(harness, run)

        assert report.started_at == datetime(2026, 1, 12, 18, 39, 30, tzinfo=UTC)
        assert report.ended_at == datetime(2026, 1, 12, 19, 39, 30, tzinfo=UTC)

    def test_a_batch_with_a_failed_child_has_failed(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        harness.platform.move(run, "COMPLETED", batch=True, execution_status={"failed": 1, "completed": 4})

        assert status_of(harness, run).state is RunState.EXECUTOR_ERROR


class TestFailures:
    def test_a_job_that_failed_is_the_workflows_fault(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        harness.platform.fail(run)

        report = status_of(harness, run)

        assert (report.state, report.message) == (RunState.EXECUTOR_ERROR, "Tool exited with 1; failed: step_1")

    def test_a_failure_without_a_failed_job_is_the_platforms_fault(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.fail(run, job_failed=False, message="Internal error")

        report = status_of(harness, run)

        assert (report.state, report.message) == (RunState.SYSTEM_ERROR, "Internal error")

    def test_while_the_jobs_cannot_be_read_a_failed_run_is_unknown(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.fail(run)
        harness.platform.faults.add("execution_details", faults.ERROR)

        assert status_of(harness, run).state is RunState.UNKNOWN
        assert status_of(harness, run).state is RunState.EXECUTOR_ERROR

    def test_jobs_that_can_never_be_read_do_not_keep_a_run_from_ending(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.fail(run)
        never = Fault(reply=faults.Reply.CANNED, status=403, body='{"code": 90002}')
        harness.platform.faults.storm(lambda operation: never if operation == "execution_details" else None)

        assert status_of(harness, run).state is RunState.EXECUTOR_ERROR
        assert harness.provider().details(run).tasks == []

    def test_a_failed_batch_is_not_attributed_by_jobs_that_it_cannot_have(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.move(run, "FAILED", batch=True)

        assert status_of(harness, run).state is RunState.EXECUTOR_ERROR


class TestSweeps:
    def test_two_hundred_and_fifty_runs_cost_three_calls(self, harness: SevenBridgesHarness) -> None:
        ids = harness.copies(250)

        reports = Batching(harness.provider()).statuses(ids)

        assert set(reports) == set(ids)
        assert harness.operations() == ["bulk_get"] * 3

    def test_one_run_is_one_call(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        status_of(harness, run)

        assert harness.operations() == ["get_task"]

    def test_a_task_that_no_longer_exists_is_absent_from_the_reports(self, harness: SevenBridgesHarness) -> None:
        here, gone = harness.copies(2)
        del harness.platform.tasks[gone]

        assert set(harness.provider().statuses([here, gone, UNKNOWN_TASK])) == {here}

    @pytest.mark.parametrize("alone", [True, False])
    def test_a_forbidden_task_is_unknown_and_not_absent(self, harness: SevenBridgesHarness, alone: bool) -> None:
        here, hidden = harness.copies(2)
        harness.platform.move(hidden, "RUNNING", project="lab/others")

        reports = harness.provider().statuses([hidden] if alone else [here, hidden])

        assert reports[hidden].state is RunState.UNKNOWN

    def test_where_one_task_cannot_be_read_no_missing_task_is_absent(self, harness: SevenBridgesHarness) -> None:
        here, hidden = harness.copies(2)
        harness.platform.move(hidden, "RUNNING", project="lab/others")

        reports = harness.provider().statuses([here, hidden, UNKNOWN_TASK])

        assert {id: report.state for id, report in reports.items()} == {
            here: RunState.INITIALIZING,
            hidden: RunState.UNKNOWN,
            UNKNOWN_TASK: RunState.UNKNOWN,
        }

    @pytest.mark.parametrize("fault", [faults.TOO_MANY, faults.ERROR, faults.CUT_BEFORE, faults.MALFORMED_AFTER])
    @pytest.mark.parametrize("number", [1, 2])
    def test_a_status_call_that_fails_is_not_now(self, harness: SevenBridgesHarness, number: int, fault: Fault) -> None:
        ids = harness.copies(number)
        harness.platform.faults.add("get_task" if number == 1 else "bulk_get", fault)

        with pytest.raises(NotNow):
            harness.provider().statuses(ids)

    def test_a_task_that_a_bulk_answer_omits_is_unknown(self, harness: SevenBridgesHarness) -> None:
        ids = harness.copies(2)
        harness.platform.faults.add("bulk_get", Fault(reply=faults.Reply.CANNED, body='{"items": []}'))

        reports = harness.provider().statuses(ids)

        assert {report.state for report in reports.values()} == {RunState.UNKNOWN}
        assert set(reports) == set(ids)

    def test_a_wrong_endpoint_makes_no_run_absent(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        endpoint = harness.config.endpoint.replace("/v2", "/v2/wrong")
        object.__setattr__(harness.config, "endpoint", endpoint)

        with pytest.raises(Misconfigured):
            harness.provider().statuses([run])


class TestCancelling:
    def test_a_run_is_aborted_in_one_call(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        harness.provider().cancel(run)

        assert harness.operations() == ["abort_task"]
        assert status_of(harness, run).state is RunState.CANCELING

    def test_a_run_that_completes_despite_its_cancellation_is_complete(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.provider().cancel(run)
        harness.platform.complete(run)

        assert status_of(harness, run).state is RunState.COMPLETE

    def test_a_draft_is_deleted(self, harness: SevenBridgesHarness) -> None:
        draft = harness.only_prepare(harness.of())

        harness.provider().cancel(draft)

        assert draft not in harness.platform.tasks

    def test_a_lost_answer_is_resolved_by_the_tasks_status(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.faults.add("abort_task", faults.CUT_AFTER)

        harness.provider().cancel(run)

        assert harness.platform.tasks[run]["status"] == "ABORTING"

    def test_a_request_that_did_not_arrive_is_made_again(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.faults.add("abort_task", faults.CUT_BEFORE)

        with pytest.raises(OutcomeUnknown):
            harness.provider().cancel(run)
