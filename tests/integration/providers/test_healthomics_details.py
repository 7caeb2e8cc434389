"""Outputs, logs and tasks of a run."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.providers.healthomics_harness import (
    a_healthomics_submission,
    bare_provider,
    run_id,
    simulated,
)
from tests.simulators.healthomics import faults
from tests.simulators.healthomics.faults import Fault
from tests.simulators.healthomics.runs import SimulatedRun
from tests.simulators.healthomics.server import HealthOmicsSimulator
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.application.ports.errors import NotNow, Unavailable
from wes_daemon.domain.runs import ProviderRunId

LATER = timedelta(minutes=3)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Iterator[HealthOmicsSimulator]:
    with simulated(monkeypatch, clock.now) as simulator:
        yield simulator


@pytest.fixture
def provider(simulator: HealthOmicsSimulator, clock: ManualClock) -> HealthOmicsProvider:
    del simulator  # has to be there before the SDK is
    return bare_provider(clock=clock)


def ended(
    simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, status: str = "COMPLETED", **changes: Any
) -> tuple[ProviderRunId, SimulatedRun]:
    """A run that has ended."""
    id = provider.submit(a_healthomics_submission(**changes)).id
    simulator.service.reach(run_id(id), status, failure="RUN_TASK_FAILED" if status == "FAILED" else None)
    return id, simulator.service.run(run_id(id))


class TestOutputs:
    def test_outputs_of_a_wdl_workflow(self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider) -> None:
        id, run = ended(simulator, provider)

        assert provider.details(id).outputs == {
            "Main.answer": f"{run.output_uri}/out/answer/answer.txt",
            "Main.count": 42,
        }

    def test_outputs_of_a_cwl_workflow(self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider) -> None:
        id, run = ended(simulator, provider, workflow_url="2345678")

        [(name, file)] = provider.details(id).outputs.items()

        assert name == "answer"
        assert file == {
            "class": "File",
            "location": f"{run.output_uri}/out/answer.txt",
            "basename": "answer.txt",
            "size": 3,
        }

    @pytest.mark.parametrize(
        ("reported", "complete"),
        [
            ("s3://elsewhere/a.txt", "s3://elsewhere/a.txt"),
            ("out/a.txt", "s3://results/wes/1000001/out/a.txt"),
            ("results/wes/1000001/out/a.txt", "s3://results/wes/1000001/out/a.txt"),
            ("/mnt/a.txt", "/mnt/a.txt"),
        ],
    )
    def test_incomplete_addresses_of_files_are_completed(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, reported: str, complete: str
    ) -> None:
        id, run = ended(simulator, provider, workflow_url="2345678")
        file = {"class": "File", "location": reported, "secondaryFiles": [{"class": "File", "location": reported}]}
        put_summary(simulator, run, {"files": [file], "note": reported})

        [found] = provider.details(id).outputs["files"]  # type: ignore[misc]

        assert found["location"] == found["secondaryFiles"][0]["location"] == complete  # type: ignore[has-type]
        assert provider.details(id).outputs["note"] == reported

    def test_the_other_name_of_the_summary_is_tried(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        id, run = ended(simulator, provider)
        simulator.service.remove_object(f"{run.output_uri}/logs/outputs.json")
        simulator.service.put_object(f"{run.output_uri}/logs/output.json", b'{"a": 1}')

        assert provider.details(id).outputs == {"a": 1}

    def test_a_summary_that_may_still_come_is_waited_for(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, clock: ManualClock
    ) -> None:
        id, run = ended(simulator, provider)
        simulator.service.remove_object(f"{run.output_uri}/logs/outputs.json")

        with pytest.raises(NotNow, match="not there yet"):
            provider.details(id)

        clock.advance(LATER)
        details = provider.details(id)
        assert details.outputs == {"runOutputUri": run.output_uri}
        assert any("NoSuchKey" in note for note in details.system_logs)
        assert details.tasks

    def test_a_summary_that_may_not_be_read_is_noted(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, clock: ManualClock
    ) -> None:
        id, run = ended(simulator, provider)
        simulator.service.denied["GetObject"] = "not authorized to perform: s3:GetObject"
        clock.advance(LATER)

        details = provider.details(id)

        assert details.outputs == {"runOutputUri": run.output_uri}
        assert any("s3:GetObject" in note for note in details.system_logs)

    @pytest.mark.parametrize(
        "fault",
        [
            faults.error(503, "SlowDown"),
            faults.internal(),
            faults.cut(after_acting=False),
            faults.throttled(),
        ],
    )
    def test_an_error_of_s3_is_transient(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, clock: ManualClock, fault: Fault
    ) -> None:
        id, _ = ended(simulator, provider)
        clock.advance(LATER)
        simulator.faults.put("GetObject", fault)

        with pytest.raises(NotNow) as caught:
            provider.details(id)

        assert not isinstance(caught.value, Unavailable), "HealthOmics itself is well"
        assert provider.details(id).outputs["Main.count"] == 42

    @pytest.mark.parametrize(
        ("summary", "note"),
        [(b"{", "not JSON"), (b"[1]", "not a JSON object"), (b" " * (8 * 1024 * 1024 + 1), "longer than")],
        ids=["broken", "list", "huge"],
    )
    def test_a_summary_that_cannot_be_parsed_is_noted(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, summary: bytes, note: str
    ) -> None:
        id, run = ended(simulator, provider)
        simulator.service.put_object(f"{run.output_uri}/logs/outputs.json", summary)

        details = provider.details(id)

        assert details.outputs == {"runOutputUri": run.output_uri}
        assert any(note in line for line in details.system_logs)

    def test_for_a_nextflow_workflow_only_the_location_is_reported_and_s3_is_not_called(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        id, run = ended(simulator, provider, workflow_url="3456789")

        assert provider.details(id).outputs == {"runOutputUri": run.output_uri}
        assert simulator.operations["GetObject"] == 0

    @pytest.mark.parametrize("status", ["RUNNING", "FAILED", "CANCELLED"])
    def test_a_run_that_did_not_complete_has_no_outputs(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, status: str
    ) -> None:
        id, run = ended(simulator, provider, status)

        details = provider.details(id)

        assert details.outputs == {}
        assert f"outputs, if any: {run.output_uri}" in details.system_logs
        assert simulator.operations["GetObject"] == 0


class TestTasks:
    def test_a_thousand_tasks_are_paged_through(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        id, run = ended(simulator, provider)
        simulator.service.add_tasks(run.id, 999)

        tasks = provider.details(id).tasks

        assert [task.id for task in tasks] == [task.id for task in run.tasks]
        assert simulator.operations["ListRunTasks"] == 10
        assert simulator.operations["GetRunTask"] == 0

    def test_a_task_has_its_times_and_its_log(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        id, run = ended(simulator, provider)

        [task] = provider.details(id).tasks

        stream = f"run/{run.id}/task/{task.id}"
        assert (task.name, task.exit_code) == ("main", None)
        assert (task.started_at, task.ended_at) == (run.tasks[0].started, run.tasks[0].stopped)
        assert task.stdout is not None
        assert task.stdout == task.stderr
        assert task.stdout.endswith(stream.replace("/", "$252F"))
        assert task.system_logs == ("COMPLETED", f"log stream in /aws/omics/WorkflowLog: {stream}")

    def test_only_failed_tasks_are_requested_for_their_reason(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        id, run = ended(simulator, provider, "FAILED")
        simulator.service.add_tasks(run.id, 3)
        [broken] = simulator.service.add_tasks(run.id, 1, "FAILED", failure="OUT_OF_MEMORY_ERROR", message="killed")

        tasks = {task.id: task for task in provider.details(id).tasks}

        assert "OUT_OF_MEMORY_ERROR: killed" in tasks[broken.id].system_logs
        assert simulator.operations["GetRunTask"] == 2

    def test_only_the_first_of_very_many_failed_tasks_are_requested(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        id, run = ended(simulator, provider)
        simulator.service.add_tasks(run.id, 60, "FAILED")

        assert len(provider.details(id).tasks) == 61

        assert simulator.operations["GetRunTask"] == 25

    def test_a_denied_reason_does_not_hide_the_task(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        id, _ = ended(simulator, provider, "FAILED")
        simulator.service.denied["GetRunTask"] = "not authorized to perform: omics:GetRunTask"

        [task] = provider.details(id).tasks

        assert task.name == "main"
        assert any("omics:GetRunTask" in line for line in task.system_logs)

    def test_a_task_from_the_cache_says_so(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        id, run = ended(simulator, provider)
        simulator.service.add_tasks(run.id, 1, cached_at="s3://cache/7")

        assert "taken from the run cache: s3://cache/7" in provider.details(id).tasks[-1].system_logs

    def test_an_error_between_two_pages_is_transient(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        id, run = ended(simulator, provider)
        simulator.service.add_tasks(run.id, 250)
        simulator.faults.put("ListRunTasks", None, faults.internal())

        with pytest.raises(NotNow):
            provider.details(id)


class TestLogs:
    def test_a_run_has_the_address_of_its_log(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        id, run = ended(simulator, provider)

        details = provider.details(id)

        assert details.stdout is not None
        assert details.stdout.endswith(f"/log-events/run$252F{run.id}")
        assert details.stderr is None
        assert details.exit_code is None
        assert any(f"manifest/run/{run.id}/{run.uuid}" in line for line in details.system_logs)

    def test_a_failed_run_has_the_engines_log_and_the_reason(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        id, run = ended(simulator, provider, "FAILED")

        details = provider.details(id)

        assert details.stderr is not None
        assert details.stderr.endswith(f"run$252F{run.id}$252Fengine")
        assert "RUN_TASK_FAILED" in details.system_logs

    def test_a_run_without_logs_has_no_address(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        id, _ = ended(simulator, provider, workflow_engine_parameters={"logLevel": "OFF"})

        details = provider.details(id)

        assert (details.stdout, details.tasks[0].stdout) == (None, None)

    def test_the_workflow_version_is_noted(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        id, _ = ended(simulator, provider, workflow_url="omics://workflow/1234567/version/v1")

        assert "workflow 1234567 version v1" in provider.details(id).system_logs[0]


def put_summary(simulator: HealthOmicsSimulator, run: SimulatedRun, values: dict[str, object]) -> None:
    """Replace what the engine left."""
    simulator.service.put_object(f"{run.output_uri}/logs/outputs.json", json.dumps(values).encode())
