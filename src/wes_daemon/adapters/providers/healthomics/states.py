"""HealthOmics' words for a run, and ours."""

from collections.abc import Mapping
from datetime import UTC, datetime
from sys import intern
from typing import Any

from wes_daemon.domain.runs import StatusReport
from wes_daemon.domain.states import RunState

# Sources: botocore's omics model 2022-11-28, shape RunStatus; the service's page on monitoring runs.
STATES: Mapping[str, RunState] = {
    # Waits for room in the account or its run group, possibly for long; it is accepted and must not be sent again.
    "PENDING": RunState.INITIALIZING,
    "STARTING": RunState.INITIALIZING,
    "RUNNING": RunState.RUNNING,
    # Every ending passes through the teardown, good ones too, so it does not tell that somebody cancelled.
    # Where a cancel was asked for here, the run is CANCELING already, and RUNNING never takes that back.
    "STOPPING": RunState.RUNNING,
    "COMPLETED": RunState.COMPLETE,
    "CANCELLED": RunState.CANCELED,
    # Which error it is, `FAILURES` says.
    "FAILED": RunState.EXECUTOR_ERROR,
}

ACTIVE = ("PENDING", "STARTING", "RUNNING", "STOPPING")
"""The statuses of runs that have not ended, in the order in which a run passes through them."""

DELETED = "DELETED"
"""The run's record is gone, and how it ended with it: it counts as unknown to the service."""

# Source: the service's page on run errors, which leaves the list open. The judgement is ours: AWS names no culprit.
FAILURES: Mapping[str, RunState] = {
    # What the workflow, its containers or its inputs did.
    "WORKFLOW_RUN_FAILED": RunState.EXECUTOR_ERROR,
    "RUN_TASK_FAILED": RunState.EXECUTOR_ERROR,
    "OUT_OF_MEMORY_ERROR": RunState.EXECUTOR_ERROR,
    "TASK_TIMED_OUT": RunState.EXECUTOR_ERROR,
    "RUN_TIMED_OUT": RunState.EXECUTOR_ERROR,
    "WORKFLOW_VER_VALIDATION_FAILED": RunState.EXECUTOR_ERROR,
    "INVALID_TASK_RESOURCE_VALUE": RunState.EXECUTOR_ERROR,
    "UNSUPPORTED_GPU_INSTANCE_TYPE": RunState.EXECUTOR_ERROR,
    "INVALID_ECR_IMAGE_URI": RunState.EXECUTOR_ERROR,
    "CANNOT_START_CONTAINER_ERROR": RunState.EXECUTOR_ERROR,
    "CANNOT_START_CONTAINER_SIZE_ERROR": RunState.EXECUTOR_ERROR,
    "IMAGE_VERIFICATION_FAILURE": RunState.EXECUTOR_ERROR,
    "INPUT_URI_NOT_FOUND": RunState.EXECUTOR_ERROR,
    "INVALID_URI_INPUT": RunState.EXECUTOR_ERROR,
    "MODIFIED_INPUT_RESOURCE": RunState.EXECUTOR_ERROR,
    "UNSUPPORTED_INPUT_SIZE": RunState.EXECUTOR_ERROR,
    "INACTIVE_OMICS_STORAGE_RESOURCE": RunState.EXECUTOR_ERROR,
    # What the service, the account's set-up or a want of capacity did.
    "IMPORT_FAILED": RunState.SYSTEM_ERROR,
    "FILE_SYSTEM_OUT_OF_SPACE": RunState.SYSTEM_ERROR,
    "EXPORT_FAILED": RunState.SYSTEM_ERROR,
    "ASSUME_ROLE_FAILED": RunState.SYSTEM_ERROR,
    "ECR_PERMISSION_ERROR": RunState.SYSTEM_ERROR,
    "INSTANCE_RESERVATION_FAILED": RunState.SYSTEM_ERROR,
    "ALL_PROFILES_INSTANCE_RESERVATION_FAILED": RunState.SYSTEM_ERROR,
    "SERVICE_ERROR": RunState.SYSTEM_ERROR,
}


def report(run: Mapping[str, Any]) -> StatusReport:
    """What an answer of GetRun, or an item of ListRuns, says of a run."""
    # One text for all runs in it: many reports may be kept.
    status = intern(str(run.get("status") or ""))
    return StatusReport(
        state=_state(status, run.get("failureReason")),
        provider_status=status,
        started_at=moment(run.get("startTime")),
        ended_at=moment(run.get("stopTime")),
        message=reason(run) or ("HealthOmics gives no reason" if status == "FAILED" else ""),
    )


def unreadable(why: str) -> StatusReport:
    """What is said of a run that could not be looked at this time."""
    return StatusReport(state=RunState.UNKNOWN, provider_status="unreadable", message=why)


def reason(failed: Mapping[str, Any]) -> str:
    """The service's words on why a run or a task is where it is; empty where it has none."""
    return ": ".join(str(words) for words in (failed.get("failureReason"), failed.get("statusMessage")) if words)


def moment(value: Any) -> datetime | None:
    """A time of the service's; aware."""
    return value.astimezone(UTC) if isinstance(value, datetime) else None


def _state(status: str, failure: str | None) -> RunState:
    if status == "FAILED" and failure:
        return FAILURES.get(failure, RunState.EXECUTOR_ERROR)
    return STATES.get(status, RunState.UNKNOWN)
