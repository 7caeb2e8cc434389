"""The simulated service on a port of its own, with TLS from a throw-away authority."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import trustme

from tests.simulators.sevenbridges.faults import Reply
from tests.simulators.sevenbridges.platform import Platform
from tests.simulators.sevenbridges.routes import Response, Routes
from tests.simulators.sockets import HOST, LoopbackServer

BASE_PATH = "/v2"


class Authority:
    """A certificate authority that nobody else trusts."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.bundle = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.bundle))

    def context(self) -> ssl.SSLContext:
        """What a server on loopback needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(HOST, "localhost").configure_cert(context)
        return context


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Small answers in two packets would wait for each other.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: "_Server"

    def do_GET(self) -> None:
        self._take()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the platform remembers every call."""

    def finish(self) -> None:
        """Close both directions, also where the client has hung up first."""
        try:
            super().finish()
        except OSError:
            self.rfile.close()

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        path = unquote(parts.path).removeprefix(BASE_PATH)
        response = self.server.routes.respond(
            self.command, path, parse_qs(parts.query), dict(self.headers.items()), body
        )
        self._send(response)

    def _send(self, response: Response) -> None:
        reply = response.fault.reply if response.fault else Reply.CANNED
        if reply is Reply.SLOW:
            self.server.stopping.wait(self.server.slowness)
        if reply is not Reply.CANNED:
            self.close_connection = True
            self._act_late(response)
            return
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status != 204:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)
        self.wfile.flush()

    def _act_late(self, response: Response) -> None:
        if response.act_late is not None:
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.server.stopping.wait(self.server.lateness)
            response.act_late()


class _Server(LoopbackServer):
    def __init__(self, routes: Routes, context: ssl.SSLContext, slowness: float, lateness: float) -> None:
        super().__init__(_Handler, context)
        self.routes = routes
        self.slowness = slowness
        self.lateness = lateness


@contextmanager
def serving(
    platform: Platform, authority: Authority, *, slowness: float = 30.0, lateness: float = 1.0
) -> Iterator[str]:
    """The platform on the wire, for as long as it is needed; gives the API's address.

    Args:
        slowness: seconds that a slow answer takes.
        lateness: seconds after which is acted on what was asked for late.
    """
    server = _Server(Routes(platform), authority.context(), slowness, lateness)
    platform.base = f"https://{HOST}:{server.server_address[1]}{BASE_PATH}"
    with server.running():
        yield platform.base
