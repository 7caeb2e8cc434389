"""What the service does with tasks, and refuses to do."""

import re
from collections.abc import Mapping
from typing import Any

from tests.simulators.sevenbridges.errors import ApiError, bad_request, not_found
from tests.simulators.sevenbridges.listing import Answer, Params, in_time, only, ordered, page, shown
from tests.simulators.sevenbridges.platform import Platform, Record, Start
from tests.simulators.sevenbridges.validation import problems

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STATUSES = frozenset({"QUEUED", "DRAFT", "RUNNING", "COMPLETED", "ABORTED", "ABORTING", "FAILED", "CREATING"})
_LISTED = ("href", "id", "name", "project")
_ORDERS = ("created_time", "start_time", "name", "end_time", "created_by")
_BULK = 100


class TaskRules:
    """Tasks, for one platform; every method is a route."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def create(self, token: str, params: Params, body: Mapping[str, Any]) -> Answer:
        """A draft, also where its inputs are wrong: then with errors."""
        for name, code in (("project", 3002), ("app", 7015)):
            if not isinstance(body.get(name), str):
                raise bad_request(f"{name} is missing", code)
        self._platform.of_project(body["project"], token)
        app, revision = self._app(body["app"])
        task = self._new(body, f"{app}/{revision}", batch=self._platform.apps[app][revision]["batches"])
        task["errors"] = problems(self._platform, task, self._platform.apps[app][revision]["raw"])
        self._platform.tasks[task["id"]] = task
        if only(params, "action") == "run" and not task["errors"]:
            self._start(task)
        return Answer(shown(task, {}), status=201)

    def get(self, token: str, params: Params, id: str) -> Answer:
        """One task, whole."""
        return Answer(shown(self._task(token, id), params))

    def list(self, token: str, params: Params) -> Answer:
        """The tasks that the caller may see, filtered."""
        if project := only(params, "project"):
            self._platform.of_project(project, token)
        if unknown := set(params.get("status", [])) - _STATUSES:
            raise bad_request(f"no such status: {unknown}", 7006)
        latest = self._platform.now() - self._platform.listing_lag
        known = [task for task in self._platform.tasks.values() if task["_created"] <= latest]
        found = [task for task in known if self._is_listed(task, token, params)]
        return page(self._platform.base, "/tasks", params, ordered(found, params, _ORDERS), _LISTED)

    def bulk_get(self, token: str, body: Mapping[str, Any]) -> Answer:
        """Many tasks; what cannot be had is an error that does not say whose it is. The order is nobody's."""
        ids = body.get("task_ids")
        if not isinstance(ids, list) or len(ids) > _BULK:
            raise bad_request(f"at most {_BULK} task_ids")
        return Answer({"items": [self._item(token, id) for id in reversed(ids)]})

    def run(self, token: str, params: Params, id: str) -> Answer:
        """Start a draft; nothing else can be started."""
        task = self._task(token, id)
        if task["status"] != "DRAFT":
            raise ApiError(403, 7007, "Task can be run only from the draft status")
        self._set_batching(task, params)
        if task["errors"] and not self._platform.invalid_run_answers_draft:
            raise bad_request("Task cannot be started because of validation errors", 7024)
        if not task["errors"]:
            self._start(task)
        return Answer(shown(task, {}))

    def abort(self, token: str, id: str) -> Answer:
        """Begin to stop a task; the answer may show the status from before."""
        task = self._task(token, id)
        if task["status"] not in ("CREATING", "QUEUED", "RUNNING"):
            raise bad_request("Only creating, running and queued tasks can be aborted", 7011)
        before = shown(task, {})
        task["status"] = "ABORTING"
        return Answer(before)

    def edit(self, token: str, id: str, body: Mapping[str, Any]) -> Answer:
        """Change a draft; what runs or has completed can be renamed and no more."""
        task = self._task(token, id)
        may_rename = task["status"] in ("RUNNING", "COMPLETED") and set(body) == {"name"}
        if task["status"] != "DRAFT" and not may_rename:
            raise ApiError(403, 7026, "Only draft tasks can be edited")
        task.update({name: body[name] for name in ("name", "description", "inputs") if name in body})
        return Answer(shown(task, {}))

    def delete(self, token: str, id: str) -> Answer:
        """Remove a draft."""
        if self._task(token, id)["status"] != "DRAFT":
            raise bad_request("Only draft tasks can be deleted", 7010)
        del self._platform.tasks[id]
        return Answer(None, status=204)

    def execution_details(self, token: str, id: str) -> Answer:
        """The jobs; a batch has none of its own."""
        task = self._task(token, id)
        names = ("href", "start_time", "end_time", "status")
        return Answer({**{name: task[name] for name in names}, "message": "", "jobs": task.get("jobs", [])})

    def _app(self, id: str) -> tuple[str, int]:
        parts = id.split("/")
        app = "/".join(parts[:3])
        if app not in self._platform.apps:
            raise not_found(6002, f"App {id} not found")
        revision = int(parts[3]) if len(parts) > 3 else len(self._platform.apps[app]) - 1
        if not 0 <= revision < len(self._platform.apps[app]):
            raise not_found(6002, f"Revision {id} not found")
        return app, revision

    def _new(self, body: Mapping[str, Any], app: str, *, batch: bool) -> Record:
        id, now = self._platform.new_id("task"), self._platform.now()
        return {
            **{"href": f"{self._platform.base}/tasks/{id}", "id": id, "type": "v2", "status": "DRAFT"},
            **{name: body.get(name) for name in ("name", "description", "project", "output_location")},
            **{"app": app, "inputs": body.get("inputs") or {}, "outputs": {"report": None}, "warnings": []},
            **{"batch": batch or bool(body.get("batch_by")), "batch_group": {"fields": {}}, "parent": None},
            **{"created_time": self._platform.stamp(now), "start_time": None, "end_time": None, "_created": now},
            **{"created_by": "somebody", "executed_by": None, "price": {"amount": 0, "currency": "USD"}},
            "execution_settings": body.get("execution_settings") or {},
            "use_interruptible_instances": body.get("use_interruptible_instances", True),
            "execution_status": {"message": "Initializing..."},
        }

    def _task(self, token: str, id: str) -> Record:
        if not _UUID.fullmatch(id):
            raise bad_request("Task id is not a valid UUID", 7005)
        task = self._platform.tasks.get(id)
        if task is None:
            raise not_found(7002, "Requested task does not exist")
        if task["project"] not in self._platform.tokens[token]:
            raise ApiError(403, 7001, "You do not have access to the requested task")
        return task

    def _item(self, token: str, id: str) -> Record:
        try:
            return {"resource": shown(self._task(token, id), {})}
        except ApiError as error:
            return {"error": error.body}

    def _is_listed(self, task: Record, token: str, params: Params) -> bool:
        wanted = {"project": only(params, "project"), "parent": only(params, "parent")}
        is_kind = all(value is None or task[name] == value for name, value in wanted.items())
        statuses, batch = params.get("status"), only(params, "batch")
        in_status = not statuses or task["status"] in statuses
        in_batch = batch is None or task["batch"] is (batch.lower() == "true")
        prefixes = (("created_time", "created"), ("start_time", "started"), ("end_time", "ended"))
        in_times = all(in_time(task, params, name, prefix) for name, prefix in prefixes)
        is_seen = task["project"] in self._platform.tokens[token]
        return is_seen and is_kind and in_status and in_batch and in_times and not params.get("origin_id")

    def _set_batching(self, task: Record, params: Params) -> None:
        asked = only(params, "batch")
        if asked is None:
            return
        if not task["batch"]:
            raise bad_request("Batching can be disabled only for batch tasks", 7022)
        task["batch"] = asked.lower() != "false"

    def _start(self, task: Record) -> None:
        now = self._platform.now()
        task.update(status="CREATING" if task["batch"] else "QUEUED", executed_by="somebody")
        # Set soon after the start, also while the task is queued.
        task["start_time"] = self._platform.stamp(now)
        self._platform.started.append(Start(task["id"], task["name"], now))
