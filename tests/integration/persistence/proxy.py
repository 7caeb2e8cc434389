"""A stand between a client and PostgreSQL that can lose what it was given to carry. On the loopback only."""

import socket
import threading
from contextlib import suppress
from enum import Enum

_COMMIT = b"COMMIT\0"


class Loss(Enum):
    """What becomes of a client whose answer is lost."""

    CLOSED = "closed"
    LEFT_WAITING = "left waiting"


class Proxy:
    """Carries bytes both ways until it is told otherwise; ends all its connections when it is closed."""

    def __init__(self, server: str) -> None:
        """Listen.

        Args:
            server: the path of the server's socket.
        """
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._loss: Loss | None = None
        self._left = 0
        self.lost = 0
        self._is_mute = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def lose_commits(self, number: int, loss: Loss) -> None:
        """Carry the next commits to the server, but not their answers back."""
        with self._lock:
            self._loss, self._left = loss, number

    def mute(self) -> None:
        """Carry nothing back any more, on the connections that there are and on new ones."""
        self._is_mute.set()

    def speak(self) -> None:
        """Carry again; what was lost stays lost."""
        self._is_mute.clear()

    def close(self) -> None:
        """End everything."""
        for each in [self._listener, *self._sockets]:
            _end(each)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                with self._lock:
                    self._sockets += [client, server]
                self._connect(client, server)

    def _connect(self, client: socket.socket, server: socket.socket) -> None:
        try:
            server.connect(self._server)
        except OSError:
            _end(client)
            return
        line = _Line(self, client, server)
        threading.Thread(target=line.carry_there, daemon=True).start()
        threading.Thread(target=line.carry_back, daemon=True).start()

    def takes(self, message: bytes) -> Loss | None:
        """What is to be done with the answer to this message."""
        with self._lock:
            if self._left and _COMMIT in message:
                self._left -= 1
                self.lost += 1
                return self._loss
        return None

    @property
    def is_mute(self) -> bool:
        """Whether answers are swallowed."""
        return self._is_mute.is_set()


class _Line:
    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._loss: Loss | None = None
        self._was_mute = False

    def carry_there(self) -> None:
        with suppress(OSError):
            while message := self._client.recv(65536):
                self._loss = self._loss or self._proxy.takes(message)
                self._server.sendall(message)
        _end(self._server)

    def carry_back(self) -> None:
        with suppress(OSError):
            while answer := self._server.recv(65536):
                self._was_mute = self._was_mute or self._proxy.is_mute
                if self._loss is Loss.CLOSED:
                    break
                if self._loss is None and not self._was_mute:
                    self._client.sendall(answer)
        if self._loss is not Loss.LEFT_WAITING and not self._was_mute:
            _end(self._client)


def _end(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
