"""The daemon's indexes and triggers on the service's tables: which are missing, and that they are created again."""

from collections.abc import Iterator, Mapping

import pytest
from sqlalchemy import Connection, Engine, text

from tests.integration.conftest import PostgreSQL
from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.service import create_tables
from wes_daemon.adapters.persistence import service_objects
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.service_objects import INDEXES, TRIGGERS
from wes_daemon.adapters.persistence.transactions import writing

_TABLES = "('workflow_runs', 'task_logs')"
_TRIGGERS = "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname LIKE 'wes_daemon%'"
_INDEXES = f"SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'wes_daemon%' AND tablename IN {_TABLES}"
_IN_SQLITE = f"SELECT name, sql FROM sqlite_master WHERE name LIKE 'wes_daemon%' AND tbl_name IN {_TABLES}"


def names(engine: Engine) -> list[str]:
    """All that the tables must have on this kind of database."""
    return [each.name for each in (*INDEXES, *(TRIGGERS if engine.dialect.name == "postgresql" else ()))]


def definitions(connection: Connection) -> Mapping[str, str]:
    """How the database defines each of them, with one blank between two words."""
    queries = [_IN_SQLITE] if connection.dialect.name == "sqlite" else [_INDEXES, _TRIGGERS]
    rows = [row for query in queries for row in connection.execute(text(query)).all()]
    return {name: " ".join(definition.split()) for name, definition in rows}


def execute(engine: Engine, *statements: str) -> None:
    """A service executes statements, and commits."""
    with writing(engine) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        connection.commit()


def drop_all(engine: Engine) -> None:
    """A service removes what it does not know."""
    execute(engine, *(f"DROP INDEX {each.name}" for each in INDEXES))
    if engine.dialect.name == "postgresql":
        execute(engine, *(f"DROP TRIGGER {each.name} ON workflow_runs" for each in TRIGGERS))


def test_after_an_upgrade_nothing_is_missing(engine: Engine) -> None:
    assert Schema(engine).missing_objects() == []


def test_all_that_the_migrations_create_on_the_tables_of_a_service_is_known(engine: Engine) -> None:
    with engine.connect() as connection:
        created = definitions(connection)

    assert set(created) == set(names(engine))


def test_a_database_without_tables_lacks_nothing(empty_engine: Engine) -> None:
    assert Schema(empty_engine).missing_objects() == []


def test_what_a_service_has_removed_is_named_and_created_again_as_the_migrations_created_it(
    empty_engine: Engine,
) -> None:
    schema = Schema(empty_engine)
    schema.upgrade()
    with empty_engine.connect() as connection:
        before = definitions(connection)
    drop_all(empty_engine)

    missing = schema.missing_objects()
    schema.upgrade()

    assert missing == names(empty_engine)
    assert schema.missing_objects() == []
    with empty_engine.connect() as connection:
        assert definitions(connection) == before


def test_a_service_that_drops_and_creates_its_tables_gets_them_again(empty_engine: Engine) -> None:
    schema = Schema(empty_engine)
    schema.upgrade()
    execute(empty_engine, "DROP TABLE task_logs", "DROP TABLE workflow_runs")
    with writing(empty_engine) as connection:
        create_tables(connection)
        connection.commit()

    missing = schema.missing_objects()
    schema.upgrade()

    assert missing == names(empty_engine)
    assert schema.missing_objects() == []


@pytest.fixture
def postgresql(postgresql_server: PostgreSQL) -> Iterator[Engine]:
    """An engine on an up-to-date database of its own."""
    uri = postgresql_server.create()
    with disposed(make_engine(uri, connections=5)) as engine:
        Schema(engine).upgrade()
        yield engine
    postgresql_server.drop(uri)


def test_the_function_of_the_triggers_is_created_again_too(postgresql: Engine) -> None:
    execute(postgresql, "DROP FUNCTION wes_daemon_announce() CASCADE")

    Schema(postgresql).upgrade()

    assert Schema(postgresql).missing_objects() == []


def test_a_view_in_the_place_of_a_table_lacks_nothing_and_does_not_stop_an_upgrade(postgresql: Engine) -> None:
    schema = Schema(postgresql)
    schema.upgrade()
    drop_all(postgresql)
    execute(
        postgresql,
        "ALTER TABLE workflow_runs RENAME TO their_runs",
        "CREATE VIEW workflow_runs AS SELECT * FROM their_runs",
    )

    schema.upgrade()

    # Only a table can lack them.
    assert schema.missing_objects() == []


def test_a_role_that_does_not_own_the_table_goes_on_without_them(postgresql: Engine) -> None:
    drop_all(postgresql)
    execute(
        postgresql,
        "DO $$ BEGIN CREATE ROLE wes_guest; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO wes_guest",
    )

    with writing(postgresql) as connection:
        connection.execute(text("SET LOCAL ROLE wes_guest"))
        service_objects.create_missing(connection)
        connection.commit()

    assert Schema(postgresql).missing_objects() == names(postgresql)
    execute(postgresql, "DROP OWNED BY wes_guest", "DROP ROLE wes_guest")


def test_a_partitioned_table_has_all_of_them(postgresql: Engine) -> None:
    execute(
        postgresql,
        "ALTER TABLE workflow_runs RENAME TO unpartitioned",
        "CREATE TABLE workflow_runs (LIKE unpartitioned) PARTITION BY LIST (state)",
        "CREATE TABLE runs_waiting PARTITION OF workflow_runs FOR VALUES IN ('QUEUED')",
        "CREATE TABLE runs_others PARTITION OF workflow_runs DEFAULT",
        "DROP TABLE unpartitioned CASCADE",
    )

    Schema(postgresql).upgrade()

    assert Schema(postgresql).missing_objects() == []
    # A row that moves to another partition is deleted in one and inserted in the other.
    execute(
        postgresql,
        "INSERT INTO workflow_runs (run_id, state, workflow_type, workflow_type_version, workflow_url)"
        " VALUES ('run-1', 'QUEUED', 'CWL', 'v1.2', 'file:///echo.cwl')",
        "UPDATE workflow_runs SET state = 'CANCELED'",
        "DELETE FROM workflow_runs",
    )
