"""What goes wrong with a database, and what the daemon is told of it."""

import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from traceback import format_exception

import pytest
from sqlalchemy import URL, Engine, event, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from tests.builders import a_run
from tests.contracts.persistence_harness import ME, Race, an_entry
from tests.integration.conftest import Database, as_text
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.server import PostgreSQLServer
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.transactions import reading, writing
from wes_daemon.adapters.persistence.unit_of_work import SqlUnitsOfWork
from wes_daemon.application.ports.errors import Contended, StorageMisconfigured, StorageRefused, StorageUnavailable
from wes_daemon.domain.runs import RunId

SHORT = timedelta(milliseconds=100)
SECRET = '{"password": secret\nand "secret" again'


def traceback_of(error: BaseException) -> str:
    """The error and all that led to it, as a log shows them, without the lines of source code."""
    lines = "".join(format_exception(error)).splitlines()
    return "\n".join(line for line in lines if not line.startswith("  "))


def checked_out(engine: Engine) -> int:
    """How many connections are in use."""
    return int(engine.pool.checkedout())  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQLServer]:
    """A server that a test may stop."""
    server = PostgreSQLServer()
    yield server
    server.remove()


class TestPostgreSQLThatStops:
    """The server goes away and comes back."""

    @pytest.fixture
    def store(self, server: PostgreSQLServer) -> Iterator[SqlHarness]:
        server.stop()
        server.start()
        engine = make_engine(server.uri(), connections=3)
        Schema(engine).upgrade()
        yield SqlHarness(engine)
        assert checked_out(engine) == 0
        engine.dispose()

    def test_a_server_that_is_down_is_unavailable_and_works_again_once_it_is_back(
        self, server: PostgreSQLServer, store: SqlHarness
    ) -> None:
        store.enrol()
        server.stop()

        with pytest.raises(StorageUnavailable, match="PostgreSQL database postgres at"):
            store.enrol()
        with pytest.raises(StorageUnavailable):
            store.queries.daemons()

        server.start()
        assert store.enrol() == 0

    def test_a_server_that_stops_during_a_unit_of_work_is_unavailable(
        self, server: PostgreSQLServer, store: SqlHarness
    ) -> None:
        with store.units() as unit:
            unit.leases.close(ME)
            server.stop()

            with pytest.raises(StorageUnavailable) as told:
                unit.leases.close(ME)

        assert "\n" not in str(told.value)
        server.start()
        assert store.enrol() == 0

    def test_a_server_that_stops_before_a_commit_is_unavailable(
        self, server: PostgreSQLServer, store: SqlHarness
    ) -> None:
        with store.units() as unit:
            unit.leases.close(ME)
            server.stop()

            with pytest.raises(StorageUnavailable):
                unit.commit()

        server.start()
        assert store.enrol() == 0

    def test_an_error_in_a_unit_of_work_is_not_hidden_by_a_server_that_stops(
        self, server: PostgreSQLServer, store: SqlHarness
    ) -> None:
        def fail_while_the_server_stops() -> None:
            with store.units() as unit:
                unit.leases.close(ME)
                server.stop()
                raise LookupError

        with pytest.raises(LookupError):
            fail_while_the_server_stops()
        server.start()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
class TestPostgreSQLThatRefuses:
    """What a server that is there does not do."""

    def test_of_two_that_wait_for_each_other_one_is_told_to_try_again(self, store: SqlHarness) -> None:
        store.queue("run-1", "run-2")
        race, refused = Race(2, moment=60), list[str]()

        def work(number: int) -> None:
            ids = [RunId("run-1"), RunId("run-2")]
            try:
                with store.units() as unit:
                    unit.runs.get(ids[number])
                    race.together()
                    unit.runs.get(ids[1 - number])
            except Contended as error:
                refused.append(str(error))

        race.run(work)

        assert len(refused) == 1
        assert refused[0].endswith("deadlock detected")

    def test_a_database_that_does_not_exist_says_what_to_check(self, engine: Engine) -> None:
        self.assert_misconfigured(
            engine.url.set(database="nowhere"), 'database "nowhere" does not exist: check the database'
        )

    def test_a_role_that_does_not_exist_says_what_to_check(self, engine: Engine) -> None:
        self.assert_misconfigured(
            engine.url.set(username="nobody", password="secret"), 'role "nobody" does not exist: check user'
        )

    def test_a_role_without_privileges_is_told_which_it_lacks(self, engine: Engine) -> None:
        with writing(engine) as connection:
            connection.exec_driver_sql("DROP ROLE IF EXISTS wes_reader")
            connection.exec_driver_sql("CREATE ROLE wes_reader LOGIN")
            connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO wes_reader")
            connection.exec_driver_sql("GRANT INSERT, UPDATE ON workflow_runs, task_logs TO wes_reader")
            connection.commit()
        reader = make_engine(as_text(engine.url.set(username="wes_reader")), connections=1)

        with pytest.raises(
            StorageMisconfigured, match=r"the role lacks INSERT, UPDATE, DELETE on daemons: GRANT INSERT"
        ):
            Schema(reader).check()
        with pytest.raises(StorageMisconfigured, match="permission denied for table daemons: grant"):
            SqlHarness(reader).live(ME)

        reader.dispose()
        with writing(engine) as connection:
            connection.exec_driver_sql("DROP OWNED BY wes_reader")
            connection.exec_driver_sql("DROP ROLE wes_reader")
            connection.commit()

    def assert_misconfigured(self, url: URL, says: str) -> None:
        engine = make_engine(as_text(url), connections=1)
        with pytest.raises(StorageMisconfigured, match=says) as told, reading(engine):
            pass
        assert "secret" not in str(told.value)
        assert "\n" not in str(told.value)
        assert checked_out(engine) == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
class TestSqliteThatRefuses:
    """What a file does not take."""

    def test_a_database_that_another_process_is_writing_to_is_unavailable_after_a_while(self, engine: Engine) -> None:
        patient = make_engine(as_text(engine.url), connections=1, busy_timeout=SHORT)
        other = sqlite3.connect(engine.url.database or "", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StorageUnavailable, match="database is locked"):
            SqlHarness(patient).enrol()

        other.rollback()
        other.close()
        assert SqlHarness(patient).enrol() == 0
        assert checked_out(patient) == 0
        patient.dispose()

    def test_a_thread_that_does_not_get_its_turn_is_told_so(self, engine: Engine) -> None:
        patient = make_engine(as_text(engine.url), connections=2, busy_timeout=SHORT)

        with writing(patient), ThreadPoolExecutor(1) as other_thread:
            asked = other_thread.submit(SqlHarness(patient).enrol)

        with pytest.raises(StorageUnavailable, match="other threads"):
            asked.result()
        patient.dispose()

    def test_a_file_that_may_only_be_read_is_unavailable(self, engine: Engine) -> None:
        reader = make_engine(as_text(engine.url), connections=1)
        event.listen(reader, "connect", lambda connection, _: connection.execute("PRAGMA query_only = on").close())

        with pytest.raises(StorageUnavailable, match="readonly"):
            SqlHarness(reader).live(ME)

        reader.dispose()

    @pytest.mark.parametrize("uri", ["sqlite:///{}?mode=ro", "sqlite:///file:{}?mode=ro&uri=true"])
    def test_a_uri_that_permits_reading_only_is_honoured(self, engine: Engine, uri: str) -> None:
        reader = make_engine(uri.format(engine.url.database), connections=1)

        assert SqlHarness(reader).queries.daemons() == []
        with pytest.raises(StorageMisconfigured, match=r"readonly.*remove mode=ro"):
            SqlHarness(reader).live(ME)

        reader.dispose()

    def test_a_full_disk_is_unavailable(self, database: Database, sqlite_template: Path, tmp_path: Path) -> None:
        # In the file that tests share there may be room left from others.
        file = shutil.copy(sqlite_template, tmp_path / "full.db")
        full = make_engine(f"{database.kind}:///{file}", connections=1)
        event.listen(full, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1").close())

        with pytest.raises(StorageUnavailable, match="full"):
            SqlHarness(full).queue(*(f"run-{number}" for number in range(1000)))

        assert checked_out(full) == 0
        full.dispose()


class TestFilesThatAreNoDatabase:
    """What a path can lead to instead."""

    def test_a_file_that_is_no_database_is_misconfigured(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("no database at all" * 100)

        self.assert_misconfigured(tmp_path / "notes.txt", "not a database: the path")

    def test_a_path_that_is_a_folder_is_misconfigured(self, tmp_path: Path) -> None:
        self.assert_misconfigured(tmp_path, "unable to open database file: check the path")

    def assert_misconfigured(self, path: Path, says: str) -> None:
        engine = make_engine(f"sqlite:///{path}", connections=1)
        with pytest.raises(StorageMisconfigured, match=says), reading(engine) as connection:
            connection.execute(text("SELECT * FROM workflow_runs"))
        assert checked_out(engine) == 0


def test_a_database_that_was_never_prepared_says_which_command_does_it(empty_engine: Engine) -> None:
    with pytest.raises(StorageMisconfigured, match=r"workflow_runs.*`wes-daemon db upgrade`") as told:
        SqlHarness(empty_engine).enrol()

    assert "\n" not in str(told.value)


def test_a_row_that_a_constraint_refuses_is_told_by_the_constraint_and_without_values(engine: Engine) -> None:
    run = a_run("run-of-somebody")

    with SqlUnitsOfWork(engine)() as unit:
        unit.runs.add(run, attachments=(), entry=an_entry(run))
        with pytest.raises(StorageRefused, match="workflow_runs") as told:
            unit.runs.add(run, attachments=(), entry=an_entry(run))

    assert "run-of-somebody" not in traceback_of(told.value)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("SELECT CAST(:value AS uuid)", 'invalid input syntax for type uuid: "…"'),
        ("SELECT CAST(:value AS timestamptz)", 'invalid input syntax for type timestamp with time zone: "…"'),
        ("SELECT CAST(:value || 'x' AS integer)", 'invalid input syntax for type integer: "…"'),
        ("SELECT CAST(:value AS json)", "invalid input syntax for type json"),
        ("SELECT CAST(12345678901 AS integer), :value", "integer out of range"),
        ("SELECT chr(0) || :value", "null character not permitted"),
        ("INSERT INTO daemons (pid) VALUES (CAST(:value AS text))", 'column "pid" is of type integer'),
        ("SELECT CAST(:value AS text) = 1", "operator does not exist"),
    ],
)
def test_a_value_that_postgresql_refuses_is_told_without_the_value(engine: Engine, statement: str, says: str) -> None:
    with reading(engine) as connection, pytest.raises(StorageRefused) as told:
        connection.execute(text(statement), {"value": SECRET})

    assert says in str(told.value)
    assert "secret" not in traceback_of(told.value)


def test_a_value_that_no_driver_can_send_is_refused_without_the_value(engine: Engine) -> None:
    with reading(engine) as connection, pytest.raises(StorageRefused) as told:
        connection.execute(text("SELECT :value"), {"value": "secret \udc00"})

    assert "secret" not in traceback_of(told.value)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_nul_is_refused_by_postgresql_without_the_value(engine: Engine) -> None:
    with reading(engine) as connection, pytest.raises(StorageRefused) as told:
        connection.execute(text("SELECT :value"), {"value": "secret \0"})

    assert "secret" not in traceback_of(told.value)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("value", ["{malformed secret", 2**63])
def test_a_value_that_sqlite_refuses_is_told_without_the_value(engine: Engine, value: object) -> None:
    with reading(engine) as connection, pytest.raises(StorageRefused) as told:
        connection.execute(text("SELECT json_extract(:value, '$.x')"), {"value": value})

    assert "secret" not in traceback_of(told.value)


def test_a_bug_passes_as_what_it_is_with_its_statement_and_without_values(engine: Engine) -> None:
    with reading(engine) as connection, pytest.raises((ProgrammingError, OperationalError)) as told:
        connection.execute(text("SELEC :value"), {"value": SECRET})

    assert "\n" not in str(told.value)
    assert "[SQL: SELEC " in traceback_of(told.value)
    assert "secret" not in traceback_of(told.value)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_function_of_the_database_that_lacks_a_table_is_no_reason_to_upgrade(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION odd() RETURNS integer LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO missing VALUES (1); RETURN 1; END $$"
        )

        with pytest.raises(StorageRefused, match="missing"):
            connection.exec_driver_sql("SELECT odd()")


def test_a_statement_that_is_wrong_is_a_bug(engine: Engine) -> None:
    with reading(engine) as connection, pytest.raises((ProgrammingError, OperationalError)):
        connection.execute(text("SELEC 1"))
