"""What the simulators of Seven Bridges and of WES share: a server on loopback that hangs up on everybody at its end."""

import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"


class LoopbackServer(ThreadingHTTPServer):
    """A server on a port of its own.

    Attributes:
        stopping: set when the server stops, so that no answer keeps it waiting.
        bugs: what the simulator itself did wrong.
    """

    # All connections are hung up on at the end, so their threads end too and can be waited for.
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None) -> None:
        super().__init__((HOST, 0), handler)
        if tls:
            # The handshake belongs into the connection's own thread: one slow client should not hold up the others.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.stopping = threading.Event()
        self.bugs: list[BaseException] = []
        self._open: set[socket.socket] = set()

    def process_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: object) -> None:
        assert isinstance(request, socket.socket)
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up in the tests all the time; anything else is a bug here, which a cut would hide."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.bugs.append(error)

    def close(self) -> None:
        """Hang up on everybody and stop."""
        self.stopping.set()
        self.shutdown()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve for as long as it is needed; raises the first bug of the simulator at the end."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.close()
            thread.join()
            if self.bugs:
                raise self.bugs[0]
