"""The simulated server on a port of its own."""

import json
import re
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.simulators.sockets import HOST, LoopbackServer
from tests.simulators.wes.answers import Answers, Refusal
from tests.simulators.wes.faults import Fault, Reply
from tests.simulators.wes.model import Call, Model

BASE_PATH = "/ga4gh/wes/v1"

_ROUTES: Mapping[str, str] = {
    "service_info": r"GET /service-info",
    "list_runs": r"GET /runs",
    "run_workflow": r"POST /runs",
    "run_status": r"GET /runs/(?P<id>[^/]+)/status",
    "list_tasks": r"GET /runs/(?P<id>[^/]+)/tasks",
    "cancel": r"POST /runs/(?P<id>[^/]+)/cancel",
    "run_log": r"GET /runs/(?P<id>[^/]+)",
    "stderr": r"GET /logs/(?P<id>[^/]+)/stderr",
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Small answers in two packets would wait for each other.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: "_Server"

    def do_GET(self) -> None:
        self._take()

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the model remembers every call."""

    def finish(self) -> None:
        """Close both directions, also where the client has hung up first."""
        try:
            super().finish()
        except OSError:
            self.rfile.close()

    def _take(self) -> None:
        model = self.server.model
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        operation, id, params = _operation(self.command, self.path)
        fault = model.faults.befalling(operation)
        with model.lock:
            model.calls.append(Call(operation, id, params, dict(self.headers.items()), model.now()))

        def act() -> tuple[int, bytes, Mapping[str, str]]:
            with model.lock:
                return self._answer(operation, id, params, body)

        if fault is None:
            self._send(*act())
        else:
            self._break(fault, act)

    def _answer(
        self, operation: str, id: str, params: Mapping[str, Sequence[str]], body: bytes
    ) -> tuple[int, bytes, Mapping[str, str]]:
        answers = Answers(self.server.model)
        try:
            answers.check_credential(operation, self.headers.get("Authorization"))
            if operation == "stderr":
                return answers.stderr(id, self.headers.get("Range", ""))
            found = self._act(answers, operation, id, params, body)
        except Refusal as refusal:
            found, status = {"msg": refusal.message, "status_code": refusal.status}, refusal.status
            return status, json.dumps(found).encode(), {"Content-Type": "application/json"}
        return 200, json.dumps(found).encode(), {"Content-Type": "application/json"}

    def _act(
        self, answers: Answers, operation: str, id: str, params: Mapping[str, Sequence[str]], body: bytes
    ) -> Mapping[str, Any]:
        acts: Mapping[str, Callable[[], Mapping[str, Any]]] = {
            "service_info": answers.service_info,
            "list_runs": lambda: answers.list_runs(params),
            "run_workflow": lambda: answers.run_workflow(
                self.headers.get("Idempotency-Key", ""), *_form(self.headers.get("Content-Type", ""), body)
            ),
            "run_status": lambda: answers.run_status(id),
            "list_tasks": lambda: answers.list_tasks(id, params),
            "cancel": lambda: answers.cancel(id),
            "run_log": lambda: answers.run_log(id),
        }
        if operation not in acts:
            raise Refusal(404, "no such path")
        return acts[operation]()

    def _break(self, fault: Fault, act: Callable[[], tuple[int, bytes, Mapping[str, str]]]) -> None:
        if fault.reply is Reply.LATE:
            self.server.model.late.append(act)
            self.close_connection = True
            return
        status, body, headers = act() if fault.acts else (200, b"{}", {})
        if fault.reply is Reply.CANNED:
            self._send(fault.status, fault.body.encode(), {"Content-Type": "application/json", **fault.headers})
            return
        self.close_connection = True
        if fault.reply is Reply.HANG:
            self.server.stopping.wait(60)
        elif fault.reply is Reply.MID_ANSWER:
            self._send(status, body, headers, cut=True)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body[: len(body) // 2] if cut else body)
            self.wfile.flush()


class _Server(LoopbackServer):
    def __init__(self, model: Model, tls: ssl.SSLContext | None) -> None:
        super().__init__(_Handler, tls)
        self.model = model


@contextmanager
def serving(model: Model, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The server on the wire, for as long as it is needed; gives its address without the API's path."""
    server = _Server(model, tls)
    address = f"http{'s' if tls else ''}://{HOST}:{server.server_address[1]}"
    model.base = f"{address}{BASE_PATH}"
    with server.running():
        yield address


def _operation(method: str, path: str) -> tuple[str, str, Mapping[str, Sequence[str]]]:
    parts = urlsplit(path)
    for operation, pattern in _ROUTES.items():
        if found := re.fullmatch(pattern, f"{method} {parts.path.removeprefix(BASE_PATH)}"):
            return operation, unquote(found.groupdict().get("id", "")), parse_qs(parts.query)
    return "unknown", "", {}


def _form(content_type: str, body: bytes) -> tuple[Mapping[str, str], Mapping[str, bytes]]:
    """Read a multipart form: its texts, and the files with their names."""
    boundary = re.search(r"multipart/form-data; boundary=(\S+)", content_type)
    if not boundary:
        raise Refusal(415, "send multipart/form-data")
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for part in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        names = dict(re.findall(r'(name|filename)="([^"]*)"', head.decode()))
        if "filename" in names:
            files[names["filename"]] = content
        else:
            fields[names["name"]] = content.decode()
    return fields, files
