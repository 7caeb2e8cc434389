"""Texts for PostgreSQL databases whose encoding is not UTF-8.

The client always sends and receives UTF-8, which the server converts. A character that the database's encoding does
not have is replaced in a text, and escaped in JSON. A database in SQL_ASCII holds bytes of any kind: they are read as
UTF-8, and a mark replaces those that are not.
"""

import codecs
import re
import threading
from dataclasses import dataclass

from psycopg2 import extensions
from psycopg2.extensions import connection as DriverConnection  # noqa: N812 - the driver's name of its class
from sqlalchemy import Dialect, Engine

_ATTRIBUTE = "wes_daemon_server_encoding"
_SQL_ASCII = "SQL_ASCII"
_LENIENT_UTF8 = "wes_daemon_utf8"
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")

# psycopg2 looks the codec up when the client encoding of a connection is set.
_codec_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEncoding:
    """The encoding of a database.

    Attributes:
        codec: Python's codec for it; None if the database can hold every character.
        counts_bytes: whether the length of a column is a number of bytes instead of characters.
    """

    codec: str | None = None
    counts_bytes: bool = False

    def text(self, text: str) -> str:
        """The text with `?` for each character that the database cannot hold."""
        return text if self.codec is None or text.isascii() else text.encode(self.codec, "replace").decode(self.codec)

    def json(self, text: str) -> str:
        """The JSON text with an escape for each character that the database cannot hold."""
        codec = self.codec
        if codec is None or text.isascii():
            return text
        return _NOT_ASCII.sub(lambda found: _escaped_unless_held(found[0], codec), text)

    def length(self, text: str) -> int:
        """The length of the text as the database counts it."""
        return len(text.encode("utf-8", "replace")) if self.counts_bytes else len(text)


UTF8 = ServerEncoding()


def encoding_of(dialect: Dialect) -> ServerEncoding:
    """The encoding of the database of this dialect's engine."""
    found: ServerEncoding = getattr(dialect, _ATTRIBUTE, UTF8)
    return found


def prepare_encoding(engine: Engine, connection: DriverConnection) -> None:
    """Prepare a new connection, and let the statements of this engine respect the encoding of the server."""
    name = connection.get_parameter_status("server_encoding") or "UTF8"
    if name == _SQL_ASCII:
        _read_leniently(connection)
    setattr(engine.dialect, _ATTRIBUTE, _encoding(name))


def _encoding(name: str) -> ServerEncoding:
    if name == _SQL_ASCII:
        return ServerEncoding(counts_bytes=True)
    if name == "UTF8":
        return UTF8
    return ServerEncoding(codec=extensions.encodings.get(name, "ascii"))


def _read_leniently(connection: DriverConnection) -> None:
    # The server converts nothing in this encoding, so UTF-8 arrives as it was sent.
    known = dict(extensions.encodings)
    with _codec_lock:
        extensions.encodings.update({_SQL_ASCII: _LENIENT_UTF8, "SQLASCII": _LENIENT_UTF8})
        try:
            connection.set_client_encoding(_SQL_ASCII)
        finally:
            extensions.encodings.update({name: known[name] for name in (_SQL_ASCII, "SQLASCII") if name in known})


def _escaped_unless_held(character: str, codec: str) -> str:
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        units = character.encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    return character


def _lenient_codec(name: str) -> codecs.CodecInfo | None:
    if name != _LENIENT_UTF8:
        return None
    return codecs.CodecInfo(
        name=name,
        encode=lambda text, _errors="strict": codecs.utf_8_encode(text, "replace"),
        decode=lambda data, _errors="strict": codecs.utf_8_decode(data, "replace", True),
    )


codecs.register(_lenient_codec)
