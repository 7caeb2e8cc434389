"""A PostgreSQL server that refuses each connection: with any SQLSTATE, in any language."""

import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress

_STARTUP = 196_608
"""The code of protocol 3.0; smaller requests than it, of encryption, have other codes."""


class SpeakingServer:
    """A server that refuses each connection in the protocol's words, in any language and with any SQLSTATE."""

    def __init__(self, sqlstate: str, message: str, *, severity: str = "FATAL", asks_password: bool = False) -> None:
        fields = {"S": severity, "V": "FATAL", "C": sqlstate, "M": message, "D": "geheime Einzelheit"}
        self._refusal = _error_response(fields)
        self._asks_password = asks_password
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, suppress(OSError, struct.error):
                    self._refuse(client)

    def _refuse(self, client: socket.socket) -> None:
        while True:
            length, code = struct.unpack("!ii", client.recv(8, socket.MSG_WAITALL))
            if code >= _STARTUP and code < _STARTUP + 65_536:
                break
            client.sendall(b"N")
        client.recv(length - 8, socket.MSG_WAITALL)
        if self._asks_password:
            client.sendall(b"R" + struct.pack("!ii", 8, 3))
            client.recv(1000)
        client.sendall(self._refusal)


def _error_response(fields: Mapping[str, str]) -> bytes:
    content = b"".join(name.encode() + text.encode() + b"\0" for name, text in fields.items()) + b"\0"
    return b"E" + struct.pack("!i", len(content) + 4) + content
