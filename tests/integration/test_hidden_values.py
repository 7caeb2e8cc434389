"""What a database says about a refused row is said without the row: a password in its parameters is shown nowhere."""

import io
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from dependency_injector import providers
from sqlalchemy import text

from tests.builders import ALL_PROVIDERS
from tests.integration.conftest import Database
from tests.integration.persistence.harness import SqlHarness
from wes_daemon import read_settings
from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.transactions import reading, writing
from wes_daemon.application.ports.errors import StorageRefused
from wes_daemon.application.ports.providers import ProviderTask, RunDetails
from wes_daemon.bootstrap.application import Application, application_of
from wes_daemon.bootstrap.container import Container
from wes_daemon.domain.runs import ProviderRunId, RunId, StatusReport
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.logs import LineFormatter
from wes_daemon.entrypoints.cli.main import cli

PASSWORD = "hunter-geheim-2"
REFUSAL = "no_odd_rows"

_INSERT = text(
    "INSERT INTO workflow_runs (run_id, state, workflow_params, workflow_type, workflow_type_version, workflow_url, "
    "tags) VALUES (:id, 'QUEUED', :json, 'CWL', 'v1.2', 'https://u:hunter-geheim-2@host/x.cwl', :json)"
)
_JSON = f'{{"login": {{"password": "{PASSWORD}"}}}}'
_TEXTS = (
    "SELECT last_reason FROM submissions",
    "SELECT why FROM run_events",
    "SELECT provider_message FROM run_details",
    "SELECT system_logs FROM run_details",
)


_REFUSED = (
    ("submissions", "NEW.run_id = 'other'"),
    ("submissions", "NEW.state <> 'INTENT'"),
    ("submissions", "NEW.state <> 'ACCEPTED'"),
    ("polls", "NEW.run_id = 'other'"),
    ("daemons", "NEW.id = 'other'"),
    ("run_events", "NEW.to_state <> 'COMPLETE'"),
    ("run_details", "NEW.run_id = 'other'"),
    ("task_logs", "NEW.run_id = 'other'"),
    ("workflow_runs", "NEW.state <> 'INITIALIZING'"),
    ("workflow_runs", "NEW.state <> 'COMPLETE'"),
    ("workflow_runs", "NEW.state <> 'CANCELED'"),
)
_FUNCTIONS = (
    "RAISE EXCEPTION 'the service refuses %', NEW;",
    "RAISE EXCEPTION 'the service refuses %', NEW.workflow_params;",
    "RAISE EXCEPTION 'the service refuses %', row_to_json(NEW) USING ERRCODE = 'WES01';",
    "RAISE EXCEPTION 'the service refuses it' USING DETAIL = NEW.workflow_params::text;",
    "PERFORM (NEW.workflow_params::text)::integer;",
    "PERFORM (NEW.workflow_params::text)::timestamptz;",
    "EXECUTE format('INSERT INTO missing VALUES (%L)', NEW.workflow_params);",
)


class OddDatabase:
    """A database that refuses some rows, and everything that is said about them."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.engine = make_engine(uri, connections=5)
        Schema(self.engine).upgrade()
        self.service = SqlHarness(self.engine)
        self.provider = MemoryProvider()
        self.log = io.StringIO()
        self.said: list[str] = []
        self.handler = logging.StreamHandler(self.log)
        self.handler.setFormatter(LineFormatter(str))

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def listen(self) -> None:
        """Collect the whole log."""
        for logger in (logging.getLogger(), logging.getLogger("wes_daemon")):
            logger.setLevel(logging.DEBUG)
        logging.getLogger().addHandler(self.handler)

    def refuse(self, table: str, unless: str) -> None:
        """Let the database refuse rows of a table, from now on, unless the condition is true for the new row."""
        if self.is_sqlite:
            for event in ("INSERT", "UPDATE"):
                self.execute(
                    f"CREATE TRIGGER {REFUSAL}_{event} BEFORE {event} ON {table} WHEN NOT ({unless})"
                    f" BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
                )
            return
        condition = unless.replace("NEW.", "")
        self.execute(f"ALTER TABLE {table} ADD CONSTRAINT {REFUSAL} CHECK ({condition}) NOT VALID")

    def raise_about(self, table: str, function: str) -> None:
        """Let a trigger of the service, on PostgreSQL, execute this whenever a row of the table changes."""
        self.execute(
            f"CREATE FUNCTION {REFUSAL}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {function} RETURN NEW; END $$"
        )
        self.execute(f"CREATE TRIGGER odd BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {REFUSAL}()")

    def permit(self, table: str) -> None:
        """Refuse nothing any more."""
        if self.is_sqlite:
            for event in ("INSERT", "UPDATE"):
                self.execute(f"DROP TRIGGER IF EXISTS {REFUSAL}_{event}")
            return
        self.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {REFUSAL}")
        self.execute(f"DROP FUNCTION IF EXISTS {REFUSAL} CASCADE")

    def execute(self, statement: str) -> None:
        with writing(self.engine) as connection:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
            connection.commit()

    def end_runs(self) -> None:
        """Leave nothing to do for later passes."""
        self.execute("UPDATE workflow_runs SET state = 'SYSTEM_ERROR'")
        self.execute("UPDATE submissions SET state = 'CLOSED'")
        self.execute("DELETE FROM polls")

    def queue(self, *ids: str) -> None:
        with writing(self.engine) as connection:
            connection.execute(_INSERT, [{"id": id, "json": _JSON} for id in ids])
            connection.commit()

    def provider_run(self, run_id: RunId) -> ProviderRunId | None:
        """What the provider has created for a run that it has accepted."""
        with reading(self.engine) as connection:
            query = text("SELECT provider_run_id FROM submissions WHERE run_id = :id")
            id = connection.execute(query, {"id": run_id}).scalar()
        return None if id is None else ProviderRunId(id)

    def work(self, application: Application) -> None:
        """One pass of each kind; an error that would end a pass of the daemon is logged as the daemon logs it."""
        for _ in range(2):
            with suppress(StorageRefused):
                self.execute("UPDATE polls SET held_until = NULL, taken_at = NULL, next_check_at = followed_since")
            try:
                application.run_once()
            except Exception:
                logging.getLogger("wes_daemon").exception("daemon.pass_failed")

    def read(self, *arguments: str) -> None:
        """Call a command, and remember what it says."""
        result = CliRunner().invoke(cli, [*arguments, "--db-uri", self.uri])
        self.said.append(result.output)
        # A command sets up the log for itself.
        self.listen()

    def everything(self) -> str:
        """All that was said: the log, the commands' output, and the reasons in the database."""
        with reading(self.engine) as connection:
            stored = [str(row) for query in _TEXTS for row in connection.exec_driver_sql(query)]
        return "\n".join([self.log.getvalue(), *self.said, *stored])


@pytest.fixture
def odd(empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OddDatabase]:
    monkeypatch.chdir(tmp_path)
    odd = OddDatabase(empty_database.uri)
    root, ours = logging.getLogger(), logging.getLogger("wes_daemon")
    levels = {logger: logger.level for logger in (root, ours)}
    odd.listen()
    yield odd
    root.removeHandler(odd.handler)
    for logger, level in levels.items():
        logger.setLevel(level)
    odd.engine.dispose()


@pytest.fixture
def application(odd: OddDatabase) -> Iterator[Application]:
    container = Container(
        settings=read_settings(database_uri=odd.uri, default_provider="local", max_concurrent_workflows=1000)
    )
    container.directory.override(providers.Object(MemoryProviderDirectory(dict.fromkeys(ALL_PROVIDERS, odd.provider))))
    application = application_of(container)
    yield application
    application.close()


def live(odd: OddDatabase, application: Application, number: int) -> None:
    """One run that completes and one that is cancelled, from their enrolment on."""
    completing, cancelled = RunId(f"run-{number}-completing"), RunId(f"run-{number}-cancelled")
    odd.queue(completing, cancelled)
    odd.work(application)
    if (id := odd.provider_run(completing)) is not None:
        tasks = (ProviderTask(id="step", name="step", cmd=("echo", "hello")),)
        details = RunDetails(tasks=tasks, outputs={"password": PASSWORD})
        odd.provider.put(id, StatusReport(state=RunState.COMPLETE, provider_status="done"), details)
        odd.work(application)
    with suppress(StorageRefused):
        odd.service.move(cancelled, RunState.CANCELING)
    odd.work(application)


def read_reasons(odd: OddDatabase) -> None:
    """Show each run. A person may see its parameters; only the reasons are of interest here."""
    for command in ("list", "verify", "reconcile"):
        odd.read(command)
    odd.execute("UPDATE workflow_runs SET workflow_params = '{}', tags = '{}', workflow_url = 'x.cwl'")
    odd.execute("UPDATE submissions SET request = NULL")
    odd.execute("UPDATE run_details SET outputs = NULL")
    odd.read("list", "--json")
    with reading(odd.engine) as connection:
        runs = connection.exec_driver_sql("SELECT run_id FROM workflow_runs").scalars().all()
    for run in runs:
        odd.read("show", run)


def test_a_check_that_fails_never_shows_the_password_of_a_row(odd: OddDatabase, application: Application) -> None:
    for number, (table, unless) in enumerate(_REFUSED):
        counted = odd.log.getvalue().count(REFUSAL)
        odd.refuse(table, unless)
        live(odd, application, number)
        odd.permit(table)

        assert PASSWORD not in odd.everything(), (table, unless)
        assert odd.log.getvalue().count(REFUSAL) > counted, (table, unless)
        odd.end_runs()
    read_reasons(odd)

    assert PASSWORD not in odd.everything()
    assert "Failing row" not in odd.everything()


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_a_trigger_that_refuses_a_row_never_shows_its_password(odd: OddDatabase, application: Application) -> None:
    for number, function in enumerate(_FUNCTIONS):
        odd.raise_about("workflow_runs", function)
        live(odd, application, number)
        odd.permit("workflow_runs")

        assert PASSWORD not in odd.everything(), function
    read_reasons(odd)

    assert PASSWORD not in odd.everything()
    assert "CONTEXT" not in odd.everything()
    assert "the service refuses" in odd.everything()


def test_a_refused_row_says_which_constraint_has_refused_it(odd: OddDatabase, application: Application) -> None:
    odd.refuse("workflow_runs", "NEW.state <> 'INITIALIZING'")

    live(odd, application, 1)

    assert REFUSAL in odd.everything()
