"""The simulated service behind HTTP on loopback, with S3's GetObject beside it."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.simulators.healthomics.faults import Fault, Faults, Kind
from tests.simulators.healthomics.model import Invalid, OmicsModel
from tests.simulators.healthomics.service import OmicsService
from tests.simulators.healthomics.workflows import ServiceError

_SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/[0-9]{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_MODEL = OmicsModel()


@dataclass(frozen=True, slots=True)
class Call:
    """A request that came in."""

    operation: str
    at: datetime
    headers: Mapping[str, str]
    path: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, and what it asks for."""

    operation: str
    path: Mapping[str, str]
    query: str
    body: bytes
    headers: Mapping[str, str]


class HealthOmicsSimulator:
    """A HealthOmics and an S3 at one address, as long as the `with` lasts.

    Attributes:
        service: what it holds and how it behaves.
        faults: what goes wrong on the way.
        access_keys: the keys that are accepted; None accepts any.
        credential_error: what requests with another key get.
        calls: every request that came in, also those that suffered a fault.
        early: calls that came before the time that an answer had named.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.service = OmicsService(now)
        self.faults = Faults()
        self.access_keys: set[str] | None = None
        self.credential_error = "UnrecognizedClientException"
        self.calls: list[Call] = []
        self.early: list[Call] = []
        self.closing = threading.Event()
        self._not_before: dict[str, datetime] = {}
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> "HealthOmicsSimulator":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def operations(self) -> Counter[str]:
        """How often each operation was called."""
        return Counter(call.operation for call in list(self.calls))

    def asked(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Asked:
        """Note a request and find out what it asks for."""
        split = urlsplit(target)
        if _service(headers) == "s3":
            asked = _Asked("GetObject", {"path": unquote(split.path)}, split.query, body, headers)
        else:
            operation, path = _MODEL.route(method, split.path) or ("unknown", {})
            asked = _Asked(operation, path, split.query, body, headers)
        self._note(Call(asked.operation, self.service.now(), headers, target))
        return asked

    def promise(self, operation: str, fault: Fault) -> None:
        """Remember the time that an answer names."""
        if fault.retry_after is not None:
            self._not_before[operation] = self.service.now() + fault.retry_after

    def answer(self, asked: _Asked) -> Answer:
        """Act, and say what came of it."""
        if self._is_stranger(asked.headers):
            return _error(403, self.credential_error, "The security token included in the request is invalid.")
        if asked.operation == "GetObject":
            return self._object(asked.path["path"])
        if asked.operation == "unknown":
            return _error(404, "UnknownOperationException", "")
        try:
            request = _MODEL.read(asked.operation, asked.path, asked.query, asked.body)
            status, body = _MODEL.write(asked.operation, self.service.operate(asked.operation, request))
        except Invalid as error:
            return _error(400, "ValidationException", str(error))
        except ServiceError as error:
            return _error(_MODEL.error_status(error.code), error.code, str(error))
        return Answer(status, body, {"Content-Type": "application/json"})

    def _object(self, path: str) -> Answer:
        bucket, _, key = path.strip("/").partition("/")
        if "GetObject" in self.service.denied:
            return _s3_error(403, "AccessDenied", self.service.denied["GetObject"])
        if (bucket, key) not in self.service.objects:
            return _s3_error(404, "NoSuchKey", "The specified key does not exist.")
        return Answer(200, self.service.objects[bucket, key])

    def _note(self, call: Call) -> None:
        with self.service.lock:
            self.calls.append(call)
            if call.at < self._not_before.get(call.operation, call.at):
                self.early.append(call)

    def _is_stranger(self, headers: Mapping[str, str]) -> bool:
        found = _SCOPE.search(headers.get("Authorization", ""))
        return found is None or (self.access_keys is not None and found["key"] not in self.access_keys)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, simulator: HealthOmicsSimulator) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.simulator = simulator

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Small answers in two packets would wait for each other.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        simulator = self.server.simulator
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = simulator.asked(self.command, self.path, dict(self.headers.items()), body)
        fault = simulator.faults.take(asked.operation)
        if fault is None:
            self._send(simulator.answer(asked))
            return
        simulator.promise(asked.operation, fault)
        if fault.kind is Kind.LATE:
            self._act_late(asked, fault)
            return
        self._suffer(fault, simulator.answer(asked) if fault.after_acting else Answer(500))

    def _suffer(self, fault: Fault, answer: Answer) -> None:
        if fault.kind in (Kind.HANG, Kind.SLOW):
            self.server.simulator.closing.wait(fault.seconds)
        match fault.kind:
            case Kind.CUT | Kind.HANG:
                self._hang_up()
            case Kind.SLOW:
                self._send(answer)
            case Kind.ANSWER:
                self._send(Answer(fault.status, fault.body, fault.headers))
            case Kind.GARBLED:
                self._send(Answer(answer.status, answer.body[: len(answer.body) // 2], answer.headers))

    def _act_late(self, asked: _Asked, fault: Fault) -> None:
        self._hang_up()
        self.server.simulator.closing.wait(fault.seconds)
        self.server.simulator.answer(asked)

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(2)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)


def _service(headers: Mapping[str, str]) -> str:
    found = _SCOPE.search(headers.get("Authorization", ""))
    return found["service"] if found else ""


def _error(status: int, code: str, message: str) -> Answer:
    body = json.dumps({"message": message}).encode()
    return Answer(status, body, {"Content-Type": "application/json", "x-amzn-ErrorType": code})


def _s3_error(status: int, code: str, message: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return Answer(status, body, {"Content-Type": "application/xml"})
