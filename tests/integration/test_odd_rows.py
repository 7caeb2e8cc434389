"""A real daemon on tables in which one row refuses, one is locked and one has odd times: all others complete."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from psycopg2 import connect
from sqlalchemy import Engine

from tests.integration.conftest import Database
from tests.integration.test_end_to_end import MOSTLY_POSTGRESQL, Site, _lines, _until
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema

REFUSING = {
    "sqlite": [
        "CREATE TRIGGER refuse BEFORE UPDATE ON workflow_runs WHEN instr(OLD.workflow_params, 'refused')"
        " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF strpos(OLD.workflow_params::text, 'refused') > 0 THEN RAISE EXCEPTION 'not this one'; END IF;"
        " RETURN NEW; END $$",
        "CREATE TRIGGER refuse BEFORE UPDATE ON workflow_runs FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
}
ODD_TIME = {"sqlite": "20241-01-01 00:00:00", "postgresql": "infinity"}


@pytest.fixture
def site(empty_database: Database, tmp_path: Path) -> Iterator[Site]:
    """A site on a database whose rows refuse changes if their parameters say so."""
    engine = make_engine(empty_database.uri, connections=1)
    Schema(engine).upgrade()
    _execute(engine, *REFUSING[empty_database.kind])
    engine.dispose()
    site = Site(tmp_path, empty_database.uri)
    yield site
    for daemon in site.daemons:
        daemon.kill()
        daemon.wait()
    for process in site.processes():
        process.kill()
    site.application.close()


def _execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize("empty_database", MOSTLY_POSTGRESQL, indirect=True)
def test_a_daemon_completes_all_runs_beside_rows_that_are_odd(site: Site, empty_database: Database) -> None:
    ledger = site.directory / "ledger"
    names = ["refused", "locked", "odd-time", "good-1", "good-2"]
    for name in names:
        site.queue("counted.cwl", ledger=str(ledger), line=name)
    service = make_engine(empty_database.uri, connections=1)
    place = (
        "strpos(workflow_params::text, '{}')" if empty_database.kind == "postgresql" else "instr(workflow_params, '{}')"
    )
    odd_time = f"start_time = '{ODD_TIME[empty_database.kind]}'"
    _execute(service, f"UPDATE workflow_runs SET {odd_time} WHERE {place.format('odd-time')} > 0")
    trigger = "DROP TRIGGER refuse" + (" ON workflow_runs" if empty_database.kind == "postgresql" else "")

    # Of a SQLite file nothing is locked but the whole.
    lock = f"SELECT 1 FROM workflow_runs WHERE {place.format('locked')} > 0 FOR UPDATE"
    with _session(empty_database, lock) as locked:
        site.start_daemon()
        _until(lambda: site.states()["COMPLETE"] == 4 - locked and len(_lines(ledger)) == len(names), site)
    _execute(service, trigger)
    service.dispose()
    _until(lambda: site.states()["COMPLETE"] == 5, site)

    assert sorted(_lines(ledger)) == sorted(names)
    log = site.log()
    assert "Traceback" not in log
    assert "bug " not in log
    assert "database.unavailable" not in log
    assert log.count(" run.refused ") <= 2
    # On a busy machine the daemon's own threads may keep other rows locked for a moment.
    locked_runs = re.findall(r" run\.locked run_id=(\S+)", log)
    assert len(locked_runs) == len(set(locked_runs))


@contextmanager
def _session(database: Database, statement: str) -> Iterator[int]:
    """Execute the statement in a transaction of another session on PostgreSQL; return how many rows it locks."""
    if database.kind == "sqlite":
        yield 0
        return
    with closing(connect(database.uri)) as session:
        session.cursor().execute(statement)
        yield 1
