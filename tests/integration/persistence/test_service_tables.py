"""The judgement of a service's tables at the start: refused, supported, or supported with limits."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.integration.conftest import PostgreSQL, as_text
from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.service import ColumnTypes, create_tables
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.location import VERSION_TABLE
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.service_objects import TRIGGERS
from wes_daemon.adapters.persistence.tables import daemon_metadata
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.application.ports.errors import StorageMisconfigured
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.runs import RunUpdate
from wes_daemon.domain.runs import RunId, TaskLog, task_id
from wes_daemon.domain.states import RunState

_STATES = [f"'{state}'" for state in RunState]

REFUSED = {
    "an id of an unsupported type": (
        ["ALTER TABLE task_logs DROP COLUMN run_id", "ALTER TABLE task_logs ADD run_id VARCHAR(36)"],
        "ALTER TABLE workflow_runs ALTER COLUMN run_id TYPE bytea USING run_id::bytea",
        r"workflow_runs\.run_id is bytea, but text, CHAR, UUID, INTEGER or BIGINT is needed: "
        r"ALTER TABLE workflow_runs ALTER COLUMN run_id TYPE varchar\(64\)",
    ),
    "a state that is too short": (
        [],
        "ALTER TABLE workflow_runs ALTER COLUMN state TYPE varchar(8)",
        r"workflow_runs\.state is character varying\(8\), but the longest state has 14 characters: ALTER TABLE",
    ),
    "a number as state": (
        [],
        "ALTER TABLE workflow_runs ALTER COLUMN state TYPE integer USING 1",
        r"workflow_runs\.state is integer, but text or an enum of the states is needed: ALTER TABLE",
    ),
    "an enum without a state": (
        [f"CREATE TYPE run_state AS ENUM ({', '.join(_STATES[:-1])})"],
        "ALTER TABLE workflow_runs ALTER COLUMN state TYPE run_state USING state::run_state",
        r"workflow_runs\.state is the enum run_state without PREEMPTED: ALTER TYPE run_state ADD VALUE 'PREEMPTED'",
    ),
    "an end time that is a date": (
        [],
        "ALTER TABLE workflow_runs ALTER COLUMN end_time TYPE date",
        r"workflow_runs\.end_time is date, but TIMESTAMP with or without time zone is needed: .* TYPE timestamptz",
    ),
    "tags of bytes": (
        [],
        "ALTER TABLE workflow_runs ALTER COLUMN tags TYPE bytea USING NULL",
        r"workflow_runs\.tags is bytea, but JSON, JSONB or text is needed: .* TYPE json",
    ),
    "an exit code that is a text": (
        [],
        "ALTER TABLE task_logs ALTER COLUMN exit_code TYPE text",
        r"task_logs\.exit_code is text, but a number is needed: .* TYPE integer",
    ),
    "a computed end time": (
        ["ALTER TABLE workflow_runs DROP COLUMN end_time"],
        "ALTER TABLE workflow_runs ADD end_time timestamp GENERATED ALWAYS AS (start_time) STORED",
        r"workflow_runs\.end_time is computed by the database, but the daemon writes it",
    ),
    "a view that cannot be written": (
        ["ALTER TABLE task_logs RENAME TO task_logs_of_the_service"],
        "CREATE VIEW task_logs AS SELECT * FROM task_logs_of_the_service LIMIT 9",
        "view task_logs cannot be written: create INSTEAD OF triggers for INSERT and UPDATE on it",
    ),
    "a materialized view": (
        ["ALTER TABLE task_logs RENAME TO task_logs_of_the_service"],
        "CREATE MATERIALIZED VIEW task_logs AS SELECT * FROM task_logs_of_the_service",
        "view task_logs is a materialized view, which cannot be written",
    ),
}

SUPPORTED = {
    "states of an enum type": [
        f"CREATE TYPE run_state AS ENUM ({', '.join(_STATES)})",
        "ALTER TABLE workflow_runs ALTER COLUMN state TYPE run_state USING state::run_state",
    ],
    "a domain": [
        "CREATE DOMAIN word AS varchar(30) NOT NULL DEFAULT 'x'",
        "ALTER TABLE workflow_runs ALTER COLUMN state TYPE word",
    ],
    "an enum of workflow types": [
        "CREATE TYPE language AS ENUM ('CWL', 'WDL')",
        "ALTER TABLE workflow_runs ALTER COLUMN workflow_type TYPE language USING workflow_type::language",
    ],
    "a NOT NULL column with a default": [
        "ALTER TABLE task_logs ADD created_at timestamp NOT NULL DEFAULT now()",
        "ALTER TABLE workflow_runs ADD number integer NOT NULL GENERATED ALWAYS AS IDENTITY",
    ],
    "short texts of a task log": ["ALTER TABLE task_logs ALTER COLUMN name TYPE varchar(10)"],
}

LIMITED = {
    "a NOT NULL column that only the service fills": (
        "ALTER TABLE task_logs ADD created_at timestamp NOT NULL",
        r"task_logs\.created_at is NOT NULL without a default in the database, so task logs cannot be stored: "
        r"ALTER TABLE task_logs ALTER COLUMN created_at SET DEFAULT",
    ),
    "a NOT NULL column of the runs": (
        "ALTER TABLE workflow_runs ADD project text NOT NULL",
        r"workflow_runs\.project is NOT NULL without a default in the database, so `wes-daemon submit` cannot queue",
    ),
    "a serial id of task logs": (
        "ALTER TABLE task_logs DROP COLUMN id; ALTER TABLE task_logs ADD id serial PRIMARY KEY",
        r"task_logs\.id is integer, but a task log has a UUID as id, so task logs cannot be stored: ALTER TABLE",
    ),
    "ids that are not unique": (
        "ALTER TABLE workflow_runs DROP CONSTRAINT workflow_runs_pkey CASCADE",
        r"workflow_runs has no unique index on run_id.*: ALTER TABLE workflow_runs ADD PRIMARY KEY \(run_id\)",
    ),
}


@pytest.fixture
def service(postgresql_server: PostgreSQL) -> Iterator[Engine]:
    """A database with a service's tables."""
    uri = postgresql_server.create()
    with disposed(make_engine(uri, connections=2)) as engine:
        with writing(engine) as connection:
            create_tables(connection, ColumnTypes())
            connection.commit()
        yield engine
    postgresql_server.drop(uri)


def change(engine: Engine, *statements: str) -> None:
    """The service changes its tables."""
    with writing(engine) as connection:
        for statement in statements:
            connection.execute(text(statement))
        connection.commit()


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_with_the_statement_that_mends_it(service: Engine, case: str) -> None:
    before, statement, message = REFUSED[case]
    if "id of an unsupported type" in case:
        change(service, "ALTER TABLE task_logs DROP CONSTRAINT task_logs_run_id_fkey")
    change(service, *before, statement)

    with pytest.raises(StorageMisconfigured, match=message):
        Schema(service).upgrade()

    assert Schema(service).current() is None


@pytest.mark.parametrize("case", REFUSED)
def test_a_change_after_the_upgrade_is_refused_at_the_next_start(service: Engine, case: str) -> None:
    before, statement, message = REFUSED[case]
    Schema(service).upgrade()
    if "id of an unsupported type" in case:
        change(service, "ALTER TABLE task_logs DROP CONSTRAINT task_logs_run_id_fkey")
    if "state" in case:
        change(service, *(f"DROP TRIGGER {trigger.name} ON workflow_runs" for trigger in TRIGGERS))
        for index in ("queued", "active", "cancelled", "cancelling", "unknown"):
            change(service, f"DROP INDEX wes_daemon_runs_{index}")
    change(service, *before, statement)

    with pytest.raises(StorageMisconfigured, match=message):
        Schema(service).check()


@pytest.mark.parametrize("type", ["text", "date", "varchar(40)"])
def test_the_statement_for_a_wrong_type_can_be_executed(service: Engine, type: str) -> None:
    change(service, f"ALTER TABLE workflow_runs ALTER COLUMN end_time TYPE {type}")
    with pytest.raises(StorageMisconfigured) as caught:
        Schema(service).upgrade()

    change(service, str(caught.value).rpartition(": ")[2])

    Schema(service).upgrade()


def test_all_that_is_missing_is_said_at_once(service: Engine) -> None:
    change(
        service,
        "ALTER TABLE workflow_runs ALTER COLUMN tags TYPE bytea USING NULL",
        "ALTER TABLE task_logs ALTER COLUMN exit_code TYPE text",
        "ALTER TABLE task_logs DROP COLUMN cmd",
    )

    with pytest.raises(StorageMisconfigured) as caught:
        Schema(service).upgrade()

    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["table", "task_logs.exit_code", "workflow_runs.tags"]


@pytest.mark.parametrize("case", SUPPORTED)
def test_what_can_work_is_supported(service: Engine, case: str) -> None:
    change(service, *SUPPORTED[case])

    Schema(service).upgrade()

    Schema(service).check()
    assert Schema(service).limits() == []


@pytest.mark.parametrize("case", LIMITED)
def test_what_works_only_in_part_is_said_with_the_statement_that_mends_it(service: Engine, case: str) -> None:
    statements, message = LIMITED[case]
    change(service, *statements.split("; "))

    Schema(service).upgrade()

    Schema(service).check()
    [limit] = Schema(service).limits()
    assert re.search(message, limit)


def test_texts_are_cut_to_the_lengths_of_the_columns_that_the_service_has(service: Engine) -> None:
    change(
        service,
        "ALTER TABLE task_logs ALTER COLUMN name TYPE varchar(10)",
        "ALTER TABLE task_logs ALTER COLUMN stdout TYPE text",
    )
    Schema(service).upgrade()
    store = SqlHarness(service)
    store.queue("run-1")
    task = TaskLog(id=task_id(RunId("run-1"), "task"), name="n" * 300, stdout="s" * 3000)

    with store.units() as unit:
        run = unit.runs.get(RunId("run-1"))
        unit.runs.write([RunUpdate(before=run, after=run, details=RunDetails(), tasks=[task])])
        unit.commit()

    [stored] = store.queries.get(RunId("run-1")).tasks
    assert (stored.name, stored.stdout) == ("nnnnnnnnn…", "s" * 3000)


@contextmanager
def as_role(engine: Engine, role: str, *grants: str) -> Iterator[Engine]:
    """An engine that connects as a role with these privileges, and with those on the daemon's tables."""
    change(engine, f"DROP ROLE IF EXISTS {role}", f"CREATE ROLE {role} LOGIN")
    own = ", ".join([*daemon_metadata.tables, VERSION_TABLE])
    change(
        engine,
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {own} TO {role}",
        *(f"GRANT {each} TO {role}" for each in grants),
    )
    try:
        with disposed(make_engine(as_text(engine.url.set(username=role)), connections=2)) as engine_of_role:
            yield engine_of_role
    finally:
        change(engine, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_each_missing_privilege_is_said_with_its_statement(service: Engine) -> None:
    Schema(service).upgrade()

    with (
        as_role(service, "wes_half", "SELECT ON workflow_runs") as role,
        pytest.raises(StorageMisconfigured) as caught,
    ):
        Schema(role).check()

    assert str(caught.value).splitlines()[1:] == [
        "the role lacks UPDATE on workflow_runs: GRANT UPDATE ON workflow_runs TO wes_half",
        "the role lacks SELECT, INSERT, UPDATE on task_logs: GRANT SELECT, INSERT, UPDATE ON task_logs TO wes_half",
    ]


def test_a_role_that_may_not_insert_runs_can_execute_them(service: Engine) -> None:
    Schema(service).upgrade()

    with as_role(
        service, "wes_worker", "SELECT, UPDATE ON workflow_runs", "SELECT, INSERT, UPDATE ON task_logs"
    ) as role:
        Schema(role).check()


def test_row_level_security_that_hides_all_rows_is_refused(service: Engine) -> None:
    Schema(service).upgrade()
    change(service, "ALTER TABLE workflow_runs ENABLE ROW LEVEL SECURITY")
    grants = ("SELECT, UPDATE ON workflow_runs", "SELECT, INSERT, UPDATE ON task_logs")

    with (
        as_role(service, "wes_blind", *grants) as role,
        pytest.raises(StorageMisconfigured, match=r"row level security of workflow_runs hides all rows.*CREATE POLICY"),
    ):
        Schema(role).check()


def test_row_level_security_with_a_policy_is_a_limit(service: Engine) -> None:
    Schema(service).upgrade()
    change(
        service,
        "ALTER TABLE workflow_runs ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY cwl_only ON workflow_runs USING (workflow_type = 'CWL')",
    )
    grants = ("SELECT, UPDATE ON workflow_runs", "SELECT, INSERT, UPDATE ON task_logs")

    with as_role(service, "wes_partial", *grants) as role:
        Schema(role).check()
        [limit] = Schema(role).limits()

    assert "runs that its policies hide are not executed: ALTER ROLE wes_partial BYPASSRLS" in limit


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "CREATE VIEW workflow_runs AS SELECT * FROM runs",
            "workflow_runs is a view, which works on PostgreSQL only",
        ),
        (None, "workflow_runs is a table WITHOUT ROWID: create it without"),
    ],
)
def test_what_sqlite_cannot_do_is_refused(tmp_path: Path, statement: str | None, message: str) -> None:
    with disposed(make_engine(f"sqlite:///{tmp_path / 'runs.db'}", connections=1)) as engine:
        with writing(engine) as connection:
            create_tables(connection)
            [declared] = connection.execute(
                text("SELECT sql FROM sqlite_schema WHERE name = 'workflow_runs'")
            ).scalars()
            connection.execute(text("ALTER TABLE workflow_runs RENAME TO runs"))
            connection.execute(text(statement or f"{declared} WITHOUT ROWID"))
            connection.commit()

        with pytest.raises(StorageMisconfigured, match=message):
            Schema(engine).upgrade()
