"""The simulator answers the bare SDK as the service's documentation says."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.integration.providers.healthomics_harness import CONFIG, simulated
from tests.simulators.healthomics import faults
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.simulators.healthomics.service import Repeats

REQUEST: dict[str, Any] = {
    "requestId": "one",
    "workflowId": "1234567",
    "roleArn": CONFIG.role_arn,
    "outputUri": CONFIG.output_uri,
    "name": "first",
    "tags": {"a": "b"},
}


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthOmicsSimulator]:
    with simulated(monkeypatch) as simulator:
        yield simulator


@pytest.fixture
def omics(simulator: HealthOmicsSimulator) -> Any:
    return a_client("omics", simulator)


def a_client(service: str, simulator: HealthOmicsSimulator) -> Any:
    """The SDK with its defaults, but without retries and host prefix."""
    config = Config(
        inject_host_prefix=False, retries={"total_max_attempts": 1}, read_timeout=3, s3={"addressing_style": "path"}
    )
    return boto3.Session("testing", "testing", region_name="us-east-1").client(
        service, endpoint_url=simulator.url, config=config
    )


def refused(call: Any, **request: Any) -> tuple[int, str]:
    """Status and code of the error response to a call."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"], caught.value.response["Error"]["Code"]


class TestStartRun:
    def test_a_run_is_started_and_waits(self, simulator: HealthOmicsSimulator, omics: Any) -> None:
        answer = omics.start_run(**REQUEST)

        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
        assert answer["status"] == "PENDING"
        assert answer["runOutputUri"] == f"s3://results/wes/{answer['id']}"
        assert simulator.service.started[0].uuid == answer["uuid"]

    @pytest.mark.parametrize(
        ("changes", "status"),
        [
            ({"name": "n" * 129}, 400),
            ({"requestId": "r" * 129}, 400),
            ({"workflowId": "abc"}, 400),
            ({"roleArn": "runs"}, 400),
            ({"storageType": "HUGE"}, 400),
            ({"priority": 100_001}, 400),
            ({"tags": {"k": "v" * 257}}, 400),
            ({"parameters": {"a": "x" * 50_000}}, 400),
            ({"workflowId": "7654321"}, 404),
            ({"workflowId": "4567890"}, 404),
            ({"workflowId": "9500764"}, 404),
            ({"workflowVersionName": "v9"}, 404),
        ],
    )
    def test_what_the_model_or_the_rules_forbid_is_refused(
        self, simulator: HealthOmicsSimulator, omics: Any, changes: dict[str, Any], status: int
    ) -> None:
        assert refused(omics.start_run, **(REQUEST | changes))[0] == status
        assert simulator.service.started == []

    def test_the_same_request_gets_the_same_answer(self, simulator: HealthOmicsSimulator, omics: Any) -> None:
        first, second = omics.start_run(**REQUEST), omics.start_run(**REQUEST)

        assert (first["id"], first["uuid"]) == (second["id"], second["uuid"])
        assert simulator.service.starts("one") == 1

    @pytest.mark.parametrize(
        ("repeats", "expected"),
        [(Repeats.CONFLICT, (409, "ConflictException")), (Repeats.INVALID, (400, "ValidationException"))],
    )
    def test_or_the_same_request_is_refused(
        self, simulator: HealthOmicsSimulator, omics: Any, repeats: Repeats, expected: tuple[int, str]
    ) -> None:
        simulator.service.repeats = repeats
        omics.start_run(**REQUEST)

        assert refused(omics.start_run, **REQUEST) == expected

    def test_or_a_forgotten_request_starts_another_run(self, simulator: HealthOmicsSimulator, omics: Any) -> None:
        simulator.service.repeats = Repeats.FORGOTTEN
        omics.start_run(**REQUEST)
        omics.start_run(**REQUEST)

        assert simulator.service.starts("one") == 2

    def test_another_request_with_the_same_id_is_a_conflict(self, omics: Any) -> None:
        omics.start_run(**REQUEST)

        assert refused(omics.start_run, **REQUEST | {"name": "other"}) == (409, "ConflictException")


class TestListRuns:
    def test_pages_are_joined_by_opaque_tokens(self, omics: Any) -> None:
        for number in range(5):
            omics.start_run(**REQUEST | {"requestId": str(number)})

        pages = list(omics.get_paginator("list_runs").paginate(PaginationConfig={"PageSize": 2}))

        assert [len(page["items"]) for page in pages] == [2, 2, 1]
        assert len({item["id"] for page in pages for item in page["items"]}) == 5
        assert refused(omics.list_runs, startingToken="2") == (400, "ValidationException")

    def test_filters_narrow_the_list(self, simulator: HealthOmicsSimulator, omics: Any) -> None:
        first = omics.start_run(**REQUEST)["id"]
        omics.start_run(**REQUEST | {"requestId": "two", "name": "first-and-more"})
        simulator.service.reach(first, "RUNNING")

        assert [item["id"] for item in omics.list_runs(status="RUNNING")["items"]] == [first]
        assert len(omics.list_runs(name="first")["items"]) == 1
        simulator.service.name_filter_is_exact = False
        assert len(omics.list_runs(name="first")["items"]) == 2
        assert refused(omics.list_runs, status="ASLEEP")[0] == 400
        assert refused(omics.list_runs, maxResults=101)[0] == 400

    def test_items_lack_the_members_that_only_getrun_returns(self, simulator: HealthOmicsSimulator, omics: Any) -> None:
        id = omics.start_run(**REQUEST)["id"]
        simulator.service.reach(id, "FAILED", failure="RUN_TASK_FAILED", message="see tasks")

        [item] = omics.list_runs()["items"]
        run = omics.get_run(id=id)

        assert not {"uuid", "tags", "failureReason", "runOutputUri"} & item.keys()
        assert (run["failureReason"], run["statusMessage"], run["tags"]) == ("RUN_TASK_FAILED", "see tasks", {"a": "b"})
        assert run["stopTime"].utcoffset() == timedelta(0)


class TestLife:
    @pytest.mark.parametrize("status", ["STARTING", "RUNNING", "STOPPING", "COMPLETED", "FAILED", "CANCELLED"])
    def test_every_status_can_be_reached(self, simulator: HealthOmicsSimulator, omics: Any, status: str) -> None:
        id = omics.start_run(**REQUEST)["id"]

        simulator.service.reach(id, status)

        assert omics.get_run(id=id)["status"] == status

    def test_a_run_moves_by_itself_when_it_is_given_a_pace(self, simulator: HealthOmicsSimulator, omics: Any) -> None:
        simulator.service.pace = timedelta(0)
        id = omics.start_run(**REQUEST)["id"]

        seen = [omics.get_run(id=id)["status"] for _ in range(5)]

        assert seen == ["STARTING", "RUNNING", "STOPPING", "COMPLETED", "COMPLETED"]

    def test_a_cancel_is_accepted_and_takes_its_time(self, simulator: HealthOmicsSimulator, omics: Any) -> None:
        id = omics.start_run(**REQUEST)["id"]

        assert omics.cancel_run(id=id)["ResponseMetadata"]["HTTPStatusCode"] == 202
        assert omics.get_run(id=id)["status"] == "STOPPING"
        simulator.service.reach(id, "CANCELLED")
        assert refused(omics.cancel_run, id=id) == (409, "ConflictException")

    def test_only_ended_runs_are_deleted_and_their_ids_are_used_again(
        self, simulator: HealthOmicsSimulator, omics: Any
    ) -> None:
        simulator.service.reuses_ids = True
        first = omics.start_run(**REQUEST)
        assert refused(omics.delete_run, id=first["id"])[0] == 409
        simulator.service.reach(first["id"], "COMPLETED")

        omics.delete_run(id=first["id"])

        assert refused(omics.get_run, id=first["id"]) == (404, "ResourceNotFoundException")
        second = omics.start_run(**REQUEST | {"requestId": "two"})
        assert (second["id"] == first["id"], second["uuid"] == first["uuid"]) == (True, False)

    def test_only_a_single_task_contains_its_reason(self, simulator: HealthOmicsSimulator, omics: Any) -> None:
        id = omics.start_run(**REQUEST)["id"]
        [task] = simulator.service.add_tasks(id, 1, "FAILED", failure="OUT_OF_MEMORY_ERROR")

        [item] = omics.list_run_tasks(id=id, status="FAILED")["items"]

        assert not {"failureReason", "logStream"} & item.keys()
        whole = omics.get_run_task(id=id, taskId=task.id)
        assert whole["failureReason"] == "OUT_OF_MEMORY_ERROR"
        assert whole["logStream"].endswith(f":log-stream:run/{id}/task/{task.id}")

    def test_a_completed_run_leaves_a_summary_in_s3(self, simulator: HealthOmicsSimulator, omics: Any) -> None:
        id = omics.start_run(**REQUEST)["id"]
        simulator.service.reach(id, "COMPLETED")
        s3 = a_client("s3", simulator)

        assert b"Main.answer" in s3.get_object(Bucket="results", Key=f"wes/{id}/logs/outputs.json")["Body"].read()
        assert refused(s3.get_object, Bucket="results", Key="nothing") == (404, "NoSuchKey")


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            (faults.throttled(), (429, "ThrottlingException")),
            (faults.quota(), (402, "ServiceQuotaExceededException")),
            (faults.internal(), (500, "InternalServerException")),
            (faults.bad_gateway(), (502, "502")),
            (faults.unavailable(), (503, "503")),
        ],
    )
    def test_errors_are_answered(
        self, simulator: HealthOmicsSimulator, omics: Any, fault: faults.Fault, expected: tuple[int, str]
    ) -> None:
        simulator.faults.put("StartRun", fault)

        assert refused(omics.start_run, **REQUEST) == expected
        assert simulator.service.started == []

    @pytest.mark.parametrize("after_acting", [True, False])
    @pytest.mark.parametrize(("fault", "error"), [(faults.cut, ConnectionClosedError), (faults.hang, ReadTimeoutError)])
    def test_answers_are_lost_before_and_after_the_operation(
        self, simulator: HealthOmicsSimulator, omics: Any, fault: Any, error: type[Exception], after_acting: bool
    ) -> None:
        given = {"after_acting": after_acting} | ({"seconds": 30} if fault is faults.hang else {})
        simulator.faults.put("StartRun", fault(**given))

        with pytest.raises(error):
            omics.start_run(**REQUEST)

        assert len(simulator.service.started) == after_acting

    def test_calls_before_the_time_in_retry_after_are_recorded(
        self, simulator: HealthOmicsSimulator, omics: Any
    ) -> None:
        simulator.faults.put("ListRuns", faults.throttled(timedelta(minutes=1)))
        refused(omics.list_runs)

        omics.list_runs()

        assert [call.operation for call in simulator.early] == ["ListRuns"]

    def test_denied_operations_and_unknown_access_keys_are_refused(
        self, simulator: HealthOmicsSimulator, omics: Any
    ) -> None:
        simulator.service.denied["ListRuns"] = "not authorized"
        assert refused(omics.list_runs) == (403, "AccessDeniedException")

        simulator.access_keys = {"another"}
        assert refused(omics.list_runs) == (403, "UnrecognizedClientException")
