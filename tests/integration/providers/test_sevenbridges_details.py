"""Outputs and tasks of a run on Seven Bridges."""

import pytest

from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import BATCHING_APP, SevenBridgesHarness
from tests.simulators.sevenbridges import faults
from wes_daemon.application.ports.errors import NotNow, Rejected
from wes_daemon.domain.runs import ProviderRunId, StatusReport
from wes_daemon.testing import accept

__all__ = ["authority", "harness", "trusted"]

UNKNOWN_TASK = ProviderRunId("3f2a0c1e-0000-4000-8000-000000000000")


@pytest.fixture
def run(harness: SevenBridgesHarness) -> ProviderRunId:
    """An accepted run."""
    id = accept(harness.provider(), harness.of())
    harness.operations()
    return id


def told(harness: SevenBridgesHarness, id: ProviderRunId) -> StatusReport:
    return harness.provider().statuses([id])[id]


class TestDetails:
    def test_outputs_are_files_by_id_without_links_that_expire(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.complete(run)

        outputs = harness.provider(drs_host="ga4gh.invalid").details(run).outputs

        report = outputs["report"]
        assert isinstance(report, dict)
        assert report["location"] == f"drs://ga4gh.invalid/{report['path']}"
        assert (report["class"], report["basename"], outputs["count"]) == ("File", "report.txt", 3)
        assert "Expires" not in str(outputs)

    def test_each_job_is_a_task_with_its_times_and_logs(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        harness.platform.complete(run, jobs=1)

        [task] = harness.provider().details(run).tasks

        [job] = harness.platform.tasks[run]["jobs"]
        assert (task.name, task.cmd, task.exit_code) == ("step_0", ["run step_0"], None)
        assert task.started_at == harness.clock.now()
        assert task.stdout == job["logs"]["job.out.log"].removesuffix("/download_info")
        assert task.stderr == job["logs"]["job.err.log"].removesuffix("/download_info")
        assert "status: DONE" in task.system_logs

    def test_a_run_of_a_thousand_jobs_has_a_thousand_tasks(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.complete(run, jobs=1000)

        tasks = harness.provider().details(run).tasks

        assert len({task.id for task in tasks}) == 1000
        assert harness.operations() == ["get_task", "execution_details"]

    def test_a_job_that_is_tried_again_is_a_second_task(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        first = {**harness.platform.job("align", status="FAILED"), "start_time": "2026-01-01T00:00:00Z"}
        second = {**harness.platform.job("align"), "start_time": "2026-01-01T01:00:00Z", "retried": True}
        harness.platform.move(run, "COMPLETED", jobs=[second, first])

        tasks = harness.provider().details(run).tasks

        assert [(task.id, task.name) for task in tasks] == [("align", "align"), ("align#2", "align")]
        assert "retried" in tasks[1].system_logs

    def test_the_tasks_of_a_batch_are_its_children_page_by_page(self, harness: SevenBridgesHarness) -> None:
        parent = harness.only_prepare(harness.of(url=BATCHING_APP))
        for _ in range(130):
            child = harness.platform.new_id("task")
            harness.platform.tasks[child] = {
                **harness.platform.tasks[parent],
                **{"id": child, "name": f"child {child}", "parent": parent, "batch": False, "status": "COMPLETED"},
            }
        harness.operations()

        tasks = harness.provider().details(parent).tasks

        assert len({task.id for task in tasks}) == 130
        assert harness.operations() == ["get_task", "list_tasks", "list_tasks"]

    def test_a_transient_error_of_the_jobs_call_is_not_now(
        self, harness: SevenBridgesHarness, run: ProviderRunId
    ) -> None:
        harness.platform.faults.add("execution_details", faults.ERROR)

        with pytest.raises(NotNow):
            harness.provider().details(run)

    def test_the_services_message_is_kept(self, harness: SevenBridgesHarness, run: ProviderRunId) -> None:
        harness.platform.move(run, "FAILED", execution_status={"message": "Out of memory", "message_code": 42})

        assert {"message: Out of memory", "message code: 42"} <= set(harness.provider().details(run).system_logs)

    def test_an_unknown_task_has_no_details(self, harness: SevenBridgesHarness) -> None:
        with pytest.raises(Rejected, match="does not know"):
            harness.provider().details(UNKNOWN_TASK)
