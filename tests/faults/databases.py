"""A database for one campaign: up to date, empty, and of either kind."""

import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from tests.integration.conftest import PostgreSQL, as_text
from tests.integration.persistence.proxy import Proxy
from tests.integration.persistence.server import PostgreSQLServer
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema

SQLITE, POSTGRESQL = "sqlite", "postgresql"

# A server that is stopped at once must know all that it has confirmed; the tests' servers are set up to be fast.
_CONFIRM = "-csynchronous_commit=on"
# Whoever plays the service must not wait for a daemon that was stopped in the middle of a transaction.
_PATIENCE_SECONDS = 1


class Busy(Exception):
    """The database is away, or somebody keeps what is asked for locked."""


class Server(PostgreSQLServer):
    """A PostgreSQL server that can be made to crash."""

    @property
    def socket(self) -> str:
        """The path at which it listens."""
        return f"{self._folder}/.s.PGSQL.5432"

    def crash(self) -> None:
        """Stop it without a word to anybody; what it has confirmed it finds again."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        self.stop()


@dataclass(frozen=True)
class CampaignDatabase:
    """Where the runs of one campaign lie, read and written as a WES service and a judge do.

    Attributes:
        uri: as the daemons are told.
        server: the PostgreSQL server, where this campaign has one of its own.
        proxy: what stands between the daemons and the server, where something does.
    """

    kind: str
    uri: str
    engine: Engine
    server: Server | None = None
    proxy: Proxy | None = None

    def rows(self, statement: str, **values: object) -> Sequence[Any]:
        """What a query finds; raises `Busy`."""
        with _within_patience(), self.engine.connect() as connection:
            return connection.execute(text(statement), values).all()

    def write(self, statement: str, *values: Mapping[str, object]) -> int:
        """Make a change, for each of `values` where there are any; returns how many rows it concerned.

        Raises:
            Busy: nothing was changed.
        """
        with _within_patience(), self.engine.begin() as connection:
            return connection.execute(text(statement), list(values) or None).rowcount

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.uri.removeprefix("sqlite:///"))


class Databases:
    """Databases for many campaigns, one after another; a server and a template are made when they are first needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    @contextmanager
    def open(
        self, kind: str, directory: Path, *, own_server: bool = False, proxied: bool = False
    ) -> Iterator[CampaignDatabase]:
        """A database of this kind, without rows.

        Args:
            directory: where a SQLite file is put.
            own_server: whether it may be made to crash: nobody else has a database on the same server.
            proxied: whether daemons reach it through something that may lose what it carries.
        """
        if kind == SQLITE:
            shutil.copy(self._template, directory / "runs.db")
            yield _opened(kind, f"sqlite:///{directory / 'runs.db'}")
        elif own_server:
            with _running(Server()) as server, _on(server) as opened:
                yield replace(opened, server=server)
        else:
            with (
                _on(self._server) as opened,
                _proxied(opened, self._server) if proxied else nullcontext(opened) as seen,
            ):
                yield seen

    @cached_property
    def _server(self) -> Server:
        return self._kept.enter_context(_running(Server()))

    @cached_property
    def _template(self) -> Path:
        path = self._directory / "template.db"
        _upgrade(f"sqlite:///{path}")
        return path


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.remove()


@contextmanager
def _on(server: Server) -> Iterator[CampaignDatabase]:
    databases = PostgreSQL(server.uri())
    uri = databases.create()
    _upgrade(uri)
    yield _opened(POSTGRESQL, with_options(uri, _CONFIRM))
    databases.drop(uri)


@contextmanager
def _proxied(opened: CampaignDatabase, server: Server) -> Iterator[CampaignDatabase]:
    proxy = Proxy(server.socket)
    reached = make_url(opened.uri).set(host="127.0.0.1", port=proxy.port).difference_update_query(["host"])
    try:
        yield replace(opened, uri=as_text(reached), proxy=proxy)
    finally:
        proxy.close()


def _opened(kind: str, uri: str) -> CampaignDatabase:
    if kind == SQLITE:
        engine = create_engine(uri, poolclass=NullPool, connect_args={"timeout": _PATIENCE_SECONDS})
    else:
        patient = with_options(uri, f"{_CONFIRM} -clock_timeout={_PATIENCE_SECONDS}s")
        engine = create_engine(make_url(patient).set(drivername="postgresql+psycopg2"), poolclass=NullPool)
    return CampaignDatabase(kind, uri, engine)


def with_options(uri: str, options: str) -> str:
    """The URI of a PostgreSQL database with these settings of the session."""
    return as_text(make_url(uri).update_query_dict({"options": options}))


@contextmanager
def _within_patience() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise Busy(str(error)) from error


def _upgrade(uri: str) -> None:
    engine = make_engine(uri, connections=1)
    Schema(engine).upgrade()
    engine.dispose()
