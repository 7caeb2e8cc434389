"""How a database becomes what the daemon needs: an empty one, and one that a WES service already uses."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, String, inspect, text

from tests.integration.conftest import Database
from tests.integration.persistence.service import columns, create_tables, everything_stored, queue_runs
from tests.integration.persistence.workers import in_processes, upgrade
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.location import VERSION_TABLE
from wes_daemon.adapters.persistence.queries import SqlRunQueries
from wes_daemon.adapters.persistence.schema import REVISIONS, Schema, migrations_config
from wes_daemon.adapters.persistence.tables import daemon_metadata, service_metadata
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.adapters.persistence.types import PlainText
from wes_daemon.adapters.persistence.unit_of_work import SqlUnitsOfWork
from wes_daemon.application.ports.errors import StorageMisconfigured
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.domain.runs import ProviderType

NUMBERS = [1_000, pytest.param(10_000, marks=pytest.mark.nightly)]


@contextmanager
def service_of(engine: Engine) -> Iterator[Connection]:
    """A WES service at work: it commits what it does."""
    with writing(engine) as connection:
        yield connection
        connection.commit()


def tables_in(engine: Engine) -> set[str]:
    """The names of all tables."""
    return set(inspect(engine).get_table_names())


def test_an_empty_database_gets_every_table(empty_engine: Engine) -> None:
    schema = Schema(empty_engine)
    assert schema.current() is None

    schema.upgrade()

    schema.check()
    assert schema.current() == schema.head()
    wanted = {table.name for metadata in (service_metadata, daemon_metadata) for table in metadata.sorted_tables}
    assert tables_in(empty_engine) == wanted | {VERSION_TABLE}


def test_upgrading_what_is_up_to_date_changes_nothing(engine: Engine) -> None:
    Schema(engine).upgrade()

    Schema(engine).check()


@pytest.mark.parametrize("rows", NUMBERS)
def test_rows_that_a_service_has_stored_stay_as_they_are_byte_for_byte(
    empty_engine: Engine, empty_database: Database, rows: int
) -> None:
    with service_of(empty_engine) as connection:
        create_tables(connection)
        queue_runs(connection, [f"run-{number:05}" for number in range(rows)])
        before = everything_stored(connection, empty_database)
        declared = columns(connection, "workflow_runs")

    Schema(empty_engine).upgrade()

    with service_of(empty_engine) as connection:
        assert everything_stored(connection, empty_database) == before
        assert columns(connection, "workflow_runs") == declared
    Schema(empty_engine).check()


def test_a_service_goes_on_inserting_changing_and_deleting(empty_engine: Engine) -> None:
    with service_of(empty_engine) as connection:
        create_tables(connection)
        queue_runs(connection, ["run-old"])
    Schema(empty_engine).upgrade()
    with SqlUnitsOfWork(empty_engine)() as unit:
        unit.submissions.enrol(lambda _: ProviderType.LOCAL, limit=10)
        unit.commit()

    with service_of(empty_engine) as connection:
        queue_runs(connection, ["run-new"])
        connection.execute(text("UPDATE workflow_runs SET state = 'CANCELING', tags = '{}', note = 'changed'"))
        connection.execute(text("DELETE FROM task_logs WHERE run_id = 'run-old'"))
        connection.execute(text("DELETE FROM workflow_runs WHERE run_id = 'run-old'"))

    [left] = SqlRunQueries(empty_engine).list(RunFilter())
    assert (left.run.id, left.run.state) == ("run-new", "CANCELING")


def test_processes_that_upgrade_at_once_all_succeed(empty_engine: Engine, empty_database: Database) -> None:
    head = Schema(empty_engine).head()

    assert in_processes(upgrade, empty_database.uri, 3) == [head, head, head]

    Schema(empty_engine).check()


def test_the_statements_of_an_upgrade_do_by_hand_what_the_upgrade_does(empty_engine: Engine) -> None:
    statements = Schema(empty_engine).upgrade_sql()

    with empty_engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        if empty_engine.dialect.name == "sqlite":
            driver.executescript(statements)
        else:
            driver.cursor().execute(statements)

    Schema(empty_engine).check()


@pytest.mark.parametrize("uri", ["postgresql://user:secret@nowhere.invalid/wes", "sqlite:////nowhere/runs.db"])
def test_the_statements_of_an_upgrade_need_no_connection(uri: str) -> None:
    statements = Schema(make_engine(uri, connections=1)).upgrade_sql()

    assert "CREATE TABLE IF NOT EXISTS" in statements
    assert "CREATE INDEX IF NOT EXISTS wes_daemon_runs_queued" in statements


def test_an_upgrade_that_cannot_be_finished_leaves_nothing_behind(empty_engine: Engine) -> None:
    with service_of(empty_engine) as connection:
        connection.execute(text("CREATE TABLE polls (question VARCHAR(200))"))

    with pytest.raises(StorageMisconfigured, match=r"polls.* already exists.*belongs to another program"):
        Schema(empty_engine).upgrade()

    assert tables_in(empty_engine) == {"polls"}


def test_a_table_of_a_service_that_lacks_a_column_is_named_before_anything_is_changed(empty_engine: Engine) -> None:
    with service_of(empty_engine) as connection:
        connection.execute(text("CREATE TABLE workflow_runs (run_id VARCHAR(36) PRIMARY KEY, state TEXT, tags JSON)"))

    with pytest.raises(StorageMisconfigured, match=r"table workflow_runs lacks workflow_params, workflow_type, "):
        Schema(empty_engine).upgrade()

    assert tables_in(empty_engine) == {"workflow_runs"}


def test_a_database_that_was_never_prepared_says_which_command_does_it(empty_engine: Engine) -> None:
    with pytest.raises(StorageMisconfigured, match=r"never prepared.*run `wes-daemon db upgrade`"):
        Schema(empty_engine).check()


@pytest.mark.parametrize(
    ("revision", "says"),
    [("0001", "is at revision 0001.*run `wes-daemon db upgrade`"), ("9999", "a newer wes-daemon has upgraded it")],
)
def test_a_database_at_another_revision_says_what_to_do(empty_engine: Engine, revision: str, says: str) -> None:
    Schema(empty_engine).upgrade()
    with service_of(empty_engine) as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'"))

    with pytest.raises(StorageMisconfigured, match=says):
        Schema(empty_engine).check()


def test_a_database_that_a_newer_version_has_upgraded_is_not_touched(empty_engine: Engine) -> None:
    Schema(empty_engine).upgrade()
    with service_of(empty_engine) as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))

    with pytest.raises(StorageMisconfigured, match="newer"):
        Schema(empty_engine).upgrade()


@pytest.mark.parametrize("damage", ["DROP TABLE run_events", "ALTER TABLE workflow_runs DROP COLUMN end_time"])
def test_a_table_or_column_that_somebody_dropped_is_named(empty_engine: Engine, damage: str) -> None:
    Schema(empty_engine).upgrade()
    with service_of(empty_engine) as connection:
        connection.execute(text(damage))

    with pytest.raises(StorageMisconfigured, match=f"table {damage.split()[2]} lacks .*(why|end_time)"):
        Schema(empty_engine).check()


def test_the_lengths_that_the_code_cuts_to_are_those_of_the_columns(engine: Engine) -> None:
    found = inspect(engine)
    declared = {
        (table.name, column["name"]): column["type"].length
        for table in service_metadata.sorted_tables
        for column in found.get_columns(table.name)
        if isinstance(column["type"], String) and column["name"] not in ("id", "run_id")
    }

    cut_to = {
        (table.name, column.name): column.type.length
        for table in service_metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, PlainText)
    }

    assert cut_to == declared


def test_units_of_work_do_not_load_alembic() -> None:
    program = (
        "import sys; import wes_daemon.adapters.persistence.unit_of_work, wes_daemon.adapters.persistence.schema;"
        "sys.exit('alembic' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_revisions_that_the_code_names_are_those_of_the_migrations() -> None:
    steps = ScriptDirectory.from_config(migrations_config()).walk_revisions()

    assert tuple(step.revision for step in steps) == REVISIONS
