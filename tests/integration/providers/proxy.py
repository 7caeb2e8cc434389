"""A proxy on loopback that passes everything on, for tests of what a client concludes from a broken connection."""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

_FORWARDED = re.compile(rb"^([A-Z]+) http://([^/ ]+)")
_TUNNELLED = re.compile(rb"^CONNECT (\S+) ")


@contextmanager
def passing_on() -> Iterator[str]:
    """Run a proxy that opens tunnels and forwards requests; gives its address."""
    server = socket.create_server(("127.0.0.1", 0))
    accepting = Thread(target=_accept, args=(server,), daemon=True)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        # Closing alone does not end a thread that waits in `accept`.
        server.shutdown(socket.SHUT_RDWR)
        accepting.join()
        server.close()


def _accept(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            Thread(target=_serve, args=(server.accept()[0],), daemon=True).start()


def _serve(client: socket.socket) -> None:
    with client, suppress(OSError):
        request = client.recv(65536)
        if tunnelled := _TUNNELLED.match(request):
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            request = b""
        target = (tunnelled or _FORWARDED.match(request) or [b"", b"", b""])[1 if tunnelled else 2]
        host, _, port = target.decode().rpartition(":")
        with socket.create_connection((host, int(port))) as service:
            service.sendall(_rewritten(request))
            back = Thread(target=_pass_on, args=(service, client, lambda data: data), daemon=True)
            back.start()
            _pass_on(client, service, _rewritten)
            back.join()


def _rewritten(request: bytes) -> bytes:
    """Return a request with its path in place of the whole address."""
    return _FORWARDED.sub(rb"\1 ", request)


def _pass_on(source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(change(data))
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
