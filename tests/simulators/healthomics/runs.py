"""The runs that the simulated service holds, and how they move."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.simulators.healthomics.workflows import Workflow

# What may follow what; source: the service's page on monitoring runs.
FOLLOWS: Mapping[str, Sequence[str]] = {
    "PENDING": ("STARTING", "STOPPING"),
    "STARTING": ("RUNNING", "STOPPING"),
    "RUNNING": ("STOPPING",),
    "STOPPING": ("COMPLETED", "FAILED", "CANCELLED"),
    "COMPLETED": (),
    "FAILED": (),
    "CANCELLED": (),
}
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
LOG_GROUP = "/aws/omics/WorkflowLog"


@dataclass
class Task:
    """A task of a run, as GetRunTask tells it."""

    id: str
    name: str
    status: str
    created: datetime
    started: datetime | None = None
    stopped: datetime | None = None
    failure: str | None = None
    message: str | None = None
    cached_at: str | None = None

    def item(self) -> dict[str, Any]:
        """As ListRunTasks shows it: without reasons and without the log."""
        return {
            "taskId": self.id,
            "name": self.name,
            "status": self.status,
            "cpus": 1,
            "memory": 2,
            "creationTime": self.created,
            "startTime": self.started,
            "stopTime": self.stopped,
            "cacheHit": self.cached_at is not None,
            "cacheS3Uri": self.cached_at,
        }

    def whole(self, run_id: str, log_prefix: str) -> dict[str, Any]:
        """As GetRunTask shows it."""
        told = {"failureReason": self.failure, "statusMessage": self.message}
        return self.item() | told | {"logStream": f"{log_prefix}run/{run_id}/task/{self.id}"}


@dataclass
class SimulatedRun:
    """A run, with the request that started it."""

    id: str
    uuid: str
    request: Mapping[str, Any]
    account: str
    region: str
    created: datetime
    workflow: Workflow
    status: str = "PENDING"
    started: datetime | None = None
    stopped: datetime | None = None
    failure: str | None = None
    message: str | None = None
    moved: datetime | None = None
    tasks: list[Task] = field(default_factory=list)

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def output_uri(self) -> str:
        return f"{self.request['outputUri'].rstrip('/')}/{self.id}"

    @property
    def arn(self) -> str:
        return f"arn:aws:omics:{self.region}:{self.account}:run/{self.id}"

    @property
    def log_prefix(self) -> str:
        return f"arn:aws:logs:{self.region}:{self.account}:log-group:{LOG_GROUP}:log-stream:"

    def move(self, status: str, at: datetime) -> None:
        """Go one step on; what cannot follow is a mistake in the test."""
        assert status in FOLLOWS[self.status], f"{self.status} is not followed by {status}"
        self.status, self.moved = status, at
        if status == "RUNNING":
            self.started = at
        if status in ENDED:
            self.stopped = at

    def as_started(self) -> dict[str, Any]:
        """As StartRun answers."""
        return {
            "id": self.id,
            "arn": self.arn,
            "uuid": self.uuid,
            "status": "PENDING",
            "runOutputUri": self.output_uri,
            "tags": self.request.get("tags", {}),
        }

    def item(self) -> dict[str, Any]:
        """As ListRuns shows it: without uuid, tags and reasons."""
        copied = ("name", "workflowId", "workflowVersionName", "priority", "storageCapacity", "storageType")
        return {name: self.request.get(name) for name in copied} | {
            "id": self.id,
            "arn": self.arn,
            "status": self.status,
            "creationTime": self.created,
            "startTime": self.started,
            "stopTime": self.stopped,
        }

    def whole(self) -> dict[str, Any]:
        """As GetRun shows it."""
        streams = {"runLogStream": f"{self.log_prefix}run/{self.id}"}
        if self.status == "FAILED":
            streams["engineLogStream"] = f"{self.log_prefix}run/{self.id}/engine"
        told = {
            "uuid": self.uuid,
            "runOutputUri": self.output_uri,
            "failureReason": self.failure,
            "statusMessage": self.message,
            "logLocation": streams,
            "engineVersion": "25.04.0" if self.workflow.engine == "NEXTFLOW" else None,
        }
        return {name: value for name, value in self.request.items() if name != "requestId"} | self.item() | told

    def summary(self) -> Mapping[str, object] | None:
        """What the engine leaves beside the outputs; Nextflow leaves nothing."""
        place = f"{self.output_uri}/out"
        if self.workflow.engine == "WDL":
            return {"Main.answer": f"{place}/answer/answer.txt", "Main.count": 42}
        if self.workflow.engine == "CWL":
            file = {"class": "File", "location": f"{place}/answer.txt", "basename": "answer.txt", "size": 3}
            return {"answer": file}
        return None
