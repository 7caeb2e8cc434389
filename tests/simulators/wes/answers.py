"""What the simulated server answers, by its switches."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.simulators.wes.model import ENDED, Model, SimulatedRun

Params = Mapping[str, Sequence[str]]
_REQUIRED = ("workflow_type", "workflow_type_version", "workflow_url")


class Refusal(Exception):
    """The server refuses a request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Answers:
    """The operations of the API."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._switches = model.switches

    def check_credential(self, operation: str, given: str | None) -> None:
        """Refuse a wrong credential, but for service-info."""
        needed = self._switches.credential
        if needed is not None and given != needed and operation != "service_info":
            raise Refusal(401, "bad credentials")

    def service_info(self) -> Mapping[str, Any]:
        is_new = any(version.startswith("1.1") for version in self._switches.versions)
        engine = {"workflow_engine_version": ["1"]} if is_new else "1"
        return {
            "workflow_type_versions": {name: {"workflow_type_version": ["v1.2"]} for name in self._switches.types},
            "workflow_engine_versions": dict.fromkeys(self._switches.engines, engine),
            "supported_wes_versions": list(self._switches.versions),
            "tags": {"idempotency_key": "honoured"} if self._switches.announces_key else {},
        }

    def run_workflow(self, key: str, fields: Mapping[str, str], files: Mapping[str, bytes]) -> Mapping[str, Any]:
        self._model.posts.append(key)
        missing = [name for name in _REQUIRED if not fields.get(name)]
        if missing:
            raise Refusal(400, f"{', '.join(missing)} missing")
        if fields["workflow_type"] not in self._switches.types:
            raise Refusal(400, f"no workflow type {fields['workflow_type']}")
        if self._switches.demands_engine and fields.get("workflow_engine") not in self._switches.engines:
            raise Refusal(400, "Invalid engine")
        request: dict[str, Any] = dict(fields)
        for name in ("workflow_params", "tags", "workflow_engine_parameters"):
            if name in fields:
                request[name] = json.loads(fields[name])
        if "refused" in request["workflow_params"]:
            raise Refusal(400, "refused: no such input")
        return {"run_id": self._model.start(key or request["tags"].get("idempotency_key", ""), request, files).id}

    def list_runs(self, params: Params) -> Mapping[str, Any]:
        newest_first = list(reversed(self._model.runs.values()))
        page, token = self._page(newest_first, params)
        return {self._switches.list_key: [self._listed(run) for run in page], "next_page_token": token}

    def run_status(self, id: str) -> Mapping[str, Any]:
        run = self._known(id)
        return {"run_id": id, "state": "RUNNING" if run is None else self._state(run)}

    def run_log(self, id: str) -> Mapping[str, Any]:
        run = self._known(id)
        if run is None:
            return {"run_id": id, "state": "RUNNING", "request": {}, "run_log": {}}
        log: dict[str, Any] = {
            "run_id": id,
            "state": self._state(run),
            "request": run.request,
            "run_log": self._run_log(run),
            "outputs": self._outputs(run),
            "task_logs": None if self._switches.has_task_list else self._tasks(run),
        }
        if self._switches.has_task_list:
            log["task_logs_url"] = f"{self._model.base}/runs/{id}/tasks"
        return log

    def list_tasks(self, id: str, params: Params) -> Mapping[str, Any]:
        run = self._known(id)
        if run is None or not self._switches.has_task_list:
            raise Refusal(400, "this endpoint is not implemented")
        page, token = self._page(self._tasks(run), params)
        return {"task_logs": page, "next_page_token": token}

    def cancel(self, id: str) -> Mapping[str, Any]:
        run = self._known(id)
        if self._switches.cancel_status:
            raise Refusal(self._switches.cancel_status, "cancellation is not supported")
        if run is not None and run.state in ("EXECUTOR_ERROR", "SYSTEM_ERROR"):
            # As Toil answers.
            raise Refusal(403, "it has ended")
        if run is not None and self._switches.cancels and run.state not in ENDED:
            run.state = "CANCELING"
        return {"run_id": id}

    def stderr(self, id: str, range: str) -> tuple[int, bytes, Mapping[str, str]]:
        """The log, or its end; a range that is longer than the log is refused, as werkzeug does."""
        run = self._known(id)
        if run is None:
            raise Refusal(404, "no such run")
        text, headers = run.stderr.encode(), {"Content-Type": "text/plain"}
        if not range:
            return 200, text, headers
        length = int(range.removeprefix("bytes=-"))
        return (self._switches.range_status, b"", headers) if length > len(text) else (206, text[-length:], headers)

    def _known(self, id: str) -> SimulatedRun | None:
        run = self._model.runs.get(id)
        if run is None and not self._switches.knows_all:
            raise Refusal(404, f"run {id} not found")
        return run

    def _state(self, run: SimulatedRun) -> str:
        return run.read_once.pop(0) if run.read_once else run.state

    def _listed(self, run: SimulatedRun) -> Mapping[str, Any]:
        listed: dict[str, Any] = {"run_id": run.id, "state": self._state(run)}
        if self._switches.list_times and self._switches.has_start:
            listed["start_time"] = _written(run.started)
        if self._switches.lists_tags:
            listed["tags"] = run.request.get("tags", {})
        return listed

    def _run_log(self, run: SimulatedRun) -> Mapping[str, Any]:
        address = f"/ga4gh/wes/v1/logs/{run.id}/stderr"
        address = f"../logs/{run.id}/stderr" if self._switches.relative_logs else address
        full = address if self._switches.relative_logs else self._model.base.removesuffix("/ga4gh/wes/v1") + address
        return {
            "start_time": _written(run.started) if self._switches.has_start else "",
            "end_time": _written(run.ended) if self._switches.has_end else "",
            "stdout": "",
            "stderr": run.stderr if self._switches.log_texts else full,
            "exit_code": run.exit_code,
            "system_logs": list(run.system_logs),
        }

    def _tasks(self, run: SimulatedRun) -> Sequence[Mapping[str, Any]]:
        if not self._switches.task_ids:
            return run.tasks
        return [{"id": f"task-{number}", **task} for number, task in enumerate(run.tasks)]

    def _outputs(self, run: SimulatedRun) -> object:
        if run.state != "COMPLETE":
            return [] if self._switches.outputs_as_list else {}
        if self._switches.outputs_as_list:
            return [{"file_name": "out/greeting.txt", "file_url": f"{self._model.base}/runs/{run.id}/greeting.txt"}]
        return {"greeting": {"class": "File", "location": "file:///out/greeting.txt", "size": 6}}

    def _page(self, items: Sequence[Any], params: Params) -> tuple[Sequence[Any], str | None]:
        start = int(params.get("page_token", ["0"])[0])
        size = min(int(params.get("page_size", ["10"])[0]), self._switches.page_limit or len(items) or 1)
        if self._switches.page_limit is None:
            size = len(items)
        end = start + size
        last = None if self._switches.null_ends else ""
        return items[start:end], str(end) if end < len(items) else last


def _written(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""
