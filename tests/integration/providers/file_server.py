"""A web server for tests of downloads: it answers with any status, breaks off, or never answers."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server sends.

    Attributes:
        missing: bytes that the header announces and that are not sent.
        silent: nothing is sent until the server is closed.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0
    silent: bool = False


class FileServer:
    """Serves the answers of each path in their order; the last one is repeated, and other paths are not found."""

    def __init__(self) -> None:
        self._answers: dict[str, list[Answer]] = {}
        self._closed = threading.Event()
        self.requests = Counter[str]()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def serve(self, path: str, *answers: Answer) -> str:
        """Serve the answers at a path; return its address."""
        self._answers[path] = list(answers)
        return self.address(path)

    def address(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def close(self) -> None:
        """End all pending answers, and the server."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _next(self, path: str) -> Answer:
        answers: Sequence[Answer] = self._answers.get(path, [Answer(status=404, body=b"<html>not found</html>")])
        self.requests[path] += 1
        return answers[min(self.requests[path], len(answers)) - 1]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = server._next(urlsplit(self.path).path)
                if answer.silent:
                    server._closed.wait()
                    return
                self.send_response(answer.status)
                self.send_header("Content-Length", f"{len(answer.body) + answer.missing}")
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(answer.body)

            do_HEAD = do_GET  # noqa: N815 -- the name that the base class requires

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        return Handler


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Run a server."""
    server = FileServer()
    try:
        yield server
    finally:
        server.close()
