"""Databases for measurements: with the current schema, empty, and as durable as in production."""

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

# A confirmed commit is on the disk; no checkpoint happens during a measurement.
SETTINGS = (
    *("timezone=UTC", "fsync=on", "full_page_writes=on", "synchronous_commit=on"),
    *("shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=1h"),
)


class DurableServer(PostgreSQLServer):
    """A server with the durability of production; the servers of the tests are configured for speed."""

    def _arguments(self) -> Iterator[str | Path]:
        yield from super()._arguments()
        for setting in SETTINGS:
            yield from ("-c", setting)


class Databases:
    """Databases, one after another; server and template are created when they are first needed."""

    def __init__(self, directory: Path, server: PostgreSQL | None = None) -> None:
        """Use `server` if one is given; otherwise start one when it is needed."""
        self._directory = directory
        self._given_server = server
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @contextmanager
    def open(self, kind: str) -> Iterator[str]:
        """Return the URI of a database with the current schema and without rows, which is deleted after the block."""
        with self._sqlite() if kind == SQLITE else self._postgresql() as uri:
            yield uri

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Return the URI of a PostgreSQL database without tables."""
        uri = self._server.create()
        try:
            yield uri
        finally:
            self._server.drop(uri)

    def version(self) -> str:
        """Return the version of the PostgreSQL server."""
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
        if self._given_server is not None:
            return self._given_server
        server = DurableServer()
        self._resources.callback(server.remove)
        server.start()
        return PostgreSQL(server.uri())

    @cached_property
    def _template(self) -> Path:
        path = self._directory / "template.db"
        _upgrade(f"sqlite:///{path}")
        return path


@contextmanager
def engine_on(uri: str) -> Iterator[Engine]:
    """Return an engine like the daemon's, which is disposed after the block."""
    engine = make_engine(uri, connections=2)
    try:
        yield engine
    finally:
        engine.dispose()


def _upgrade(uri: str) -> None:
    with engine_on(uri) as engine:
        Schema(engine).upgrade()
