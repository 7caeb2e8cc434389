"""Constraints and triggers of a service that refuse what the daemon writes, on both databases."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from tests.builders import a_report
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.service import create_tables
from tests.unit.application.conftest import World
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.application.ports.providers import ProviderTask, RunDetails
from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import RunId
from wes_daemon.domain.states import RunState

SECRET = "pa55word"
GOOD = ["good-1", "good-2", "good-3"]
A_DAY = timedelta(days=1)
TASKS = (ProviderTask(id="1", name="step one"), ProviderTask(id="2", name="a step with a long name"))


class Site:
    """A service's tables with rules of their own, and a daemon on them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.store = SqlHarness(engine)
        self.world = World()
        self.world.units = self.store.units
        self.daemon = self.world.daemon()

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is SQLite."""
        return self.engine.dialect.name == "sqlite"

    def execute(self, *statements: str) -> None:
        """Execute statements of the service."""
        with writing(self.engine) as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.commit()

    def upgrade(self) -> None:
        """Add the daemon's tables."""
        Schema(self.engine).upgrade()

    def queue(self, *ids: str) -> None:
        """Queue runs with a secret in their parameters."""
        for id in ids:
            self.execute(
                "INSERT INTO workflow_runs (run_id, state, workflow_params, workflow_type, workflow_type_version,"
                f" workflow_url, tags) VALUES ('{id}', 'QUEUED', '{{\"p\": \"{SECRET}\"}}', 'CWL', 'v1.2', 'x', '{{}}')"
            )

    def refuse_state(self, state: str, how: str = "trigger") -> None:
        """Refuse this state of the run `odd`."""
        if self.is_sqlite:
            refusal = "RAISE(ROLLBACK, 'not now')" if how == "rollback" else "RAISE(ABORT, 'not now')"
            self.execute(
                "CREATE TRIGGER refuse BEFORE UPDATE ON workflow_runs"
                f" WHEN NEW.run_id = 'odd' AND NEW.state = '{state}' BEGIN SELECT {refusal}; END"
            )
            return
        refusal = "RETURN NULL;" if how == "silent" else "RAISE EXCEPTION 'not now' USING DETAIL = NEW.workflow_params;"
        when = "AFTER" if how == "deferred" else "BEFORE"
        self.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF NEW.run_id = 'odd' AND NEW.state::text = '{state}' THEN {refusal} END IF; RETURN NEW; END $$",
            f"CREATE {'CONSTRAINT ' if how == 'deferred' else ''}TRIGGER refuse {when} UPDATE ON workflow_runs"
            f" {'INITIALLY DEFERRED' if how == 'deferred' else ''} FOR EACH ROW EXECUTE FUNCTION refuse()",
        )

    def allow(self) -> None:
        """Remove the trigger."""
        self.execute("DROP TRIGGER refuse" + ("" if self.is_sqlite else " ON workflow_runs"))

    def complete(self, *tasks: ProviderTask) -> None:
        """All started runs end well."""
        for key in self.world.provider.started:
            id = self.world.provider.id_of(key)
            details = RunDetails(outputs={"out": 1}, tasks=tasks)
            self.world.provider.put(id, a_report(RunState.COMPLETE, "COMPLETED"), details)

    def refresh(self) -> None:
        """Poll all runs."""
        self.daemon.refresh(ahead=A_DAY)

    def write_late_updates(self) -> None:
        """A pass of the loop, when everything is due."""
        self.store.let_pass(A_DAY)
        self.world.clock.advance(A_DAY)
        self.daemon.recorder.write_late_updates()

    def record(self, run_id: str = "odd") -> RunRecord:
        """All that `show` prints."""
        return self.store.queries.get(RunId(run_id))

    def state(self, run_id: str = "odd") -> str:
        """The state as the service reads it."""
        return str(self.record(run_id).run.state)


@pytest.fixture
def site(empty_engine: Engine, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    """The service's tables on both databases; whatever is refused is no bug, no outage, and says no secret."""
    caplog.set_level(logging.INFO)
    site = Site(empty_engine)
    with writing(empty_engine) as connection:
        create_tables(connection)
        connection.commit()
    site.upgrade()
    yield site
    assert not [record for record in caplog.records if record.exc_info]
    assert not [message for message in caplog.messages if message.startswith(("bug", "database."))]
    assert SECRET not in caplog.text
    for record in [site.record(id) for id in ("odd", *GOOD)]:
        assert SECRET not in (record.last_reason or "")
        assert not [entry for entry in record.timeline if SECRET in entry.why]


HOW = [
    ("sqlite", "trigger"),
    ("sqlite", "rollback"),
    ("postgresql", "trigger"),
    ("postgresql", "silent"),
    ("postgresql", "deferred"),
]
"""How a trigger may refuse a row: by an error, by the end of the transaction, without a word, at the commit."""

each_way = pytest.mark.parametrize(("empty_database", "how"), HOW, indirect=["empty_database"])


@each_way
def test_a_trigger_that_refuses_initializing_loses_no_acceptance_and_stops_no_other_run(site: Site, how: str) -> None:
    site.queue("good-1", "odd", "good-2", "good-3")
    site.refuse_state("INITIALIZING", how)

    report = site.daemon.submit()
    refused = site.record()
    site.allow()
    site.write_late_updates()

    assert report.accepted == 4
    assert {site.state(id) for id in GOOD} == {"INITIALIZING"}
    assert (refused.run.state, refused.submission) == ("QUEUED", SubmissionState.ACCEPTED)
    assert "recorded, but not shown in the run's row yet" in refused.timeline[-1].why
    assert refused.last_reason == refused.timeline[-1].why
    assert site.state() == "INITIALIZING"
    assert site.record().run.tag_values["provider_id"] == refused.run.provider_run_id


@each_way
def test_a_trigger_that_refuses_an_end_does_not_keep_the_run_from_being_over(site: Site, how: str) -> None:
    site.queue("good-1", "odd", "good-2", "good-3")
    site.daemon.submit()
    site.refuse_state("COMPLETE", how)
    site.complete(*TASKS)
    site.refresh()
    site.world.provider.calls.clear()
    for _ in range(3):
        site.daemon.submit()
        site.daemon.cancel()
        site.refresh()

    refused = site.record()
    site.allow()
    site.write_late_updates()

    assert {site.state(id) for id in GOOD} == {"COMPLETE"}
    assert (refused.run.state, refused.submission) == ("INITIALIZING", SubmissionState.CLOSED)
    assert refused.details.outputs == {"out": 1}
    assert len(refused.tasks) == 2
    assert site.world.provider.calls == []
    assert site.state() == "COMPLETE"
    assert site.record().run.end_time is not None


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_a_state_that_the_service_does_not_know_is_left_out_and_the_end_is_shown(site: Site) -> None:
    site.execute(
        "ALTER TABLE workflow_runs ADD CONSTRAINT known CHECK"
        " (state IN ('QUEUED', 'RUNNING', 'COMPLETE', 'EXECUTOR_ERROR', 'CANCELED'))",
    )
    site.queue("odd", *GOOD)

    site.daemon.submit()
    accepted = {site.state(id) for id in ("odd", *GOOD)}
    site.complete()
    site.refresh()
    site.write_late_updates()

    assert accepted == {"QUEUED"}
    assert {site.state(id) for id in ("odd", *GOOD)} == {"COMPLETE"}
    assert all("provider_id" in site.record(id).run.tag_values for id in ("odd", *GOOD))


RULES: dict[str, Callable[[Site], list[str]]] = {
    "a column that only the service's Python fills": lambda site: _with_columns(
        site, id="VARCHAR(36) PRIMARY KEY", name="VARCHAR(200) NOT NULL", more=", created_by VARCHAR(36) NOT NULL"
    ),
    "a serial id": lambda site: _with_columns(
        site, id="INTEGER PRIMARY KEY" if site.is_sqlite else "SERIAL PRIMARY KEY", name="VARCHAR(200) NOT NULL"
    ),
    "a rule about names": lambda site: _with_columns(
        site, id="VARCHAR(36) PRIMARY KEY", name="VARCHAR(10) NOT NULL CHECK (length(name) <= 10)"
    ),
    "a key that refers to another table": lambda site: _with_columns(
        site, id="VARCHAR(36) PRIMARY KEY", name="VARCHAR(200) REFERENCES steps (name)"
    ),
}


def _with_columns(site: Site, *, id: str, name: str, more: str = "") -> list[str]:
    del site
    return [
        "CREATE TABLE steps (name VARCHAR(200) PRIMARY KEY)",
        "DROP TABLE task_logs",
        f"CREATE TABLE task_logs (id {id}, run_id VARCHAR(36) REFERENCES workflow_runs (run_id), name {name},"
        " cmd JSON, start_time TIMESTAMP, end_time TIMESTAMP, stdout VARCHAR(500), stderr VARCHAR(500),"
        f" exit_code INTEGER, system_logs JSON{more})",
    ]


@pytest.mark.parametrize("rule", list(RULES))
def test_task_logs_that_the_table_refuses_keep_no_run_from_its_end(
    site: Site, rule: str, caplog: pytest.LogCaptureFixture
) -> None:
    site.execute(*RULES[rule](site))
    site.queue("odd", *GOOD)
    site.daemon.submit()
    site.complete(*TASKS)

    site.refresh()

    records = [site.record(id) for id in ("odd", *GOOD)]
    assert {record.run.state for record in records} == {"COMPLETE"}
    assert all(record.details.outputs == {"out": 1} for record in records)
    assert all("task logs were not stored" in record.timeline[-1].why for record in records)
    stored = [task.name for record in records for task in record.tasks]
    assert stored == (["step one"] * 4 if rule == "a rule about names" else [])
    refused = [message for message in caplog.messages if message.startswith("run.refused")]
    assert len(refused) == 4
    assert all("during=task_logs" in message for message in refused)


def test_a_run_that_the_daemons_table_refuses_waits_alone(site: Site) -> None:
    site.queue("good-1", "odd", "good-2", "good-3")
    _refuse_in(site, "submissions", "INSERT", "NEW.run_id = 'odd'")

    report = site.daemon.submit()
    again = site.daemon.submit()

    assert (report.enrolled, report.accepted) == (3, 3)
    assert again.enrolled == 0
    assert site.record().submission is None
    assert "refused by the database during enrol" in site.record().timeline[-1].why


def test_a_run_whose_intent_is_refused_is_not_sent_and_waits_alone(site: Site) -> None:
    site.queue("good-1", "odd", "good-2", "good-3")
    _refuse_in(site, "submissions", "UPDATE", "NEW.run_id = 'odd' AND NEW.state = 'INTENT'")

    report = site.daemon.submit()

    assert (report.enrolled, report.accepted) == (4, 3)
    assert "wes-odd" not in site.world.provider.started
    assert site.record().submission is SubmissionState.READY
    assert "its claim was refused" in (site.record().last_reason or "")
    assert site.record().attempts == 0


def test_an_acceptance_that_is_refused_leaves_the_run_in_doubt(site: Site) -> None:
    site.queue("good-1", "odd", "good-2", "good-3")
    _refuse_in(site, "submissions", "UPDATE", "NEW.run_id = 'odd' AND NEW.state = 'ACCEPTED'")

    report = site.daemon.submit()

    assert report.accepted == 3
    assert site.record().submission is SubmissionState.INTENT
    assert "accepted by sevenbridges as" in (site.record().last_reason or "")


def test_a_poll_that_is_refused_waits_alone(site: Site) -> None:
    site.queue("good-1", "odd", "good-2", "good-3")
    site.daemon.submit()
    _refuse_in(site, "run_events", "INSERT", "NEW.run_id = 'odd'")
    site.complete()

    site.refresh()

    assert {site.state(id) for id in GOOD} == {"COMPLETE"}


def test_an_adoption_that_is_refused_keeps_no_other_from_being_followed(site: Site) -> None:
    site.queue("good-1", "odd", "good-2", "good-3")
    for id in ("odd", *GOOD):
        tags = f'{{"provider_type": "sevenbridges", "provider_id": "at-{id}"}}'
        site.execute(f"UPDATE workflow_runs SET state = 'RUNNING', tags = '{tags}' WHERE run_id = '{id}'")
    _refuse_in(site, "submissions", "INSERT", "NEW.run_id = 'odd'")

    report = site.daemon.submit()

    assert report.enrolled == 3
    assert {site.record(id).submission for id in GOOD} == {SubmissionState.ACCEPTED}
    assert site.record().submission is None


def test_a_cancellation_that_is_refused_keeps_no_other_from_ending(site: Site) -> None:
    site.queue("good-1", "odd", "good-2", "good-3")
    site.execute("UPDATE workflow_runs SET state = 'CANCELING'")
    site.refuse_state("CANCELED")

    site.daemon.cancel()

    assert {site.state(id) for id in GOOD} == {"CANCELED"}
    assert site.state() == "CANCELING"
    site.allow()
    site.write_late_updates()
    assert site.state() == "CANCELED"


def _refuse_in(site: Site, table: str, action: str, condition: str) -> None:
    """Refuse rows of one of the daemon's own tables."""
    if site.is_sqlite:
        site.execute(
            f"CREATE TRIGGER refuse_{table} BEFORE {action} ON {table} WHEN {condition}"
            " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
        return
    site.execute(
        f"CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {condition} THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$",
        f"CREATE TRIGGER refuse_{table} BEFORE {action} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_{table}()",
    )
