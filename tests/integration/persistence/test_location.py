"""In which schema tables are found and created, and when the daemon creates none."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, make_url, text

from tests.contracts.persistence import PersistenceContract
from tests.integration.conftest import Database, PostgreSQL, as_text
from tests.integration.persistence.conftest import disposed, without_leaks
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.service import create_tables, queue_runs
from tests.integration.persistence.test_schema import service_of, tables_in
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.location import VERSION_TABLE
from wes_daemon.adapters.persistence.queries import SqlRunQueries
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.tables import daemon_metadata, service_metadata
from wes_daemon.application.ports.errors import ServiceTablesMissing, StorageMisconfigured
from wes_daemon.application.ports.queries import RunFilter

on_postgresql = pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)

OURS = {*daemon_metadata.tables, VERSION_TABLE}
SERVICES = set(service_metadata.tables)
ROLE = "wes_newcomer"
PAGE = Path(__file__).parents[3] / "docs" / "database.md"


@pytest.fixture
def engines(empty_database: Database) -> Iterator["Engines"]:
    """Engines on a PostgreSQL database without tables."""
    engines = Engines(empty_database.uri)
    yield engines
    engines.dispose()


class Engines:
    """Engines on one database: with a search path, a role, or a schema for the daemon's tables."""

    def __init__(self, uri: str) -> None:
        self._url = make_url(uri)
        self._made: list[Engine] = []
        self.owner = self.make()

    def make(self, *, path: str | None = None, schema: str | None = None, role: str | None = None) -> Engine:
        url = self._url.set(username=role) if role else self._url
        url = url.update_query_dict({"options": f"-csearch_path={path}"}) if path else url
        engine = make_engine(as_text(url), connections=2, daemon_schema=schema)
        self._made.append(engine)
        return engine

    def dispose(self) -> None:
        for engine in self._made:
            engine.dispose()

    def execute(self, *statements: str) -> None:
        with service_of(self.owner) as connection:
            for statement in statements:
                connection.execute(text(statement))

    def tables(self, schema: str) -> set[str]:
        query = text(
            "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(:schema)) AND relkind = 'r'"
        )
        with self.owner.connect() as connection:
            return set(connection.execute(query, {"schema": schema}).scalars())


def install_service(connection: Connection, schema: str, *ids: str) -> None:
    """A service's tables in a schema, with queued runs."""
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    connection.execute(text(f"SET LOCAL search_path = {schema}"))
    create_tables(connection)
    if ids:
        queue_runs(connection, ids)


def listed(engine: Engine) -> list[str]:
    return [record.run.id for record in SqlRunQueries(engine).list(RunFilter())]


@on_postgresql
def test_found_tables_in_a_later_schema_of_the_search_path_are_not_hidden_by_empty_ones(engines: Engines) -> None:
    engines.execute("CREATE SCHEMA daemon")
    with service_of(engines.owner) as connection:
        install_service(connection, "wes", "run-1")
    engine = engines.make(path="daemon,wes")

    Schema(engine).upgrade()

    Schema(engine).check()
    assert listed(engine) == ["run-1"]
    assert engines.tables("daemon") == OURS
    assert engines.tables("wes") == SERVICES | {"alembic_version"}


@on_postgresql
def test_the_printed_statements_find_tables_in_a_later_schema_too(engines: Engines) -> None:
    engines.execute("CREATE SCHEMA daemon")
    with service_of(engines.owner) as connection:
        install_service(connection, "wes", "run-1")
    engine = engines.make(path="daemon,wes")

    _execute_script(engine, Schema(engine).upgrade_sql())

    Schema(engine).check()
    assert engines.tables("daemon") == OURS


@on_postgresql
def test_views_of_a_service_in_a_later_schema_are_found_and_not_indexed(engines: Engines) -> None:
    engines.execute("CREATE SCHEMA daemon", "CREATE SCHEMA shown")
    with service_of(engines.owner) as connection:
        install_service(connection, "wes", "run-1")
        for table in SERVICES:
            connection.execute(text(f"CREATE VIEW shown.{table} AS SELECT * FROM wes.{table}"))
    engine = engines.make(path="daemon,shown")

    Schema(engine).upgrade()

    Schema(engine).check()
    assert engines.tables("daemon") == OURS


@on_postgresql
@pytest.mark.parametrize("type_", ["VARCHAR(64)", "UUID", "BIGINT"])
def test_task_logs_that_are_created_beside_a_services_runs_do_not_keep_it_from_deleting_them(
    engines: Engines, type_: str
) -> None:
    with service_of(engines.owner) as connection:
        create_tables(connection)
        connection.execute(text("DROP TABLE task_logs"))
        connection.execute(text(f"ALTER TABLE workflow_runs ALTER run_id TYPE {type_} USING NULL"))

    Schema(engines.owner).upgrade()

    with engines.owner.connect() as connection:
        type_of = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{}'::regclass"
        types = {
            connection.execute(text(f"{type_of.format(table)} AND attname = 'run_id'")).scalar()
            for table in ("workflow_runs", "task_logs")
        }
        foreign_keys = connection.execute(
            text("SELECT count(*) FROM pg_constraint WHERE conrelid = 'task_logs'::regclass AND contype = 'f'")
        ).scalar()
    assert len(types) == 1
    assert foreign_keys == 0


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_task_logs_in_a_file_do_not_keep_a_service_from_deleting_its_runs(empty_engine: Engine) -> None:
    with service_of(empty_engine) as connection:
        create_tables(connection)
        connection.execute(text("DROP TABLE task_logs"))

    Schema(empty_engine).upgrade()

    with empty_engine.connect() as connection:
        assert connection.execute(text("PRAGMA foreign_key_list(task_logs)")).all() == []


@on_postgresql
def test_task_logs_and_runs_that_are_created_together_belong_together(engines: Engines) -> None:
    Schema(engines.owner).upgrade()

    with engines.owner.connect() as connection:
        count = text("SELECT count(*) FROM pg_constraint WHERE conrelid = 'task_logs'::regclass AND contype = 'f'")
        assert connection.execute(count).scalar() == 1


@on_postgresql
def test_the_schema_of_the_daemon_holds_its_tables_and_no_other(engines: Engines) -> None:
    with service_of(engines.owner) as connection:
        install_service(connection, "public", "run-1")
    engine = engines.make(schema="daemon")
    assert Schema(engine).current() is None

    Schema(engine).upgrade()

    Schema(engine).check()
    Schema(engine).upgrade()
    assert Schema(engine).current() == Schema(engine).head()
    assert engines.tables("daemon") == OURS
    assert engines.tables("public") == SERVICES | {"alembic_version"}
    assert listed(engine) == ["run-1"]


@on_postgresql
@pytest.mark.parametrize("path", [None, "public,daemon", "daemon,public"])
def test_tables_of_a_service_are_created_in_the_search_path_and_not_in_the_schema_of_the_daemon(
    engines: Engines, path: str | None
) -> None:
    engines.execute("CREATE SCHEMA daemon")
    engine = engines.make(path=path, schema="daemon")

    Schema(engine).upgrade()

    Schema(engine).check()
    assert engines.tables("public") == SERVICES
    assert engines.tables("daemon") == OURS


@on_postgresql
def test_the_printed_statements_use_the_schema_of_the_daemon(engines: Engines) -> None:
    with service_of(engines.owner) as connection:
        install_service(connection, "public", "run-1")
    engine = engines.make(schema="daemon")

    _execute_script(engine, Schema(engine).upgrade_sql())

    Schema(engine).check()
    assert engines.tables("daemon") == OURS
    assert engines.tables("public") == SERVICES | {"alembic_version"}


@on_postgresql
def test_a_schema_whose_name_is_a_word_of_sql_is_quoted(engines: Engines) -> None:
    engine = engines.make(schema="order")

    Schema(engine).upgrade()

    Schema(engine).check()
    assert engines.tables("public") == SERVICES
    assert listed(engine) == []


@on_postgresql
def test_a_role_that_may_create_nothing_starts_on_a_schema_that_is_up_to_date(engines: Engines, newcomer: str) -> None:
    Schema(engines.make(schema="daemon")).upgrade()
    engines.execute(
        f"GRANT USAGE ON SCHEMA daemon TO {newcomer}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA daemon, public TO {newcomer}",
    )

    Schema(engines.make(schema="daemon", role=newcomer)).upgrade()


@on_postgresql
def test_a_table_that_is_missing_in_the_schema_of_the_daemon_is_named(engines: Engines) -> None:
    engine = engines.make(schema="daemon")
    Schema(engine).upgrade()
    # A table of the same name that the search path leads to does not count.
    engines.execute("ALTER TABLE daemon.run_events SET SCHEMA public")

    with pytest.raises(StorageMisconfigured, match=r"schema daemon: table run_events lacks id, "):
        Schema(engine).check()


@pytest.fixture
def newcomer(engines: Engines) -> Iterator[str]:
    """A role without privileges."""
    engines.execute(f"DROP ROLE IF EXISTS {ROLE}", f"CREATE ROLE {ROLE} LOGIN")
    yield ROLE
    engines.execute(f"DROP OWNED BY {ROLE}", f"DROP ROLE {ROLE}")


@on_postgresql
def test_a_role_that_may_not_create_the_schema_is_told_the_statement(engines: Engines, newcomer: str) -> None:
    engine = engines.make(schema="daemon", role=newcomer)

    with pytest.raises(
        StorageMisconfigured, match=f"role may not create it: CREATE SCHEMA daemon AUTHORIZATION {newcomer};"
    ):
        Schema(engine).upgrade()


@on_postgresql
def test_a_role_that_may_not_create_tables_in_the_schema_is_told_the_statement(engines: Engines, newcomer: str) -> None:
    engines.execute("CREATE SCHEMA daemon")
    engine = engines.make(schema="daemon", role=newcomer)

    with pytest.raises(StorageMisconfigured, match=f"GRANT USAGE, CREATE ON SCHEMA daemon TO {newcomer};"):
        Schema(engine).upgrade()


@on_postgresql
def test_the_statements_that_a_role_is_told_suffice(engines: Engines, newcomer: str) -> None:
    with service_of(engines.owner) as connection:
        create_tables(connection)
        for table in SERVICES:
            connection.execute(text(f"ALTER TABLE {table} OWNER TO {newcomer}"))
    engines.execute("CREATE SCHEMA daemon", f"GRANT USAGE, CREATE ON SCHEMA daemon TO {newcomer}")
    engine = engines.make(schema="daemon", role=newcomer)

    # The service's owner needs CREATE for the indexes on its tables.
    engines.execute(f"GRANT CREATE ON SCHEMA public TO {newcomer}")
    Schema(engine).upgrade()

    Schema(engine).check()


@on_postgresql
def test_a_role_that_does_not_own_the_services_tables_is_told_who_has_to_upgrade(
    engines: Engines, newcomer: str
) -> None:
    with service_of(engines.owner) as connection:
        create_tables(connection)
    engines.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {newcomer}", f"GRANT ALL ON workflow_runs TO {newcomer}")

    with pytest.raises(StorageMisconfigured, match="run `wes-daemon db upgrade` once as the owner of the service's"):
        Schema(engines.make(role=newcomer)).upgrade()


@on_postgresql
def test_the_grants_that_a_role_without_privileges_is_told_suffice(engines: Engines, newcomer: str) -> None:
    Schema(engines.owner).upgrade()
    schema = Schema(engines.make(role=newcomer))
    with pytest.raises(StorageMisconfigured) as caught:
        schema.check()

    engines.execute(*(line.rpartition(": ")[2] for line in str(caught.value).splitlines() if "GRANT" in line))

    schema.check()


def test_sqlite_has_no_schemas() -> None:
    with pytest.raises(StorageMisconfigured, match="DAEMON_SCHEMA is set, but SQLite has no schemas"):
        make_engine("sqlite:////var/lib/runs.db", connections=1, daemon_schema="daemon")


@on_postgresql
@pytest.mark.parametrize("attempt", [Schema.upgrade, Schema.check, Schema.require_head])
def test_a_search_path_of_schemas_that_do_not_exist_is_said_with_what_creates_them(
    engines: Engines, attempt: object
) -> None:
    schema = Schema(engines.make(path='wes,"Two\\ Words",public'))

    with pytest.raises(StorageMisconfigured) as refused:
        attempt(schema)  # type: ignore[operator]

    assert "schemas that do not exist: wes, Two Words: create them" in str(refused.value)
    assert '(CREATE SCHEMA wes; CREATE SCHEMA "Two Words";)' in str(refused.value)
    assert engines.tables("public") == set()


@on_postgresql
def test_a_schema_that_the_role_may_not_use_is_said_instead_of_being_passed_over(
    engines: Engines, newcomer: str
) -> None:
    engines.execute(f"CREATE SCHEMA mine AUTHORIZATION {newcomer}")
    with service_of(engines.owner) as connection:
        install_service(connection, "wes", "run-1")

    with pytest.raises(StorageMisconfigured, match=f"GRANT USAGE ON SCHEMA wes TO {newcomer};"):
        Schema(engines.make(path="mine,wes", role=newcomer)).upgrade()

    assert engines.tables("mine") == set()


@on_postgresql
def test_a_search_path_without_schemas_is_said(engines: Engines) -> None:
    with pytest.raises(StorageMisconfigured, match="names no schema that exists: name one, such as"):
        Schema(engines.make(path='""')).upgrade()


@on_postgresql
@pytest.mark.parametrize(("first", "second"), [(None, "daemon"), ("daemon", None), ("daemon", "other")])
@pytest.mark.parametrize("attempt", [Schema.upgrade, Schema.require_head])
def test_a_second_set_of_the_daemons_tables_for_the_same_runs_is_refused(
    engines: Engines, first: str | None, second: str | None, attempt: object
) -> None:
    Schema(engines.make(schema=first)).upgrade()

    with pytest.raises(StorageMisconfigured, match=f"serves the same .*set DAEMON_SCHEMA={first or 'public'}, or move"):
        attempt(Schema(engines.make(schema=second)))  # type: ignore[operator]

    assert "submissions" not in engines.tables(second or "public")


@on_postgresql
def test_the_statements_on_the_page_move_the_tables_to_a_schema(engines: Engines) -> None:
    Schema(engines.owner).upgrade()
    [statements] = re.findall(r"^```sql\n(CREATE SCHEMA.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)

    engines.execute(*statements.splitlines())

    schema = Schema(engines.make(schema="daemon"))
    schema.upgrade()
    schema.check()
    assert engines.tables("daemon") == OURS
    assert engines.tables("public") == SERVICES


@on_postgresql
def test_daemons_of_two_services_in_one_database_have_a_schema_each(engines: Engines) -> None:
    for name in ("one", "two"):
        with service_of(engines.owner) as connection:
            install_service(connection, name, f"run-{name}")
        engine = engines.make(path=name, schema=f"daemon_{name}")

        Schema(engine).upgrade()

        Schema(engine).check()
        assert listed(engine) == [f"run-{name}"]


@on_postgresql
def test_runs_in_the_schema_of_the_daemon_that_the_search_path_does_not_lead_to_are_not_passed_over(
    engines: Engines,
) -> None:
    with service_of(engines.owner) as connection:
        install_service(connection, "wes", "run-1")

    with pytest.raises(StorageMisconfigured, match="has a table workflow_runs that the search path does not lead to"):
        Schema(engines.make(schema="wes")).upgrade()

    assert engines.tables("public") == set()


def test_tables_that_belong_to_a_service_are_not_created(empty_engine: Engine) -> None:
    schema = Schema(empty_engine, creates_service_tables=False)

    for attempt in (schema.upgrade, schema.check, schema.require_head):
        with pytest.raises(ServiceTablesMissing, match="workflow_runs and task_logs do not exist yet"):
            attempt()

    assert tables_in(empty_engine) == set()


@on_postgresql
def test_a_schema_that_the_service_creates_with_its_tables_is_awaited(engines: Engines) -> None:
    schema = Schema(engines.make(path="wes"), creates_service_tables=False)
    with pytest.raises(ServiceTablesMissing, match="run the service's migration; the search path names schemas that"):
        schema.upgrade()

    with service_of(engines.owner) as connection:
        install_service(connection, "wes", "run-1")

    schema.upgrade()
    schema.check()


@on_postgresql
def test_tables_that_are_awaited_in_a_schema_that_is_not_searched_are_named(engines: Engines) -> None:
    with service_of(engines.owner) as connection:
        install_service(connection, "wes")

    with pytest.raises(ServiceTablesMissing, match=r"workflow_runs exists in the schema wes, .*csearch_path%3Dwes"):
        Schema(engines.owner, creates_service_tables=False).upgrade()


def test_each_table_that_belongs_to_a_service_is_awaited(empty_engine: Engine) -> None:
    with service_of(empty_engine) as connection:
        create_tables(connection)
        connection.execute(text("DROP TABLE task_logs"))

    with pytest.raises(ServiceTablesMissing, match=": task_logs do"):
        Schema(empty_engine, creates_service_tables=False).upgrade()


def test_tables_of_a_service_that_have_appeared_are_used(empty_engine: Engine) -> None:
    with service_of(empty_engine) as connection:
        create_tables(connection)
        queue_runs(connection, ["run-1"])
    schema = Schema(empty_engine, creates_service_tables=False)

    schema.upgrade()

    schema.check()
    assert listed(empty_engine) == ["run-1"]


def test_the_printed_statements_do_not_create_tables_that_belong_to_a_service(empty_engine: Engine) -> None:
    statements = Schema(empty_engine, creates_service_tables=False).upgrade_sql()

    assert "CREATE TABLE submissions" in statements
    assert "CREATE TABLE IF NOT EXISTS" not in statements


def _execute_script(engine: Engine, statements: str) -> None:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.cursor().execute(statements)


@pytest.fixture(scope="module")
def engine_with_schema(postgresql_server: PostgreSQL) -> Iterator[Engine]:
    """An engine whose daemon's tables are in a schema that no search path leads to."""
    uri = postgresql_server.create()
    with disposed(make_engine(uri, connections=20, daemon_schema="daemon")) as engine:
        Schema(engine).upgrade()
        yield engine
    postgresql_server.drop(uri)


class TestPersistenceInASchemaOfTheDaemon(PersistenceContract):
    """The whole contract, where no search path leads to the daemon's tables."""

    @pytest.fixture
    def store(self, engine_with_schema: Engine) -> Iterator[SqlHarness]:
        with service_of(engine_with_schema) as connection:
            tables = [f"daemon.{name}" for name in daemon_metadata.tables]
            connection.execute(text(f"TRUNCATE {', '.join([*SERVICES, *tables])}"))
        with without_leaks(engine_with_schema):
            yield SqlHarness(engine_with_schema)
