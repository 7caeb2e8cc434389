"""A service that ends, deletes, replaces and moves rows: what counts as a deletion, and which hints there are."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from tests.builders import ALL_PROVIDERS
from tests.contracts.persistence_harness import ServiceRow
from tests.contracts.wakeup import listening
from tests.integration.conftest import Database, PostgreSQL
from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.change_feed import DatabaseChangeFeed
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.migrations.versions import r0005_any_service
from wes_daemon.adapters.persistence.schema import Schema, _config
from wes_daemon.adapters.persistence.tables import daemon_metadata
from wes_daemon.adapters.persistence.transactions import upgrading, writing
from wes_daemon.adapters.persistence.work_probe import SqlWorkProbe
from wes_daemon.domain.runs import RunId

_COLUMNS = "(run_id, state, workflow_type, workflow_type_version, workflow_url)"
_VALUES = "('run-1', 'RUNNING', 'CWL', 'v1.2', 'file:///echo.cwl')"


def execute(engine: Engine, *statements: str) -> None:
    """A service executes statements in one transaction."""
    with writing(engine) as connection:
        for statement in statements:
            connection.execute(text(statement))
        connection.commit()


def deletions(store: SqlHarness) -> list[str]:
    """The runs that count as deleted, by the probe and by the pass."""
    is_found = SqlWorkProbe(store.engine).has_interrupted_runs(serving=ALL_PROVIDERS)
    with store.units() as unit:
        deleted = list(unit.polls.deleted())
    assert is_found == bool(deleted)
    return [str(run_id) for run_id in deleted]


def test_a_row_that_is_deleted_and_inserted_again_in_one_transaction_is_not_deleted(store: SqlHarness) -> None:
    store.accepted("run-1")

    execute(store.engine, "DELETE FROM workflow_runs", f"INSERT INTO workflow_runs {_COLUMNS} VALUES {_VALUES}")

    assert deletions(store) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_row_that_sqlite_replaces_is_not_deleted(store: SqlHarness) -> None:
    store.accepted("run-1")

    execute(store.engine, f"REPLACE INTO workflow_runs {_COLUMNS} VALUES {_VALUES}")

    assert deletions(store) == []


def test_a_deletion_that_is_not_committed_is_no_deletion(store: SqlHarness) -> None:
    if store.engine.dialect.name == "sqlite":
        pytest.skip("a unit of work would wait for the lock of the file")
    store.accepted("run-1")

    with writing(store.engine) as connection:
        connection.execute(text("DELETE FROM workflow_runs"))

        assert deletions(store) == []


def test_a_row_without_a_state_is_not_deleted(empty_engine: Engine) -> None:
    Schema(empty_engine).upgrade()
    store = SqlHarness(empty_engine)
    store.accepted("run-1")
    if empty_engine.dialect.name == "postgresql":
        execute(empty_engine, "ALTER TABLE workflow_runs ALTER state DROP NOT NULL")
        execute(empty_engine, "UPDATE workflow_runs SET state = NULL")
    else:
        execute(empty_engine, "UPDATE workflow_runs SET state = ''")

    assert deletions(store) == []


def test_a_truncated_table_is_found_and_can_be_told_from_one_deleted_row(store: SqlHarness) -> None:
    store.accepted("run-1", "run-2")

    execute(store.engine, "DELETE FROM workflow_runs")

    assert sorted(deletions(store)) == ["run-1", "run-2"]
    with store.units() as unit:
        assert unit.runs.is_empty()


class TestHintsOfPostgreSQL:
    """SQLite reports every commit."""

    pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

    @pytest.fixture
    def feed(self, engine: Engine, database: Database) -> DatabaseChangeFeed:
        del engine
        return DatabaseChangeFeed(make_engine(database.uri, connections=1))

    def test_a_run_that_the_daemon_ends_leads_to_no_hint(self, store: SqlHarness, feed: DatabaseChangeFeed) -> None:
        store.accepted("run-1")
        with listening(feed) as hints:
            hints.expect()
            with store.units() as unit:
                unit.runs.get(RunId("run-1"))
                unit.polls._connection.execute(text("UPDATE workflow_runs SET state = 'COMPLETE'"))
                unit.commit()

            assert hints.has_no_more()

    @pytest.mark.parametrize("statement", ["DELETE FROM workflow_runs", "UPDATE workflow_runs SET state = 'CANCELED'"])
    def test_what_a_service_does_to_runs_that_have_ended_leads_to_no_hint(
        self, store: SqlHarness, feed: DatabaseChangeFeed, statement: str
    ) -> None:
        store.put(ServiceRow(run_id="run-1", state="COMPLETE"))
        with listening(feed) as hints:
            hints.expect()
            execute(store.engine, statement)

            assert hints.has_no_more()

    def test_many_rows_that_are_deleted_in_one_commit_lead_to_one_hint(
        self, store: SqlHarness, feed: DatabaseChangeFeed
    ) -> None:
        store.queue(*(f"run-{number}" for number in range(50)))
        with listening(feed) as hints:
            hints.expect()
            execute(store.engine, "DELETE FROM workflow_runs")
            hints.expect()

            assert hints.has_no_more()


@pytest.fixture
def postgresql(postgresql_server: PostgreSQL) -> Iterator[Engine]:
    """An engine on an up-to-date database of its own."""
    uri = postgresql_server.create()
    with disposed(make_engine(uri, connections=5)) as engine:
        Schema(engine).upgrade()
        yield engine
    postgresql_server.drop(uri)


def test_no_statement_of_a_service_fails_because_of_the_triggers(postgresql: Engine) -> None:
    """Neither a role that may use nothing of the daemon nor the loss of all tables of the daemon matters."""
    SqlHarness(postgresql).queue("run-1", "run-2")
    execute(
        postgresql,
        *(f"DROP TABLE {table.name}" for table in daemon_metadata.sorted_tables),
        "DO $$ BEGIN CREATE ROLE wes_service; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "REVOKE ALL ON FUNCTION wes_daemon_announce() FROM PUBLIC",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON workflow_runs TO wes_service",
    )

    execute(
        postgresql,
        "SET LOCAL ROLE wes_service",
        "SET LOCAL search_path = pg_catalog",
        "UPDATE public.workflow_runs SET state = 'CANCELED' WHERE run_id = 'run-1'",
        "DELETE FROM public.workflow_runs",
    )

    with postgresql.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM workflow_runs")).scalar() == 0
    execute(postgresql, "DROP OWNED BY wes_service", "DROP ROLE wes_service")


def test_a_database_of_the_version_before_is_upgraded_with_its_polls(empty_engine: Engine) -> None:
    from alembic import command

    with upgrading(empty_engine) as connection:
        command.upgrade(_config(connection=connection), r0005_any_service.down_revision)
        connection.execute(
            text(
                "INSERT INTO polls (run_id, provider, provider_run_id, next_check_at, poll_seq, known_state,"
                " details_failures) VALUES ('run-1', 'local', 'at-run-1', '2026-01-01T12:00:00.000000+00:00', 0,"
                " 'RUNNING', 0)"
            )
        )
        connection.commit()

    Schema(empty_engine).upgrade()

    Schema(empty_engine).check()
    store = SqlHarness(empty_engine)
    assert deletions(store) == ["run-1"]
    assert Schema(empty_engine).missing_objects() == []
