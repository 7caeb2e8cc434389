"""Real databases for the integration tests: SQLite files, and a PostgreSQL server for the whole session.

Creating and dropping a PostgreSQL database costs more than most tests: those that only need the tables share one,
which is emptied before each; those that change tables have one of their own.

`TEST_DATABASE_URI` names another PostgreSQL server, as a role that may create databases.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection as Session  # noqa: N812 - the driver's name is no class's
from sqlalchemy import URL, make_url

from tests.integration.persistence.server import PostgreSQLServer
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.tables import daemon_metadata

_numbers = count(1)


class PostgreSQL:
    """Databases on one server."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._emptying: dict[str, Session] = {}

    def create(self, options: str = "") -> str:
        """The URI of a new database without any table, made with options of CREATE DATABASE."""
        name = f"wes_test_{os.getpid()}_{next(_numbers)}"
        self._once(f"CREATE DATABASE {name} {options}")
        return as_text(make_url(self._server).set(database=name))

    def drop(self, uri: str) -> None:
        """Delete the database, whoever is connected."""
        self._once(f"DROP DATABASE IF EXISTS {make_url(uri).database} WITH (FORCE)")

    def empty(self, uri: str, service_tables: str = "workflow_runs, task_logs") -> None:
        """Delete all rows, of whatever table.

        Args:
            service_tables: the tables of the service, where `workflow_runs` and `task_logs` are views over them.
        """
        # Truncating costs a file per index, but only that makes rows lie in the order of their insertion again.
        deletions = "; ".join(f"DELETE FROM {table.name}" for table in daemon_metadata.sorted_tables)
        # One session does it for all tests: to begin one costs the server as much as the rest.
        if uri not in self._emptying:
            self._emptying[uri] = self._session(uri)
            self._execute(self._emptying[uri], "SET lock_timeout = '60s'")
        self._execute(self._emptying[uri], f"TRUNCATE {service_tables}; {deletions}")

    def close(self) -> None:
        """End all sessions."""
        for session in self._emptying.values():
            session.close()

    def _once(self, statement: str) -> None:
        with closing(self._session(self._server)) as session:
            self._execute(session, statement)

    def _session(self, uri: str) -> Session:
        session = psycopg2.connect(as_text(make_url(uri).set(drivername="postgresql")))
        session.autocommit = True
        return session

    def _execute(self, session: Session, statement: str) -> None:
        with session.cursor() as cursor:
            cursor.execute(statement)


def as_text(url: URL) -> str:
    """The URI with its password."""
    return url.render_as_string(hide_password=False)


@dataclass(frozen=True)
class Database:
    """A database of a test's own."""

    kind: str
    uri: str


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """A server that is there for the whole session; nothing of it is left behind."""
    given = os.environ.get("TEST_DATABASE_URI")
    started = None if given else PostgreSQLServer()
    try:
        if started is not None:
            started.start()
        server = PostgreSQL(started.uri() if started is not None else given or "")
        yield server
        server.close()
    finally:
        if started is not None:
            started.remove()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that is up to date."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    _upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def shared_postgresql(postgresql_server: PostgreSQL) -> Iterator[str]:
    """The URI of the database that is up to date and that many tests use in turn."""
    uri = postgresql_server.create()
    _upgrade(uri)
    yield uri
    postgresql_server.drop(uri)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An up-to-date database without rows, on each kind of database in turn. Its tables must stay as they are."""
    if request.param == "sqlite":
        path = tmp_path / "runs.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return Database("sqlite", f"sqlite:///{path}")
    uri = request.getfixturevalue("shared_postgresql")
    request.getfixturevalue("postgresql_server").empty(uri)
    return Database("postgresql", uri)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A new database without any table, on each kind of database in turn."""
    if request.param == "sqlite":
        yield Database("sqlite", f"sqlite:///{tmp_path / 'empty.db'}")
        return
    server: PostgreSQL = request.getfixturevalue("postgresql_server")
    uri = server.create()
    yield Database("postgresql", uri)
    server.drop(uri)


def _upgrade(uri: str) -> None:
    engine = make_engine(uri, connections=1)
    Schema(engine).upgrade()
    engine.dispose()
