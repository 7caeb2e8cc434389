"""The ids and states of a service's rows in every type that a service may give them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine, text

from tests.builders import ALL_PROVIDERS, NOON
from tests.contracts.persistence_harness import SECOND, ServiceRow, an_entry
from tests.integration.conftest import PostgreSQL
from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.service import ColumnTypes, create_tables
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.reconcile_queries import SqlReconcileQueries, SqlRepairUnits
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.application.ports.checks import CheckContext, Severity
from wes_daemon.application.ports.errors import RunNotFound, StorageMisconfigured
from wes_daemon.application.ports.polls import PollResult
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.application.ports.runs import RunUpdate
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId, StatusReport, TaskLog, task_id
from wes_daemon.domain.states import RunState

_STATES = ", ".join(f"'{state}'" for state in RunState)
_UUIDS = [f"6f1c9a52-0000-4000-8000-00000000000{number}" for number in range(1, 4)]


@dataclass(frozen=True, kw_only=True)
class Ids:
    """A type of ids, and three ids and an id of no run in it."""

    types: ColumnTypes
    ids: Sequence[str]
    unknown: str


KINDS = {
    "longer than 36 characters": Ids(
        types=ColumnTypes(run_id="VARCHAR(64)"), ids=[f"{number}" * 64 for number in (1, 2, 3)], unknown="4" * 64
    ),
    "char": Ids(
        types=ColumnTypes(run_id="CHAR(40)", state="CHAR(20)"), ids=["run-1", "run-2", "run-3"], unknown="run-4"
    ),
    "uuid": Ids(types=ColumnTypes(run_id="UUID"), ids=_UUIDS, unknown="run-4"),
    "bigint": Ids(types=ColumnTypes(run_id="BIGINT"), ids=["1", "20", str(2**63 - 1)], unknown="x"),
    "integer": Ids(types=ColumnTypes(run_id="INTEGER"), ids=["1", "20", "300"], unknown=str(2**70)),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Ids:
    """One type of ids after the other."""
    return KINDS[request.param]


@pytest.fixture
def own_store(empty_engine: Engine, kind: Ids) -> SqlHarness:
    """A store on a service's tables with this type of ids."""
    create_service(empty_engine, kind.types)
    return SqlHarness(empty_engine)


def test_runs_are_submitted_followed_and_ended(own_store: SqlHarness, kind: Ids) -> None:
    own_store.accepted(*kind.ids)
    due = own_store.due()
    running = [PollResult(poll, StatusReport(state=RunState.RUNNING, provider_status="running")) for poll in due]
    tasks = [TaskLog(id=task_id(RunId(kind.ids[0]), "task-1"), name="align")]

    with own_store.units() as unit:
        recorded = unit.polls.record_changed(running, delay=lambda _: SECOND)
        finished = unit.polls.finish(due)
        runs = unit.runs.get_summaries(finished)
        updates = {id: run.cancelled_before_submission(NOON) for id, run in runs.items()}
        unit.runs.write(
            [
                RunUpdate(
                    before=runs[id],
                    after=after,
                    details=RunDetails(outputs={"n": 1}),
                    tasks=tasks,
                    entry=an_entry(after),
                )
                for id, after in updates.items()
                if id == kind.ids[0]
            ]
        )
        unit.commit()

    assert recorded == finished == set(kind.ids)
    found = own_store.queries.get(RunId(kind.ids[0]))
    assert (found.run.id, found.run.state, found.details.outputs) == (kind.ids[0], RunState.CANCELED, {"n": 1})
    assert [task.name for task in found.tasks] == ["align"]
    assert found.timeline
    assert ids_in(own_store, RunState.CANCELED) == [kind.ids[0]]
    assert sorted(ids_in(own_store, RunState.INITIALIZING)) == sorted(kind.ids[1:])


def test_runs_are_cancelled_before_and_after_their_submission(own_store: SqlHarness, kind: Ids) -> None:
    own_store.accepted(kind.ids[0])
    own_store.queue(*kind.ids[1:])
    own_store.enrol()
    for id in kind.ids[:2]:
        own_store.move(id, RunState.CANCELING)

    with own_store.units() as unit:
        withdrawn = unit.submissions.close_withdrawn(limit=10)
        to_cancel = unit.polls.to_cancel(limit=10, lease=SECOND, serving=ALL_PROVIDERS)
        unit.commit()

    assert withdrawn == [kind.ids[1]]
    assert [run.run_id for run in to_cancel] == [kind.ids[0]]


def test_a_run_that_needs_review_is_adopted(own_store: SqlHarness, kind: Ids) -> None:
    claimed = own_store.claimed(kind.ids[0])
    with own_store.units() as unit:
        unit.submissions.require_review(claimed.claim, reason="test")
        unit.commit()

    with own_store.units() as unit:
        unit.submissions.adopt(RunId(kind.ids[0]), ProviderRunId("at-1"), first_poll_after=SECOND)
        unit.commit()

    queries = SqlReconcileQueries(own_store.engine)
    [followed] = queries.followed_runs(ProviderType.LOCAL, after=None, limit=10)
    assert followed.run_id == kind.ids[0]
    recorded = queries.recorded_runs([RunId(kind.ids[0]), RunId(kind.unknown), RunId("no-id-of-any-type")])
    assert set(recorded) == {kind.ids[0]}


def test_an_id_that_the_type_cannot_hold_is_the_id_of_no_run(own_store: SqlHarness, kind: Ids) -> None:
    with pytest.raises(RunNotFound):
        own_store.queries.get(RunId(kind.unknown))
    with pytest.raises(RunNotFound), own_store.units() as unit:
        unit.runs.get(RunId(kind.unknown))


@pytest.mark.parametrize(
    ("kind", "spelling"), [(KINDS["uuid"], _UUIDS[0].upper()), (KINDS["bigint"], "001"), (KINDS["char"], "run-1 ")]
)
@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_an_id_in_another_spelling_is_the_id_of_no_run(own_store: SqlHarness, kind: Ids, spelling: str) -> None:
    """A caller finds what it asks for under the id that it has given."""
    own_store.queue(*kind.ids)

    with pytest.raises(RunNotFound):
        own_store.queries.get(RunId(spelling))
    with own_store.units() as unit:
        assert unit.runs.read_summaries([RunId(spelling)]) == {}


def test_verify_evaluates_all_checks(own_store: SqlHarness, kind: Ids) -> None:
    own_store.accepted(*kind.ids)

    results = own_store.checks.run(CheckContext(concurrency_limit=10, default_provider=ProviderType.LOCAL))

    assert [result.check.name for result in results if result.count and result.check.severity is Severity.BROKEN] == []


def test_a_row_that_was_made_active_again_is_followed_again(own_store: SqlHarness, kind: Ids) -> None:
    own_store.accepted(kind.ids[0])
    due = own_store.due()
    with own_store.units() as unit:
        unit.polls.finish(due)
        unit.commit()

    assert own_store.enrol() == 1
    assert [poll.run_id for poll in own_store.due()] == [kind.ids[0]]


def test_states_of_an_enum_type_are_read_and_written(empty_engine: Engine) -> None:
    if empty_engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no enum types")
    create_service(empty_engine, ColumnTypes(state="run_state"), f"CREATE TYPE run_state AS ENUM ({_STATES})")
    store = SqlHarness(empty_engine)

    store.accepted("run-1")

    assert store.run("run-1").state is RunState.INITIALIZING
    assert ids_in(store, RunState.INITIALIZING) == ["run-1"]
    store.checks.run(CheckContext(concurrency_limit=10, default_provider=ProviderType.LOCAL))
    queries = SqlReconcileQueries(empty_engine)
    assert not queries.has_inherited_runs()
    assert not queries.has_inherited_ended_runs()


def test_inherited_runs_are_searched_and_released_whatever_their_ids_and_states_are(
    own_store: SqlHarness, kind: Ids
) -> None:
    assert_inherited_runs_are_released(own_store, kind.ids)


def test_inherited_runs_with_states_of_an_enum_type_are_searched_and_released(empty_engine: Engine) -> None:
    if empty_engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no enum types")
    create_service(empty_engine, ColumnTypes(state="run_state"), f"CREATE TYPE run_state AS ENUM ({_STATES})")

    assert_inherited_runs_are_released(SqlHarness(empty_engine), ["run-1", "run-2", "run-3"])


@pytest.mark.parametrize("declared", ["VARCHAR(64)", "UUID", "BIGINT"])
def test_tables_of_the_version_before_follow_the_ids_of_the_service(
    postgresql_server: PostgreSQL, declared: str
) -> None:
    """A service may have changed the type of its ids after the daemon's tables were made."""
    uri = postgresql_server.create()
    with disposed(make_engine(uri, connections=2)) as engine:
        create_service(engine, ColumnTypes())
        with writing(engine) as connection:
            connection.execute(text("DROP TABLE task_logs"))
            connection.execute(text("DROP TABLE workflow_runs"))
            connection.execute(text("DROP TABLE alembic_version"))
            create_tables(connection, ColumnTypes(run_id=declared))
            connection.commit()
        if declared != "VARCHAR(64)":
            with pytest.raises(StorageMisconfigured, match=r"has not the type of workflow_runs.run_id.*db upgrade"):
                Schema(engine).check()

        Schema(engine).upgrade()

        Schema(engine).check()
    postgresql_server.drop(uri)


def create_service(engine: Engine, types: ColumnTypes, *statements: str) -> None:
    """A service's tables, and the daemon's beside them."""
    with writing(engine) as connection:
        for statement in statements:
            connection.execute(text(statement))
        create_tables(connection, types)
        connection.commit()
    Schema(engine).upgrade()
    Schema(engine).check()


def assert_inherited_runs_are_released(store: SqlHarness, ids: Sequence[str]) -> None:
    """A queued and a cancelled run wait for the search and are released after it; an active one stays."""
    for id, state in zip(ids, ("QUEUED", "CANCELED", "RUNNING"), strict=True):
        store.put(ServiceRow(run_id=id, state=state))
    with store.units() as unit:
        assert unit.submissions.inherit() == 3
        unit.commit()
    queries = SqlReconcileQueries(store.engine)
    waited = (queries.has_inherited_runs(), queries.has_inherited_ended_runs())

    with SqlRepairUnits(store.engine)() as unit:
        released = (unit.release([RunId(ids[0])]), unit.release_ended())
        unit.commit()

    assert (waited, released) == ((True, True), (1, 1))
    assert not queries.has_inherited_runs()
    assert [each.run.id for each in queries.unexplained_runs()] == [ids[2]]


def ids_in(store: SqlHarness, state: RunState) -> list[str]:
    """The ids of the runs in this state, as `list` shows them."""
    return [record.run.id for record in store.queries.list(RunFilter(states=frozenset({state})))]
