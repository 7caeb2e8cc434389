"""The simulated service itself: what each operation does and refuses, without HTTP."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from itertools import count
from typing import Any
from uuid import uuid4

from tests.simulators.healthomics.paging import Pager
from tests.simulators.healthomics.runs import ENDED, SimulatedRun, Task
from tests.simulators.healthomics.workflows import ACCOUNT, WORKFLOWS, ServiceError, asked_for

REGION = "us-east-1"


class Repeats(Enum):
    """What StartRun answers to a request id that it knows; AWS does not document which."""

    SAME_ANSWER = auto()
    CONFLICT = auto()
    INVALID = auto()
    FORGOTTEN = auto()
    """The id is too old: another run is started."""


@dataclass(frozen=True, slots=True)
class Started:
    """An entry of the ledger."""

    request_id: str
    id: str
    uuid: str


class OmicsService:
    """State and rules; every public method may be called from any thread.

    Attributes:
        started: every run that was ever started, in order; nothing is ever removed.
        name_filter_is_exact: False makes ListRuns find names that begin like the one asked for.
        lists_new_runs: False keeps runs that are started from then on out of ListRuns, as if it lagged behind.
        reuses_ids: whether the next runs get the ids of deleted ones.
        deleted_is_told: True makes GetRun answer `DELETED` for a deleted run instead of 404.
        pace: how long a run stays in each status; None leaves them where they are put.
        refusal_of_late_cancels: what CancelRun answers for a run that has ended.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.now = now
        self.started: list[Started] = []
        self.repeats = Repeats.SAME_ANSWER
        self.name_filter_is_exact = True
        self.lists_new_runs = True
        self.reuses_ids = False
        self.deleted_is_told = False
        self.pace: timedelta | None = None
        self.refusal_of_late_cancels = "ConflictException"
        self.denied: dict[str, str] = {}
        self.workflows = dict(WORKFLOWS)
        self.objects: dict[tuple[str, str], bytes] = {}
        self.lock = threading.RLock()
        self._runs: dict[str, SimulatedRun] = {}
        self._by_request: dict[str, SimulatedRun] = {}
        self._unlisted: set[str] = set()
        self._deleted: list[str] = []
        self._pager = Pager()
        self._numbers = count(1_000_001)
        self._task_numbers = count(5_000_001)

    def operate(self, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Do what is asked for and return the answer's members."""
        with self.lock:
            self._advance()
            if operation in self.denied:
                raise ServiceError("AccessDeniedException", self.denied[operation])
            act = {
                "StartRun": self._start_run,
                "GetRun": self._get_run,
                "ListRuns": self._list_runs,
                "CancelRun": self._cancel_run,
                "DeleteRun": self._delete_run,
                "ListRunTasks": self._list_run_tasks,
                "GetRunTask": self._get_run_task,
            }[operation]
            return act(request)

    def run(self, id: str) -> SimulatedRun:
        """The run as the service holds it; `KeyError` if it does not."""
        return self._runs[id]

    def starts(self, request_id: str) -> int:
        """How many runs were ever started for a request id."""
        return sum(entry.request_id == request_id for entry in self.started)

    def reach(self, id: str, status: str, *, failure: str | None = None, message: str | None = None) -> None:
        """Bring a run to a status, through all that lie before it."""
        with self.lock:
            run = self._runs[id]
            way = (
                ["STARTING", "RUNNING", "STOPPING", status] if status in ENDED else ["STARTING", "RUNNING", "STOPPING"]
            )
            for step in way[way.index(run.status) + 1 if run.status in way else 0 :]:
                if run.status != status:
                    self._move(run, step, failure, message)

    def end_at_once(self, id: str, status: str, *, failure: str | None = None, message: str | None = None) -> None:
        """End a run that was never started, as when no room was found for it."""
        with self.lock:
            run = self._runs[id]
            if run.status != "STOPPING":
                self._move(run, "STOPPING")
            self._move(run, status, failure, message)

    def add_tasks(self, id: str, number: int, status: str = "COMPLETED", **changes: Any) -> list[Task]:
        """Let a run have so many more tasks."""
        with self.lock:
            now = self.now()
            added = [
                Task(str(next(self._task_numbers)), f"task-{n}", status, now, started=now, stopped=now, **changes)
                for n in range(number)
            ]
            self._runs[id].tasks.extend(added)
            return added

    def delete(self, id: str) -> None:
        """Forget a run that has ended, as the service does with old ones that are not to be retained."""
        with self.lock:
            run = self._runs[id]
            run.status = "DELETED"
            self._deleted.append(id)

    def list_all(self) -> None:
        """Let the lists catch up."""
        self.lists_new_runs = True
        self._unlisted.clear()

    def _advance(self) -> None:
        if self.pace is None:
            return
        order = ["PENDING", "STARTING", "RUNNING", "STOPPING", "COMPLETED"]
        for run in self._runs.values():
            if run.status in order[:-1] and self.now() - (run.moved or run.created) >= self.pace:
                following = order[order.index(run.status) + 1]
                cancelled = following == "COMPLETED" and run.message == "cancelled"
                self._move(run, "CANCELLED" if cancelled else following)

    def _move(self, run: SimulatedRun, status: str, failure: str | None = None, message: str | None = None) -> None:
        run.move(status, self.now())
        run.failure, run.message = failure or run.failure, message or run.message
        if status == "RUNNING" and not run.tasks:
            run.tasks.append(Task(str(next(self._task_numbers)), "main", "RUNNING", self.now(), self.now()))
        if status in ENDED:
            for task in run.tasks:
                task.status, task.stopped = (
                    (status, self.now()) if task.status == "RUNNING" else (task.status, task.stopped)
                )
        if status == "COMPLETED":
            self._export(run)

    def _export(self, run: SimulatedRun) -> None:
        if (summary := run.summary()) is not None:
            self.put_object(f"{run.output_uri}/logs/outputs.json", json.dumps(summary).encode())

    def put_object(self, uri: str, content: bytes) -> None:
        """Put an object into S3."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.objects[bucket, key] = content

    def remove_object(self, uri: str) -> None:
        """Take it away again."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        del self.objects[bucket, key]

    def _start_run(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        known = self._by_request.get(request["requestId"])
        if known is not None and self.repeats is not Repeats.FORGOTTEN:
            return self._repeated(known, request)
        workflow = asked_for(request, self.workflows)
        id = self._deleted.pop(0) if self.reuses_ids and self._deleted else str(next(self._numbers))
        run = SimulatedRun(id, str(uuid4()), dict(request), ACCOUNT, REGION, self.now(), workflow)
        self._runs[id] = self._by_request[request["requestId"]] = run
        self.started.append(Started(request["requestId"], run.id, run.uuid))
        if not self.lists_new_runs:
            self._unlisted.add(id)
        return run.as_started()

    def _repeated(self, run: SimulatedRun, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.repeats is Repeats.INVALID:
            raise ServiceError("ValidationException", "The requestId was used by another request")
        if self.repeats is Repeats.CONFLICT or run.request != request:
            raise ServiceError("ConflictException", "A run with this request was created before")
        return run.as_started()

    def _get_run(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._found(request).whole()

    def _found(self, request: Mapping[str, Any]) -> SimulatedRun:
        run = self._runs.get(request["id"])
        if run is None or (run.status == "DELETED" and not self.deleted_is_told):
            raise ServiceError("ResourceNotFoundException", f"Run {request['id']} was not found")
        return run

    def _list_runs(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        # The order is not documented; it is not that of the starts here, so that nobody relies on it.
        # A page that follows another shows what was found for the first one.
        asked = () if "startingToken" in request else reversed(self._runs.values())
        matching = [run.id for run in asked if self._is_listed(run, request)]
        page, token = self._pager.page("ListRuns", matching, request)
        # What a page shows is as it is now, also where the filter was applied a while ago.
        return {"items": [self._runs[id].item() for id in page if id in self._runs], "nextToken": token}

    def _is_listed(self, run: SimulatedRun, request: Mapping[str, Any]) -> bool:
        name = request.get("name")
        found = run.request.get("name", "")
        return (
            run.id not in self._unlisted
            and run.status != "DELETED"
            and (name is None or (found == name if self.name_filter_is_exact else found.startswith(name)))
            and request.get("status") in (None, run.status)
            and request.get("runGroupId") in (None, run.request.get("runGroupId"))
        )

    def _cancel_run(self, request: Mapping[str, Any]) -> None:
        run = self._found(request)
        if run.has_ended or run.status == "DELETED":
            raise ServiceError(self.refusal_of_late_cancels, f"Run {run.id} has ended")
        if run.status != "STOPPING":
            self._move(run, "STOPPING", message="cancelled")

    def _delete_run(self, request: Mapping[str, Any]) -> None:
        run = self._found(request)
        if not run.has_ended:
            raise ServiceError("ConflictException", f"Run {run.id} has not ended")
        self.delete(run.id)

    def _list_run_tasks(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        tasks = {task.id: task for task in self._found(request).tasks}
        matching = [id for id, task in reversed(tasks.items()) if request.get("status") in (None, task.status)]
        page, token = self._pager.page(f"ListRunTasks {request['id']}", matching, request)
        return {"items": [tasks[id].item() for id in page], "nextToken": token}

    def _get_run_task(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        run = self._found(request)
        for task in run.tasks:
            if task.id == request["taskId"]:
                return task.whole(run.id, run.log_prefix)
        raise ServiceError("ResourceNotFoundException", f"Task {request['taskId']} was not found")
