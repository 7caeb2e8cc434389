"""One row harms only itself, whatever the tables and rows of a service are."""

import logging
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.conftest import PostgreSQL
from tests.integration.persistence.any_service import SECRET, ServedTables, Service, ServingDaemon, own_schema, services
from tests.integration.persistence.conftest import disposed
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema

_EXAMPLES = int(os.environ.get("WES_DAEMON_TEST_SERVICES", "20"))
"""How many services are tried on each kind of database; `just nightly` tries 1,000 on each."""

_ENCODINGS = ("UTF8", "LATIN1", "SQL_ASCII")
_numbers = count(1)
_any = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def databases(postgresql_server: PostgreSQL) -> Iterator[dict[str, str]]:
    """A PostgreSQL database in each encoding."""
    uris = {
        name: postgresql_server.create(f"ENCODING '{name}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        for name in _ENCODINGS
    }
    yield uris
    for uri in uris.values():
        postgresql_server.drop(uri)


@pytest.mark.timeout(300 + 10 * _EXAMPLES)
@_any
@given(service=services("sqlite"))
def test_good_rows_complete_beside_any_others_on_sqlite(
    service: Service, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    path: Path = tmp_path_factory.mktemp("service") / "runs.db"

    serve(f"sqlite:///{path}", service, caplog)


@pytest.mark.timeout(300 + 10 * _EXAMPLES)
@_any
@given(service=services("postgresql"), encoding=st.sampled_from(_ENCODINGS))
def test_good_rows_complete_beside_any_others_on_postgresql(
    service: Service, encoding: str, databases: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with own_schema(databases[encoding], next(_numbers)) as uri:
        serve(uri, service, caplog)


def serve(uri: str, service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """Serve the tables, and check that the good rows complete, each started once, and that logs tell no secret."""
    caplog.clear()
    caplog.set_level(logging.DEBUG, logger="wes_daemon")
    with disposed(make_engine(uri, connections=8)) as engine:
        tables = ServedTables(engine, service)
        tables.create()
        Schema(engine).upgrade()
        Schema(engine).check()
        tables.fill()
        daemon = ServingDaemon(uri, engine, tables)

        daemon.serve()
        daemon.read()

        daemon.close()
        assert tables.states() == dict.fromkeys(tables.good, "COMPLETE")
        assert daemon.starts == dict.fromkeys(tables.good, 1)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    assert SECRET not in caplog.text
