"""HealthOmics' statuses and failure reasons, and the states that they mean."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from wes_daemon.adapters.providers.healthomics.runs import FAILURES, status_report
from wes_daemon.domain.states import RunState


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PENDING", RunState.INITIALIZING),
        ("STARTING", RunState.INITIALIZING),
        ("RUNNING", RunState.RUNNING),
        ("STOPPING", RunState.RUNNING),
        ("COMPLETED", RunState.COMPLETE),
        ("CANCELLED", RunState.CANCELED),
        ("FAILED", RunState.EXECUTOR_ERROR),
        ("HIBERNATING", RunState.UNKNOWN),
        ("", RunState.UNKNOWN),
    ],
)
def test_every_status_has_its_state(status: str, state: RunState) -> None:
    found = status_report({"status": status})

    assert (found.state, found.provider_status) == (state, status)


@pytest.mark.parametrize(
    "failure",
    [
        "WORKFLOW_RUN_FAILED",
        "RUN_TASK_FAILED",
        "OUT_OF_MEMORY_ERROR",
        "TASK_TIMED_OUT",
        "RUN_TIMED_OUT",
        "WORKFLOW_VER_VALIDATION_FAILED",
        "INVALID_TASK_RESOURCE_VALUE",
        "UNSUPPORTED_GPU_INSTANCE_TYPE",
        "INVALID_ECR_IMAGE_URI",
        "CANNOT_START_CONTAINER_ERROR",
        "CANNOT_START_CONTAINER_SIZE_ERROR",
        "IMAGE_VERIFICATION_FAILURE",
        "INPUT_URI_NOT_FOUND",
        "INVALID_URI_INPUT",
        "MODIFIED_INPUT_RESOURCE",
        "UNSUPPORTED_INPUT_SIZE",
        "INACTIVE_OMICS_STORAGE_RESOURCE",
        "INVALID_RUN_PARAMETERS",
        "A_REASON_OF_NEXT_YEAR",
    ],
)
def test_a_failure_of_the_workflow_is_an_executor_error(failure: str) -> None:
    found = status_report({"status": "FAILED", "failureReason": failure, "statusMessage": "see the log"})

    assert found.state is RunState.EXECUTOR_ERROR
    assert found.message == f"{failure}: see the log"


@pytest.mark.parametrize(
    "failure",
    [
        "IMPORT_FAILED",
        "FILE_SYSTEM_OUT_OF_SPACE",
        "EXPORT_FAILED",
        "ASSUME_ROLE_FAILED",
        "ECR_PERMISSION_ERROR",
        "INSTANCE_RESERVATION_FAILED",
        "ALL_PROFILES_INSTANCE_RESERVATION_FAILED",
        "SERVICE_ERROR",
    ],
)
def test_a_failure_of_the_service_or_the_account_is_a_system_error(failure: str) -> None:
    found = status_report({"status": "FAILED", "failureReason": failure})

    assert found.state is RunState.SYSTEM_ERROR
    assert found.message == failure


def test_the_table_of_failures_contains_only_what_is_tested_here() -> None:
    assert len(FAILURES) == 18 + 8


def test_a_failure_without_a_reason_says_so() -> None:
    assert status_report({"status": "FAILED"}).message == "HealthOmics gives no reason"


def test_the_reason_counts_for_failed_runs_only() -> None:
    assert status_report({"status": "COMPLETED", "failureReason": "SERVICE_ERROR"}).state is RunState.COMPLETE


def test_times_are_converted_to_utc() -> None:
    east = timezone(timedelta(hours=2))

    found = status_report({"status": "COMPLETED", "startTime": datetime(2026, 1, 1, 12, tzinfo=east), "stopTime": None})

    assert found.started_at == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert found.started_at is not None
    assert found.started_at.tzinfo is UTC
    assert found.ended_at is None
