"""Which route is which operation, and what each is answered: authentication, rate limit, faults, then the rules."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.simulators.sevenbridges.errors import ApiError
from tests.simulators.sevenbridges.faults import Fault, Reply
from tests.simulators.sevenbridges.listing import Answer, Params
from tests.simulators.sevenbridges.platform import Call, Platform, Window
from tests.simulators.sevenbridges.storage_rules import StorageRules
from tests.simulators.sevenbridges.task_rules import TaskRules

Headers = Mapping[str, str]
NAMED_WAIT = timedelta(seconds=3)
"""How long a 429 of a fault asks to be left alone."""

_ROUTES: Mapping[str, str] = {
    "create_task": r"POST /tasks",
    "list_tasks": r"GET /tasks",
    "bulk_get": r"POST /bulk/tasks/get",
    "run_task": r"POST /tasks/(?P<id>[^/]+)/actions/run",
    "abort_task": r"POST /tasks/(?P<id>[^/]+)/actions/abort",
    "execution_details": r"GET /tasks/(?P<id>[^/]+)/execution_details",
    "get_task": r"GET /tasks/(?P<id>[^/]+)",
    "edit_task": r"PATCH /tasks/(?P<id>[^/]+)",
    "delete_task": r"DELETE /tasks/(?P<id>[^/]+)",
    "get_app": r"GET /apps/(?P<id>[^/]+/[^/]+/[^/]+(?:/[0-9]+)?)",
    "list_files": r"GET /files",
    "create_folder": r"POST /files",
    "list_volumes": r"GET /storage/volumes",
    "start_import": r"POST /storage/imports",
    "get_import": r"GET /storage/imports/(?P<id>[^/]+)",
    "rate_limit": r"GET /rate_limit",
}


class Response:
    """What goes over the wire, or how it fails to; a canned answer replaces the real one."""

    def __init__(
        self,
        status: int,
        body: bytes,
        headers: Headers,
        fault: Fault | None = None,
        act_late: Callable[[], object] | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.fault = fault
        self.act_late = act_late


class Routes:
    """The service behind its wire."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._tasks = TaskRules(platform)
        self._storage = StorageRules(platform)

    def respond(self, method: str, path: str, params: Params, headers: Headers, body: bytes) -> Response:
        """Take one request."""
        operation, id = _operation(method, path)
        fault = self._platform.faults.befalling(operation)
        with self._platform.lock:
            token = headers.get("X-SBG-Auth-Token", "")
            now = self._platform.now()
            call = Call(
                token=token, method=method, path=path, operation=operation, params=params, headers=headers, at=now
            )
            return self._broken(call, id, body, fault) if fault else self._answered(call, id, body)

    def _broken(self, call: Call, id: str, body: bytes, fault: Fault) -> Response:
        if fault.reply is Reply.LATE:
            return Response(0, b"", {}, fault, lambda: self._act_late(call, id, body))
        real = self._answered(call, id, body, acts=fault.acts)
        if fault.reply is not Reply.CANNED:
            return Response(real.status, real.body, real.headers, fault)
        headers = {**real.headers, "Content-Type": fault.content_type}
        if fault.location:
            headers["Location"] = fault.location
        if fault.names_time:
            until = self._platform.now() + NAMED_WAIT
            self._platform.quiet_until[call.token] = datetime.fromtimestamp(int(until.timestamp()), UTC)
            headers |= {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(until.timestamp()))}
        return Response(fault.status, fault.body.encode(), headers, fault)

    def _act_late(self, call: Call, id: str, body: bytes) -> None:
        with self._platform.lock:
            self._answered(call, id, body)

    def _answered(self, call: Call, id: str, body: bytes, *, acts: bool = True) -> Response:
        self._platform.calls.append(call)
        if call.at < self._platform.quiet_until.get(call.token, call.at):
            self._platform.too_early.append(call)
        try:
            if call.token not in self._platform.tokens:
                raise ApiError(401, 90001, "Unauthorized")
            self._count(call)
            answer = self._act(call, id, body) if acts else Answer({})
        except ApiError as error:
            answer = Answer(error.body, status=error.status)
        return self._written(call, answer)

    def _count(self, call: Call) -> None:
        window = self._window(call.token)
        if call.operation == "rate_limit":
            return
        if window.used >= self._platform.rate_limit:
            self._platform.quiet_until[call.token] = window.since + self._platform.rate_window
            raise ApiError(429, 1000, "Too many requests")
        window.used += 1

    def _window(self, token: str) -> Window:
        now = self._platform.now()
        window = self._platform.windows.setdefault(token, Window(now))
        if now >= window.since + self._platform.rate_window:
            window.since, window.used = now, 0
        return window

    def _written(self, call: Call, answer: Answer) -> Response:
        headers = {"Content-Type": "application/json", "X-Request-Id": self._platform.new_id("request")}
        if answer.total is not None:
            headers["X-Total-Matching-Query"] = str(answer.total)
        if call.token in self._platform.tokens:
            headers |= self._rate_headers(call.token)
        body = b"" if answer.status == 204 else json.dumps(answer.body).encode()
        return Response(answer.status, body, headers)

    def _rate_headers(self, token: str) -> Headers:
        window = self._window(token)
        reset = window.since + self._platform.rate_window
        return {
            "X-RateLimit-Limit": str(self._platform.rate_limit),
            "X-RateLimit-Remaining": str(self._platform.rate_limit - window.used),
            "X-RateLimit-Reset": str(int(reset.timestamp())),
        }

    def _act(self, call: Call, id: str, body: bytes) -> Answer:
        token, params = call.token, call.params
        acts: Mapping[str, Callable[[], Answer]] = {
            "create_task": lambda: self._tasks.create(token, params, _object(body)),
            "list_tasks": lambda: self._tasks.list(token, params),
            "bulk_get": lambda: self._tasks.bulk_get(token, _object(body)),
            "run_task": lambda: self._tasks.run(token, params, id),
            "abort_task": lambda: self._tasks.abort(token, id),
            "execution_details": lambda: self._tasks.execution_details(token, id),
            "get_task": lambda: self._tasks.get(token, params, id),
            "edit_task": lambda: self._tasks.edit(token, id, _object(body)),
            "delete_task": lambda: self._tasks.delete(token, id),
            "get_app": lambda: self._storage.app(id),
            "list_files": lambda: self._storage.files(token, params),
            "create_folder": lambda: self._storage.create_folder(token, _object(body)),
            "list_volumes": lambda: self._storage.volumes(params),
            "start_import": lambda: self._storage.start_import(_object(body)),
            "get_import": lambda: self._storage.get_import(id),
            "rate_limit": lambda: self._limits(token),
        }
        if call.operation not in acts:
            raise ApiError(404, 90003, "No such resource")
        return acts[call.operation]()

    def _limits(self, token: str) -> Answer:
        window = self._window(token)
        reset = int((window.since + self._platform.rate_window).timestamp())
        rate = {
            "limit": self._platform.rate_limit,
            "remaining": self._platform.rate_limit - window.used,
            "reset": reset,
        }
        return Answer({"rate": rate, "instance_limit": {"limit": -1, "remaining": -1}})


def _operation(method: str, path: str) -> tuple[str, str]:
    for operation, pattern in _ROUTES.items():
        if found := re.fullmatch(pattern, f"{method} {path}"):
            return operation, found.groupdict().get("id", "")
    return "unknown", ""


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        raise ApiError(500, 90009, "The body cannot be decoded") from None
    if not isinstance(found, Mapping):
        raise ApiError(500, 90009, "The body must be an object")
    return found
