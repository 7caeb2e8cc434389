"""Databases to measure on: up to date, empty, and as durable as in earnest."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Self

from sqlalchemy import Engine, text

from tests.integration.conftest import PostgreSQL
from tests.integration.persistence.server import PostgreSQLServer
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema

POSTGRESQL, SQLITE = "PostgreSQL", "SQLite"
KINDS = (POSTGRESQL, SQLITE)

# A commit is on the disk when it is confirmed; checkpoints do not come in the middle of a measurement.
SETTINGS = (
    *("timezone=UTC", "fsync=on", "full_page_writes=on", "synchronous_commit=on"),
    *("shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=1h"),
)


class DurableServer(PostgreSQLServer):
    """A server that is set up as in earnest, where those of the tests are set up to be fast."""

    def _arguments(self) -> Iterator[str | Path]:
        yield from super()._arguments()
        for setting in SETTINGS:
            yield from ("-c", setting)


class Databases:
    """Databases, one after another; a server and a template are made when they are first needed."""

    def __init__(self, directory: Path, server: PostgreSQL | None = None) -> None:
        """Make nothing yet; `server` is one that is there already."""
        self._directory = directory
        self._given = server
        self._kept = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    @contextmanager
    def open(self, kind: str) -> Iterator[str]:
        """The URI of a database that is up to date and holds no rows; it is deleted afterwards."""
        with self._sqlite() if kind == SQLITE else self._postgresql() as uri:
            yield uri

    @contextmanager
    def empty(self) -> Iterator[str]:
        """The URI of a PostgreSQL database without any table."""
        uri = self._server.create()
        try:
            yield uri
        finally:
            self._server.drop(uri)

    def version(self) -> str:
        """Of the PostgreSQL server."""
        with self.empty() as uri, engine_on(uri) as engine, engine.connect() as connection:
            return str(connection.execute(text("SHOW server_version")).scalar_one()).partition(" ")[0]

    @contextmanager
    def _postgresql(self) -> Iterator[str]:
        with self.empty() as uri:
            _upgrade(uri)
            yield uri

    @contextmanager
    def _sqlite(self) -> Iterator[str]:
        path = self._directory / "runs.db"
        shutil.copy(self._template, path)
        try:
            yield f"sqlite:///{path}"
        finally:
            for part in self._directory.glob(f"{path.name}*"):
                part.unlink()

    @cached_property
    def _server(self) -> PostgreSQL:
        if self._given is not None:
            return self._given
        server = DurableServer()
        self._kept.callback(server.remove)
        server.start()
        return PostgreSQL(server.uri())

    @cached_property
    def _template(self) -> Path:
        path = self._directory / "template.db"
        _upgrade(f"sqlite:///{path}")
        return path


@contextmanager
def engine_on(uri: str) -> Iterator[Engine]:
    """Connections as the daemon makes them; none is left."""
    engine = make_engine(uri, connections=2)
    try:
        yield engine
    finally:
        engine.dispose()


def _upgrade(uri: str) -> None:
    with engine_on(uri) as engine:
        Schema(engine).upgrade()
