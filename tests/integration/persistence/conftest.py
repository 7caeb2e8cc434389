"""Engines on the databases of the integration tests, and the harness of the persistence contract."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.integration.conftest import Database
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.tables import daemon_metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """An up-to-date database without rows, on each kind of database in turn. Its tables must stay as they are.

    Tests in this folder share one database of each kind, and so the engines on them.
    """
    if request.param == "sqlite":
        path: Path = request.getfixturevalue("shared_sqlite")
        _empty(path)
        return Database("sqlite", f"sqlite:///{path}")
    uri: str = request.getfixturevalue("shared_postgresql")
    request.getfixturevalue("postgresql_server").empty(uri)
    return Database("postgresql", uri)


@pytest.fixture
def engine(request: pytest.FixtureRequest, database: Database) -> Iterator[Engine]:
    """An engine on an up-to-date database; whoever used it gave every connection back."""
    with without_leaks(request.getfixturevalue(f"shared_{database.kind}_engine")) as engine:
        yield engine


@pytest.fixture(scope="session")
def shared_sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that is up to date and that many tests use in turn."""
    return Path(shutil.copy(sqlite_template, tmp_path_factory.mktemp("shared") / "runs.db"))


@pytest.fixture(scope="session")
def shared_sqlite_engine(shared_sqlite: Path) -> Iterator[Engine]:
    """One engine for all tests that share a database: it remembers the statements that it has compiled."""
    with disposed(make_engine(f"sqlite:///{shared_sqlite}", connections=20)) as engine:
        yield engine


@pytest.fixture(scope="session")
def shared_postgresql_engine(shared_postgresql: str) -> Iterator[Engine]:
    """One engine for all tests that share a database: it remembers the statements that it has compiled."""
    with disposed(make_engine(shared_postgresql, connections=20)) as engine:
        yield engine


@pytest.fixture
def empty_engine(empty_database: Database) -> Iterator[Engine]:
    """An engine on a database without any table; whoever used it gave every connection back."""
    with disposed(make_engine(empty_database.uri, connections=20)) as engine, without_leaks(engine):
        yield engine


@pytest.fixture
def store(engine: Engine) -> SqlHarness:
    """An empty store."""
    return SqlHarness(engine)


def _empty(path: Path) -> None:
    """Delete all rows, of whatever table."""
    with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
        for name in ("workflow_runs", "task_logs", *daemon_metadata.tables):
            connection.execute(f"DELETE FROM {name}")


@contextmanager
def disposed(engine: Engine) -> Iterator[Engine]:
    """Close all connections at the end."""
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def without_leaks(engine: Engine) -> Iterator[Engine]:
    """Fail where a connection was not given back."""
    yield engine
    assert engine.pool.checkedout() == 0, "a connection was not given back"  # type: ignore[attr-defined]
