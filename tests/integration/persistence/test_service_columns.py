"""The contract on tables that a WES service has made with other types of columns."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine

from tests.contracts.persistence_enrolment import EnrolmentRules
from tests.contracts.persistence_runs import RunRules, StoredValueRules
from tests.integration.conftest import PostgreSQL, as_text
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.service import ColumnTypes, create_tables
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.transactions import writing


@contextmanager
def upgraded(server: PostgreSQL, types: ColumnTypes) -> Iterator[Engine]:
    """An engine on a database whose tables a service has made."""
    uri = server.create()
    engine = make_engine(uri, connections=8)
    with writing(engine) as connection:
        create_tables(connection, types)
        connection.commit()
    Schema(engine).upgrade()
    yield engine
    engine.dispose()
    server.drop(uri)


@pytest.fixture(scope="module")
def engine_on_jsonb(postgresql_server: PostgreSQL) -> Iterator[Engine]:
    """JSON in its binary form, and times that carry their zone."""
    with upgraded(postgresql_server, ColumnTypes(json="JSONB", time="TIMESTAMP WITH TIME ZONE")) as engine:
        yield engine


@pytest.fixture(scope="module")
def engine_on_text(postgresql_server: PostgreSQL) -> Iterator[Engine]:
    """Columns for JSON that hold whatever anybody wrote."""
    with upgraded(postgresql_server, ColumnTypes(json="TEXT")) as engine:
        yield engine


class TestJsonbAndTimesWithZone(EnrolmentRules, RunRules, StoredValueRules):
    """All that reads or writes the service's tables."""

    @pytest.fixture
    def store(self, engine_on_jsonb: Engine, postgresql_server: PostgreSQL) -> SqlHarness:
        postgresql_server.empty(as_text(engine_on_jsonb.url))
        return SqlHarness(engine_on_jsonb)


class TestTextForJson(StoredValueRules):
    """All that depends on what the columns can hold."""

    @pytest.fixture
    def store(self, engine_on_text: Engine, postgresql_server: PostgreSQL) -> SqlHarness:
        postgresql_server.empty(as_text(engine_on_text.url))
        return SqlHarness(engine_on_text, json_is_text=True)
