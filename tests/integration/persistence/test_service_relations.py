"""The contract on partitioned tables and on views with triggers that a WES service has in place of tables."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.builders import ALL_PROVIDERS
from tests.contracts.persistence_claims import ClaimRules
from tests.contracts.persistence_enrolment import EnrolmentRules
from tests.contracts.persistence_harness import ServiceRow
from tests.contracts.persistence_polls import CancellationRules
from tests.contracts.persistence_runs import RunRules
from tests.contracts.persistence_submissions import WithdrawalRules
from tests.contracts.wakeup import BOUND, listening
from tests.integration.conftest import PostgreSQL, as_text
from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.relations import BY_STATE, BY_TIME, JOINED, emptied, execute, made
from wes_daemon.adapters.persistence.change_feed import DatabaseChangeFeed
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.work_probe import SqlWorkProbe
from wes_daemon.application.ports.errors import Contended, StorageMisconfigured
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.application.ports.runs import RunUpdate
from wes_daemon.application.ports.submissions import Acceptance
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId, TaskId, TaskLog
from wes_daemon.domain.states import RunState

_TABLE = "CREATE TABLE all_runs AS SELECT * FROM workflow_runs; DROP TABLE workflow_runs CASCADE;"


class OnRelations(EnrolmentRules, WithdrawalRules, CancellationRules, RunRules):
    """All that reads or writes the service's tables."""


@pytest.fixture(scope="module")
def engine_by_time(postgresql_server: PostgreSQL) -> Iterator[Engine]:
    """The key of a run has its time, too."""
    with made(postgresql_server, BY_TIME) as engine:
        yield engine


@pytest.fixture(scope="module")
def engine_by_state(postgresql_server: PostgreSQL) -> Iterator[Engine]:
    """A row moves when its state changes."""
    with made(postgresql_server, BY_STATE) as engine:
        yield engine


@pytest.fixture(scope="module")
def engine_joined(postgresql_server: PostgreSQL) -> Iterator[Engine]:
    """A run has its row in two tables."""
    with made(postgresql_server, JOINED) as engine:
        yield engine


@pytest.fixture
def by_time(engine_by_time: Engine, postgresql_server: PostgreSQL) -> SqlHarness:
    return emptied(engine_by_time, BY_TIME, postgresql_server)


@pytest.fixture
def by_state(engine_by_state: Engine, postgresql_server: PostgreSQL) -> SqlHarness:
    return emptied(engine_by_state, BY_STATE, postgresql_server)


@pytest.fixture
def joined(engine_joined: Engine, postgresql_server: PostgreSQL) -> SqlHarness:
    return emptied(engine_joined, JOINED, postgresql_server)


class TestPartitionsByTime(OnRelations, ClaimRules):
    """`PARTITION BY RANGE (submitted_at)`."""

    @pytest.fixture
    def store(self, by_time: SqlHarness) -> SqlHarness:
        return by_time


class TestPartitionsByState(OnRelations):
    """`PARTITION BY LIST (state)`."""

    @pytest.fixture
    def store(self, by_state: SqlHarness) -> SqlHarness:
        return by_state


class TestViewsWithTriggers(OnRelations):
    """Views, one of which joins two tables. They have no system columns, and no ON CONFLICT."""

    @pytest.fixture
    def store(self, joined: SqlHarness) -> SqlHarness:
        return joined


@pytest.mark.parametrize(
    ("view", "order"),
    [
        ("SELECT *, workflow_url AS stored_order FROM all_runs", ["run-b", "run-c", "run-a"]),
        ("SELECT * FROM all_runs", ["run-a", "run-b", "run-c"]),
    ],
)
def test_rows_of_a_view_are_enrolled_in_the_order_that_it_names_or_by_their_ids(
    empty_postgresql: Engine, view: str, order: Sequence[str]
) -> None:
    Schema(empty_postgresql).upgrade()
    _replace_by_view(empty_postgresql, view)
    Schema(empty_postgresql).check()
    store = SqlHarness(empty_postgresql)
    for id, url in (("run-c", "file:///2"), ("run-a", "file:///3"), ("run-b", "file:///1")):
        store.put(ServiceRow(run_id=id, workflow_url=url))

    store.enrol()

    assert [claimed.run.id for claimed in store.claim()] == order


def test_views_that_replace_tables_are_recognised_by_the_next_process(empty_postgresql: Engine) -> None:
    Schema(empty_postgresql).upgrade()
    _replace_by_view(empty_postgresql, "SELECT * FROM all_runs")

    with disposed(make_engine(as_text(empty_postgresql.url), connections=1)) as engine:
        store = SqlHarness(engine)
        store.put(ServiceRow(run_id="run-1"))

        assert [record.run.id for record in store.queries.list(RunFilter())] == ["run-1"]
        assert store.enrol() == 1


def test_a_task_log_that_is_written_twice_is_stored_once(partitions_or_views: SqlHarness) -> None:
    store = partitions_or_views
    store.put(ServiceRow(run_id="run-1", state="RUNNING"))

    _write_tasks(store, ["align", "sort"])
    _write_tasks(store, ["align again", "sort again", "call"])

    assert [task.name for task in store.queries.get(RunId("run-1")).tasks] == ["align again", "call", "sort again"]


def test_runs_that_change_their_partition_are_announced(by_state: SqlHarness) -> None:
    by_state.put(ServiceRow(run_id="run-1", state="RUNNING"))
    feed = DatabaseChangeFeed(make_engine(as_text(by_state.engine.url), connections=1))

    with listening(feed) as hints:
        hints.expect()
        by_state.move("run-1", RunState.CANCELING)

        hints.expect()


def test_a_row_that_moves_while_the_daemon_waits_for_it_is_contended_and_no_bug(by_state: SqlHarness) -> None:
    by_state.put(ServiceRow(run_id="run-1", state="RUNNING"))
    with by_state.engine.connect() as service, ThreadPoolExecutor(max_workers=1) as threads:
        service.execute(text("UPDATE workflow_runs SET state = 'CANCELING' WHERE run_id = 'run-1'"))
        reading = threads.submit(_lock, by_state, "run-1")
        _until_a_session_waits(by_state.engine, reading)

        service.commit()

        with pytest.raises(Contended):
            reading.result(timeout=BOUND)
    assert by_state.run("run-1").state is RunState.CANCELING


def test_two_rows_with_one_run_id_are_one_run_and_stop_no_other(by_time: SqlHarness) -> None:
    for time in ("2025-01-01", "2026-05-01"):
        execute(
            by_time.engine,
            "INSERT INTO workflow_runs (run_id, state, workflow_type, workflow_type_version, workflow_url,"
            f" submitted_at) VALUES ('run-twice', 'QUEUED', 'CWL', 'v1.2', 'file:///a.cwl', '{time}')",
        )
    by_time.put(ServiceRow(run_id="run-once"))
    by_time.enrol()

    claimed = by_time.claim()

    assert sorted(each.run.id for each in claimed) == ["run-once", "run-twice"]
    acceptances = [
        Acceptance(claim=each.claim, provider=ProviderType.LOCAL, provider_run_id=ProviderRunId(f"at-{each.run.id}"))
        for each in claimed
    ]
    with by_time.units() as unit:
        unit.submissions.record_acceptances(acceptances, first_poll_after=timedelta(0))
        unit.commit()
    with by_time.units() as unit:
        before = unit.runs.get_summaries([RunId("run-twice")])[RunId("run-twice")]
        assert unit.runs.get(RunId("run-twice")).id == "run-twice"
        unit.runs.write([RunUpdate(before=before, after=replace(before, state=RunState.CANCELING))])
        assert list(unit.submissions.close_withdrawn(limit=10)) == []
        assert list(unit.polls.to_cancel(limit=10, lease=timedelta(minutes=1), serving=ALL_PROVIDERS)) != []
        unit.commit()
    assert not SqlWorkProbe(by_time.engine).has_queued_runs(lambda _: None, serving={None, *ALL_PROVIDERS})
    with by_time.engine.connect() as connection:
        states = connection.execute(text("SELECT state FROM workflow_runs WHERE run_id = 'run-twice'")).scalars().all()
    assert states == ["CANCELING", "CANCELING"]


def test_the_first_session_inherits_two_rows_with_one_run_id_as_one_run(by_time: SqlHarness) -> None:
    for time in ("2025-01-01", "2026-05-01"):
        execute(
            by_time.engine,
            "INSERT INTO workflow_runs (run_id, state, workflow_type, workflow_type_version, workflow_url,"
            f" submitted_at) VALUES ('run-twice', 'QUEUED', 'CWL', 'v1.2', 'file:///a.cwl', '{time}')",
        )
    by_time.put(ServiceRow(run_id="run-once"))

    with by_time.units() as unit:
        inherited = unit.submissions.inherit()
        unit.commit()

    assert inherited == 2


@pytest.mark.parametrize(
    ("view", "says"),
    [
        (
            "SELECT DISTINCT ON (run_id) * FROM all_runs",
            "view workflow_runs cannot be written: create INSTEAD OF triggers",
        ),
        (
            "SELECT run_id, upper(state) AS state, workflow_params, workflow_type, workflow_type_version,"
            " workflow_engine, workflow_engine_version, workflow_url, tags, start_time, end_time FROM all_runs",
            "view workflow_runs computes state, which cannot be written: create INSTEAD OF triggers",
        ),
    ],
)
def test_a_view_that_cannot_be_written_is_refused_with_what_fixes_it(
    empty_postgresql: Engine, view: str, says: str
) -> None:
    Schema(empty_postgresql).upgrade()
    _replace_by_view(empty_postgresql, view)

    with pytest.raises(StorageMisconfigured, match=says):
        Schema(empty_postgresql).check()


def test_a_view_whose_rows_cannot_be_locked_is_refused_with_what_fixes_it(empty_postgresql: Engine) -> None:
    Schema(empty_postgresql).upgrade()
    _replace_by_view(empty_postgresql, "SELECT DISTINCT ON (run_id) * FROM all_runs")
    execute(
        empty_postgresql,
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        " CREATE TRIGGER nothing INSTEAD OF INSERT OR UPDATE ON workflow_runs FOR EACH ROW EXECUTE FUNCTION nothing()",
    )

    with pytest.raises(StorageMisconfigured, match="view workflow_runs has rows that cannot be locked: define it"):
        Schema(empty_postgresql).check()


def test_a_materialized_view_is_refused_with_what_fixes_it(empty_postgresql: Engine) -> None:
    Schema(empty_postgresql).upgrade()
    execute(empty_postgresql, f"{_TABLE} CREATE MATERIALIZED VIEW workflow_runs AS SELECT * FROM all_runs")

    with pytest.raises(StorageMisconfigured, match=r"workflow_runs is a materialized view, .*use a table"):
        Schema(empty_postgresql).upgrade()


def test_a_view_on_sqlite_is_refused_with_what_fixes_it(tmp_path: Path) -> None:
    with disposed(make_engine(f"sqlite:///{tmp_path}/runs.db", connections=1)) as engine:
        Schema(engine).upgrade()
        execute(engine, "ALTER TABLE workflow_runs RENAME TO all_runs")
        execute(engine, "CREATE VIEW workflow_runs AS SELECT * FROM all_runs")

        for refuse in (Schema(engine).check, Schema(engine).upgrade):
            with pytest.raises(StorageMisconfigured, match="workflow_runs is a view, which works on PostgreSQL only"):
                refuse()


def test_an_upgrade_refuses_a_view_that_cannot_be_written_before_anything_is_changed(empty_postgresql: Engine) -> None:
    execute(empty_postgresql, JOINED.statements)
    execute(empty_postgresql, "DROP TRIGGER write_run ON workflow_runs")

    with pytest.raises(StorageMisconfigured, match="view workflow_runs cannot be written"):
        Schema(empty_postgresql).upgrade()

    assert Schema(empty_postgresql).current() is None


@pytest.fixture
def empty_postgresql(postgresql_server: PostgreSQL) -> Iterator[Engine]:
    """An engine on a database without any table."""
    uri = postgresql_server.create()
    with disposed(make_engine(uri, connections=5)) as engine:
        yield engine
    postgresql_server.drop(uri)


@pytest.fixture(params=["by_time", "by_state", "joined"])
def partitions_or_views(request: pytest.FixtureRequest) -> SqlHarness:
    """An empty store on each kind of relation."""
    store: SqlHarness = request.getfixturevalue(request.param)
    return store


def _lock(store: SqlHarness, run_id: str) -> None:
    with store.units() as unit:
        unit.runs.get(RunId(run_id))


def _until_a_session_waits(engine: Engine, reading: Future[None]) -> None:
    waiting = text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
    with engine.connect() as connection:
        while not connection.execute(waiting).scalar_one():
            assert not reading.done(), "it did not wait"
            threading.Event().wait(0.01)


def _replace_by_view(engine: Engine, view: str) -> None:
    execute(engine, f"{_TABLE} ALTER TABLE all_runs ADD PRIMARY KEY (run_id); CREATE VIEW workflow_runs AS {view}")


def _write_tasks(store: SqlHarness, names: Sequence[str]) -> None:
    tasks = [TaskLog(id=TaskId(f"task-{number}"), name=name) for number, name in enumerate(names)]
    with store.units() as unit:
        run = unit.runs.get_summaries([RunId("run-1")])[RunId("run-1")]
        unit.runs.write([RunUpdate(before=run, after=run, tasks=tasks)])
        unit.commit()
