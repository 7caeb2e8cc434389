"""How HealthOmics describes a run, and what it means in WES: id, status, reason for a failure.

The provider run id is `ID/UUID`, such as `1234567/8dd3…`, as in HealthOmics' own log streams and output folders.
HealthOmics gives the id of a deleted run to a later run, so the id alone does not identify a run.
The provider keeps no state between calls, so the UUID that it compares has to be part of the stored id.
A bare id, from a row that another program has written, is accepted without this check.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from sys import intern
from typing import Any

from wes_daemon.domain.runs import ProviderRunId, StatusReport
from wes_daemon.domain.states import RunState

# Sources: botocore's omics model 2022-11-28, shape RunStatus; the service's page on monitoring runs.
STATES: Mapping[str, RunState] = {
    # Waits for capacity of the account or its run group, possibly for long. It is accepted: never submit it again.
    "PENDING": RunState.INITIALIZING,
    "STARTING": RunState.INITIALIZING,
    "RUNNING": RunState.RUNNING,
    # Every run passes through this status before it ends, successful ones too, so it does not mean a cancellation.
    # A run that was cancelled through WES is CANCELING already; a RUNNING report does not change that.
    "STOPPING": RunState.RUNNING,
    "COMPLETED": RunState.COMPLETE,
    "CANCELLED": RunState.CANCELED,
    # `FAILURES` decides between EXECUTOR_ERROR and SYSTEM_ERROR.
    "FAILED": RunState.EXECUTOR_ERROR,
}

ACTIVE = ("PENDING", "STARTING", "RUNNING", "STOPPING")
"""The statuses of runs that have not ended, in the order in which a run passes through them."""

DELETED = "DELETED"
"""The run's record is deleted, and with it the information about its end, so the run counts as unknown."""

# Source: the service's page on run errors, which leaves the list open.
# The classification is the project's own: AWS does not document the cause.
FAILURES: Mapping[str, RunState] = {
    # Caused by the workflow, its containers or its inputs.
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
    "INVALID_RUN_PARAMETERS": RunState.EXECUTOR_ERROR,
    # Caused by the service, the account's set-up or a lack of capacity.
    "IMPORT_FAILED": RunState.SYSTEM_ERROR,
    "FILE_SYSTEM_OUT_OF_SPACE": RunState.SYSTEM_ERROR,
    "EXPORT_FAILED": RunState.SYSTEM_ERROR,
    "ASSUME_ROLE_FAILED": RunState.SYSTEM_ERROR,
    "ECR_PERMISSION_ERROR": RunState.SYSTEM_ERROR,
    "INSTANCE_RESERVATION_FAILED": RunState.SYSTEM_ERROR,
    "ALL_PROFILES_INSTANCE_RESERVATION_FAILED": RunState.SYSTEM_ERROR,
    "SERVICE_ERROR": RunState.SYSTEM_ERROR,
}

_RUN_ID = re.compile(r"(?P<id>[0-9]{1,18})(?:/(?P<uuid>[0-9A-Za-z-]{1,64}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """The id and the UUID of a run; `uuid` is None for a bare id."""

    id: str
    uuid: str | None = None

    @classmethod
    def parse(cls, text: str) -> "RunIdentity | None":
        """Read a provider run id; None if no HealthOmics run can have it."""
        match = _RUN_ID.fullmatch(text)
        return cls(match["id"], match["uuid"]) if match else None

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> "RunIdentity":
        """Return the identity in an answer of StartRun or GetRun."""
        return cls(str(run["id"]), run.get("uuid"))

    @property
    def provider_run_id(self) -> ProviderRunId:
        """The id that callers store."""
        return ProviderRunId(f"{self.id}/{self.uuid}" if self.uuid else self.id)

    def is_of(self, run: Mapping[str, Any]) -> bool:
        """Whether an answer of GetRun is about this run, and not about a later run with the same id."""
        return self.uuid is None or run.get("uuid") in (None, self.uuid)


def status_report(run: Mapping[str, Any]) -> StatusReport:
    """Return the report for an answer of GetRun or an item of ListRuns."""
    # Interned, since many reports may be kept.
    status = intern(str(run.get("status") or ""))
    return StatusReport(
        state=_state(status, run.get("failureReason")),
        provider_status=status,
        started_at=utc(run.get("startTime")),
        ended_at=utc(run.get("stopTime")),
        message=failure_message(run) or ("HealthOmics gives no reason" if status == "FAILED" else ""),
    )


def unreadable_report(message: str) -> StatusReport:
    """Return the report for a run whose status could not be requested this time."""
    return StatusReport(state=RunState.UNKNOWN, provider_status="unreadable", message=message)


def failure_message(answer: Mapping[str, Any]) -> str:
    """Return the service's reason for the status of a run or task; empty without one."""
    return ": ".join(str(text) for text in (answer.get("failureReason"), answer.get("statusMessage")) if text)


def utc(time: Any) -> datetime | None:
    """Convert a time in an answer to UTC."""
    return time.astimezone(UTC) if isinstance(time, datetime) else None


def _state(status: str, failure_reason: str | None) -> RunState:
    if status == "FAILED" and failure_reason:
        return FAILURES.get(failure_reason, RunState.EXECUTOR_ERROR)
    return STATES.get(status, RunState.UNKNOWN)
