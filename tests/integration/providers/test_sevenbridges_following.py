"""What a Seven Bridges task tells of itself while it lasts and when it has ended."""

from datetime import UTC, datetime

import pytest

from tests.contracts.provider import accept
from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import SevenBridgesHarness
from tests.simulators.sevenbridges import faults
from tests.simulators.sevenbridges.faults import Fault
from wes_daemon.adapters.providers.decorators.chunking import Chunking
from wes_daemon.application.ports.errors import Misconfigured, NotNow, OutcomeUnknown
from wes_daemon.domain.runs import ProviderRunId, StatusReport
from wes_daemon.domain.states import RunState

__all__ = ["authority", "harness", "trusted"]

NOBODY = ProviderRunId("3f2a0c1e-0000-4000-8000-000000000000")


@pytest.fixture
def run(harness: SevenBridgesHarness) -> ProviderRunId:
    """A run that was accepted, and nothing more."""
    id = accept(harness.provider(), harness.of())
    harness.operations()
    return id


def told(harness: SevenBridgesHarness, id: ProviderRunId) -> StatusReport:
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

        report = told(harness, run)

        assert (report.state, report.provider_status) == (state, status)

    def test_a_task_that_is_queued_again_stays_one_run(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        seen = []
        for status in ("RUNNING", "QUEUED", "RUNNING", "COMPLETED"):
            harness.platform.move(run, status)
            seen.append(told(harness, run).state)

        assert seen == [RunState.RUNNING, RunState.INITIALIZING, RunState.RUNNING, RunState.COMPLETE]
        assert len(harness.platform.started) == 1

    def test_a_task_whose_instance_starts_is_not_running_yet(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.move(run, "RUNNING", execution_status={"instance_init": True})

        assert told(harness, run).state is RunState.INITIALIZING

    def test_a_queued_task_has_not_started_whatever_its_times_say(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        assert harness.platform.tasks[run]["start_time"]

        assert told(harness, run).started_at is None

    def test_times_are_the_services(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        times = {"start_time": "2026-01-12T18:39:30Z", "end_time": "2026-01-12T19:39:30Z"}
        harness.platform.move(run, "COMPLETED", **times)

        report = told(harness, run)

        assert report.started_at == datetime(2026, 1, 12, 18, 39, 30, tzinfo=UTC)
        assert report.ended_at == datetime(2026, 1, 12, 19, 39, 30, tzinfo=UTC)

    def test_a_batch_with_a_failed_child_has_failed(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        harness.platform.move(run, "COMPLETED", batch=True, execution_status={"failed": 1, "completed": 4})

        assert told(harness, run).state is RunState.EXECUTOR_ERROR


class TestFailures:
    def test_a_job_that_failed_is_the_workflows_fault(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        harness.platform.fail(run)

        report = told(harness, run)

        assert (report.state, report.message) == (RunState.EXECUTOR_ERROR, "Tool exited with 1; failed: step_1")

    def test_no_job_that_failed_is_the_platforms(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        harness.platform.fail(run, job_failed=False, message="Internal error")

        report = told(harness, run)

        assert (report.state, report.message) == (RunState.SYSTEM_ERROR, "Internal error")

    def test_while_the_jobs_cannot_be_had_there_is_no_news(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.fail(run)
        harness.platform.faults.add("execution_details", faults.ERROR)

        assert told(harness, run).state is RunState.UNKNOWN
        assert told(harness, run).state is RunState.EXECUTOR_ERROR

    def test_jobs_that_are_never_told_do_not_keep_a_run_from_ending(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.fail(run)
        never = Fault(reply=faults.Reply.CANNED, status=403, body='{"code": 90002}')
        harness.platform.faults.storm(lambda operation: never if operation == "execution_details" else None)

        assert told(harness, run).state is RunState.EXECUTOR_ERROR
        assert harness.provider().details(run).tasks == []

    def test_a_failed_batch_is_not_judged_by_jobs_that_it_cannot_have(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.move(run, "FAILED", batch=True)

        assert told(harness, run).state is RunState.EXECUTOR_ERROR


class TestSweeps:
    def test_two_hundred_and_fifty_runs_cost_three_calls(self, harness: SevenBridgesHarness) -> None:
        ids = harness.copies(250)

        reports = Chunking(harness.provider()).statuses(ids)

        assert set(reports) == set(ids)
        assert harness.operations() == ["bulk_get"] * 3

    def test_one_run_is_one_call(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        told(harness, run)

        assert harness.operations() == ["get_task"]

    def test_what_is_gone_is_absent_beside_what_is_not(self, harness: SevenBridgesHarness) -> None:
        here, gone = harness.copies(2)
        del harness.platform.tasks[gone]

        assert set(harness.provider().statuses([here, gone, NOBODY])) == {here}

    @pytest.mark.parametrize("alone", [True, False])
    def test_what_is_kept_from_us_is_not_gone(self, harness: SevenBridgesHarness, alone: bool) -> None:
        here, hidden = harness.copies(2)
        harness.platform.move(hidden, "RUNNING", project="lab/others")

        reports = harness.provider().statuses([hidden] if alone else [here, hidden])

        assert reports[hidden].state is RunState.UNKNOWN

    def test_where_one_cannot_be_read_none_is_given_up(self, harness: SevenBridgesHarness) -> None:
        here, hidden = harness.copies(2)
        harness.platform.move(hidden, "RUNNING", project="lab/others")

        reports = harness.provider().statuses([here, hidden, NOBODY])

        assert {id: report.state for id, report in reports.items()} == {
            here: RunState.INITIALIZING,
            hidden: RunState.UNKNOWN,
            NOBODY: RunState.UNKNOWN,
        }

    @pytest.mark.parametrize("fault", [faults.TOO_MANY, faults.ERROR, faults.CUT_BEFORE, faults.MALFORMED_AFTER])
    @pytest.mark.parametrize("number", [1, 2])
    def test_a_sweep_that_fails_is_no_news(self, harness: SevenBridgesHarness, number: int, fault: Fault) -> None:
        ids = harness.copies(number)
        harness.platform.faults.add("get_task" if number == 1 else "bulk_get", fault)

        with pytest.raises(NotNow):
            harness.provider().statuses(ids)

    def test_what_a_bulk_answer_leaves_out_is_not_gone(self, harness: SevenBridgesHarness) -> None:
        ids = harness.copies(2)
        harness.platform.faults.add("bulk_get", Fault(reply=faults.Reply.CANNED, body='{"items": []}'))

        reports = harness.provider().statuses(ids)

        assert {report.state for report in reports.values()} == {RunState.UNKNOWN}
        assert set(reports) == set(ids)

    def test_a_wrong_address_makes_no_run_look_lost(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        endpoint = harness.config.endpoint.replace("/v2", "/v2/wrong")
        object.__setattr__(harness.config, "endpoint", endpoint)

        with pytest.raises(Misconfigured):
            harness.provider().statuses([run])


class TestCancelling:
    def test_a_run_is_aborted_in_one_call(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        harness.provider().cancel(run)

        assert harness.operations() == ["abort_task"]
        assert told(harness, run).state is RunState.CANCELING

    def test_a_run_that_completes_all_the_same_has_completed(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.provider().cancel(run)
        harness.platform.complete(run)

        assert told(harness, run).state is RunState.COMPLETE

    def test_a_draft_is_deleted(self, harness: SevenBridgesHarness) -> None:
        draft = harness.only_prepare(harness.of())

        harness.provider().cancel(draft)

        assert draft not in harness.platform.tasks

    def test_a_lost_answer_is_resolved_by_looking(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        harness.platform.faults.add("abort_task", faults.CUT_AFTER)

        harness.provider().cancel(run)

        assert harness.platform.tasks[run]["status"] == "ABORTING"

    def test_a_request_that_did_not_arrive_is_made_again(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.faults.add("abort_task", faults.CUT_BEFORE)

        with pytest.raises(OutcomeUnknown):
            harness.provider().cancel(run)
