"""Engines on the databases of the integration tests, and the harness of the persistence contract."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine

from tests.integration.conftest import Database
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.engine import make_engine


@pytest.fixture
def engine(request: pytest.FixtureRequest, database: Database) -> Iterator[Engine]:
    """An engine on an up-to-date database; whoever used it gave every connection back."""
    if database.kind == "sqlite":
        with disposed(make_engine(database.uri, connections=20)) as engine, without_leaks(engine):
            yield engine
    else:
        with without_leaks(request.getfixturevalue("shared_engine")) as engine:
            yield engine


@pytest.fixture(scope="session")
def shared_engine(shared_postgresql: str) -> Iterator[Engine]:
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
