"""Times in a service's tables that Python cannot hold: their rows are read, listed and followed as any other."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from tests.builders import a_report, some_details
from tests.contracts.persistence_harness import an_entry
from tests.integration.conftest import PostgreSQL, as_text
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.service import ColumnTypes
from tests.integration.persistence.test_service_columns import upgraded
from tests.unit.application.conftest import World
from wes_daemon.adapters.persistence.reconcile_queries import SqlReconcileQueries
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.application.ports.checks import CHECKS, CheckContext
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.application.ports.runs import RunUpdate
from wes_daemon.domain.runs import ProviderType, RunId
from wes_daemon.domain.states import RunState

BY_KIND = {
    "sqlite": [
        "'0001-01-01T00:00:00+05:30'",
        "'9999-12-31T23:59:59-14:00'",
        "'20241-01-01 00:00:00'",
        "'infinity'",
        "'soon'",
        "''",
        "20241",
        "1.5e300",
        "x'00ff'",
    ],
    "timestamp": ["'20241-01-01 00:00:00'", "'0044-03-15 12:00:00 BC'", "'infinity'", "'-infinity'"],
    "timestamptz": [
        "'0001-01-01 00:00:00+05:30'",
        "'0001-01-01 00:00:00-08'",
        "'9999-12-31 23:59:59-14'",
        "'294276-12-31 00:00:00+00'",
        "'infinity'",
    ],
}
CASES = [(kind, literal) for kind, literals in BY_KIND.items() for literal in literals]


@pytest.fixture(scope="module")
def engine_with_zones(postgresql_server: PostgreSQL) -> Iterator[Engine]:
    """Tables of a service whose times carry their zone, in a database that shows times in India."""
    with upgraded(postgresql_server, ColumnTypes(time="TIMESTAMP WITH TIME ZONE")) as engine:
        with writing(engine) as connection:
            name = engine.url.database
            connection.execute(text(f"ALTER DATABASE {name} SET timezone = 'Asia/Kolkata'"))
            connection.commit()
        engine.dispose()
        yield engine


class OddRows:
    """A store whose service writes odd times."""

    def __init__(self, engine: Engine, literal: str) -> None:
        self.engine = engine
        self.literal = literal
        self.store = SqlHarness(engine)
        self.world = World()
        self.world.units = self.store.units
        self.daemon = self.world.daemon()

    def put(self, run_id: str, state: str) -> None:
        """A row with the odd time as its start and its end."""
        self.store.queue(run_id)
        self._execute(
            f"UPDATE workflow_runs SET state = '{state}', start_time = {self.literal}, end_time = {self.literal}"
            f" WHERE run_id = '{run_id}'"
        )

    def log_task(self, run_id: str) -> None:
        """A task log with the odd time."""
        self._execute(
            "INSERT INTO task_logs (id, run_id, name, start_time, end_time)"
            f" VALUES ('log-{run_id}', '{run_id}', 'align', {self.literal}, {self.literal})"
        )

    def stored(self, run_id: str, column: str) -> str:
        """The value as text."""
        statement = f"SELECT CAST({column} AS TEXT) FROM workflow_runs WHERE run_id = '{run_id}'"
        with self.engine.connect() as connection:
            return str(connection.execute(text(statement)).scalar_one())

    def complete(self) -> None:
        """All runs that were submitted end well."""
        for key in self.world.provider.started:
            id = self.world.provider.id_of(key)
            self.world.provider.put(id, a_report(RunState.COMPLETE, "COMPLETED"), some_details())

    def _execute(self, statement: str) -> None:
        with writing(self.engine) as connection:
            connection.execute(text(statement))
            connection.commit()


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]} {case[1]}")
def odd(request: pytest.FixtureRequest) -> OddRows:
    """One odd time in each kind of column in turn."""
    kind, literal = request.param
    if kind == "sqlite":
        engine: Engine = request.getfixturevalue("shared_sqlite_engine")
        with writing(engine) as connection:
            for table in ("task_logs", "workflow_runs", "submissions", "polls", "late_updates", "daemons"):
                connection.execute(text(f"DELETE FROM {table}"))
            connection.commit()
        return OddRows(engine, literal)
    engine = request.getfixturevalue("engine_with_zones" if kind == "timestamptz" else "shared_postgresql_engine")
    request.getfixturevalue("postgresql_server").empty(as_text(engine.url))
    return OddRows(engine, literal)


def test_a_run_with_an_odd_time_and_its_neighbour_are_started_once_and_end(odd: OddRows) -> None:
    odd.put("odd", "QUEUED")
    odd.store.queue("good")

    submitted = odd.daemon.submit()
    odd.complete()
    odd.daemon.refresh(ahead=timedelta(days=1))

    assert submitted.accepted == 2
    assert odd.stored("good", "state") == odd.stored("odd", "state") == "COMPLETE"


def test_rows_with_odd_times_are_listed_and_shown_in_any_state(odd: OddRows) -> None:
    for state in RunState:
        odd.put(f"run-{state}", state)
        odd.log_task(f"run-{state}")
    odd.store.enrol()

    listed = odd.store.queries.list(RunFilter(limit=100))
    shown = [odd.store.queries.get(record.run.id) for record in listed]

    assert {record.run.state for record in shown} == set(RunState)
    assert all(len(record.tasks) == 1 for record in shown)


def test_a_time_that_cannot_be_read_stays_in_its_row_when_the_row_is_written(odd: OddRows) -> None:
    odd.put("odd", "RUNNING")
    before = odd.stored("odd", "start_time"), odd.stored("odd", "end_time")

    with odd.store.units() as unit:
        run = unit.runs.get(RunId("odd"))
        unit.runs.write([RunUpdate(before=run, after=run.cancel_requested(), entry=an_entry(run))])
        unit.commit()

    assert odd.stored("odd", "state") == "CANCELING"
    assert (odd.stored("odd", "start_time"), odd.stored("odd", "end_time")) == before


def test_checks_and_reconciliation_read_rows_with_odd_times(odd: OddRows) -> None:
    for state in RunState:
        odd.put(f"run-{state}", state)
    odd.store.enrol()

    results = odd.store.checks.run(CheckContext(concurrency_limit=10, default_provider=ProviderType.LOCAL))
    recorded = SqlReconcileQueries(odd.engine).recorded_runs([RunId(f"run-{state}") for state in RunState])

    assert [result.check for result in results] == list(CHECKS)
    assert len(recorded) == len(RunState)


def test_a_cancelled_run_with_an_odd_time_ends(odd: OddRows) -> None:
    odd.put("odd", "CANCELING")

    report = odd.daemon.cancel()

    assert report.ended == 1
    assert odd.stored("odd", "state") == "CANCELED"
