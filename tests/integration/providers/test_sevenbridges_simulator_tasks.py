"""The tasks of the simulated service, asked by the bare SDK."""

from typing import Any

import pytest
from sevenbridges.errors import (
    BadRequest,
    Forbidden,
    TaskValidationError,
)

from tests.integration.providers.sevenbridges_fixtures import api, authority, draft, harness, trusted
from tests.integration.providers.sevenbridges_harness import APP, BATCHING_APP, SevenBridgesHarness

__all__ = ["api", "authority", "harness", "trusted"]


class TestTasks:
    def test_a_draft_is_pinned_and_does_not_run(self, api: Any, harness: SevenBridgesHarness) -> None:
        task = draft(api)

        assert (task.status, task.field("app"), task.type) == ("DRAFT", f"{APP}/2", "v2")
        assert task.field("outputs") == {"report": None}
        assert harness.platform.started == []

    def test_a_run_is_written_into_the_ledger_once(self, api: Any, harness: SevenBridgesHarness) -> None:
        task = draft(api)

        task.run()

        with pytest.raises(Forbidden) as refused:
            task.run()
        assert refused.value.code == 7007
        assert [start.task for start in harness.platform.started] == [task.id]

    def test_create_and_run_in_one_call_leaves_a_draft_where_the_inputs_are_wrong(self, api: Any) -> None:
        with pytest.raises(TaskValidationError) as refused:
            draft(api, inputs={"sample": 7}, run=True)

        assert refused.value.task.status == "DRAFT"

    def test_a_draft_with_errors_cannot_be_run(self, api: Any, harness: SevenBridgesHarness) -> None:
        task = draft(api, inputs={"sample": 7})
        assert [error["input_id"] for error in task.field("errors")] == ["sample"]

        with pytest.raises(BadRequest) as refused:
            task.run()

        assert refused.value.code == 7024
        harness.platform.invalid_run_answers_draft = True
        assert api.post(f"/tasks/{task.id}/actions/run").json()["status"] == "DRAFT"

    def test_batching_can_be_turned_off_for_batches_alone(self, api: Any, harness: SevenBridgesHarness) -> None:
        batch, plain = draft(api, app=BATCHING_APP), draft(api)
        assert batch.batch

        api.post(f"/tasks/{batch.id}/actions/run", params={"batch": False})

        assert harness.platform.tasks[batch.id]["batch"] is False
        with pytest.raises(BadRequest) as refused:
            api.post(f"/tasks/{plain.id}/actions/run", params={"batch": False})
        assert refused.value.code == 7022

    def test_a_batch_is_created_first(self, api: Any) -> None:
        task = draft(api, app=BATCHING_APP)

        task.run()

        assert task.status == "CREATING"

    def test_only_what_runs_can_be_aborted_and_it_takes_a_while(self, api: Any, harness: SevenBridgesHarness) -> None:
        task = draft(api)
        with pytest.raises(BadRequest) as refused:
            task.abort()
        assert refused.value.code == 7011
        task.run()

        assert api.post(f"/tasks/{task.id}/actions/abort").json()["status"] == "QUEUED"

        assert harness.platform.tasks[task.id]["status"] == "ABORTING"

    def test_only_drafts_can_be_deleted(self, api: Any, harness: SevenBridgesHarness) -> None:
        kept, gone = draft(api), draft(api)
        kept.run()

        gone.delete()

        with pytest.raises(BadRequest) as refused:
            kept.delete()
        assert refused.value.code == 7010
        assert set(harness.platform.tasks) == {kept.id}

    def test_what_runs_can_be_renamed_and_no_more(self, api: Any, harness: SevenBridgesHarness) -> None:
        id = draft(api).id
        harness.platform.move(id, "RUNNING")

        assert api.patch(f"/tasks/{id}", data={"name": "other"}).json()["name"] == "other"

        with pytest.raises(Forbidden) as refused:
            api.patch(f"/tasks/{id}", data={"description": "other"})
        assert refused.value.code == 7026

    def test_bulk_errors_do_not_say_whose_they_are(self, api: Any) -> None:
        ids = [draft(api).id, draft(api).id, "3f2a0c1e-0000-4000-8000-000000000000"]

        records = api.tasks.bulk_get(ids, api=api)

        assert {record.resource.id for record in records if record.valid} == set(ids[:2])
        [error] = [record.error for record in records if not record.valid]
        assert error.code == 7002

    def test_a_bulk_call_takes_a_hundred(self, api: Any) -> None:
        with pytest.raises(BadRequest):
            api.post("/bulk/tasks/get", data={"task_ids": ["x"] * 101})

    def test_jobs_are_told_with_their_logs(self, api: Any, harness: SevenBridgesHarness) -> None:
        task = draft(api)
        task.run()
        harness.platform.complete(task.id)

        jobs = api.tasks.get(task.id, api=api).get_execution_details().jobs

        assert [job.status for job in jobs] == ["DONE", "DONE"]
        assert jobs[0].logs["job.err.log"].id in harness.platform.files
