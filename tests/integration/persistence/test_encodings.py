"""Databases in encodings other than UTF-8."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from tests.builders import NOON
from tests.contracts.persistence_harness import SECOND, ServiceRow, an_entry
from tests.integration.conftest import PostgreSQL
from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.service import ColumnTypes, create_tables
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.application.ports.polls import PollResult
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.application.ports.runs import RunUpdate
from wes_daemon.domain.runs import RunId, StatusReport, TaskLog, task_id
from wes_daemon.domain.states import RunState

RUN = RunId("run-1")
ODD = "Łódź 日本 𝄞 …"


@pytest.fixture(params=["SQL_ASCII", "LATIN1", "EUC_JP"])
def encoding(request: pytest.FixtureRequest) -> str:
    """One encoding after the other."""
    name: str = request.param
    return name


@pytest.fixture(params=["JSON", "TEXT"])
def odd_store(request: pytest.FixtureRequest, postgresql_server: PostgreSQL, encoding: str) -> Iterator[SqlHarness]:
    """A store on a service's tables in a database with this encoding."""
    uri = postgresql_server.create(f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    with disposed(make_engine(uri, connections=4)) as engine:
        with writing(engine) as connection:
            create_tables(connection, ColumnTypes(json=request.param))
            connection.commit()
        Schema(engine).upgrade()
        Schema(engine).check()
        yield SqlHarness(engine, json_is_text=request.param == "TEXT")
    postgresql_server.drop(uri)


def test_json_keeps_every_character_from_the_row_to_the_claim_and_back(odd_store: SqlHarness) -> None:
    odd_store.put(ServiceRow(run_id=RUN, workflow_params='{"a": "\\u0141\\u00f3d\\u017a \\ud834\\udd1e"}', tags="{}"))
    odd_store.queue("run-2")
    odd_store.enrol()

    first, second = odd_store.claim()
    with odd_store.units() as unit:
        unit.submissions.mark_in_doubt(first.claim, wait=0 * SECOND, reason=ODD)
        unit.commit()
    [again] = [each for each in odd_store.claim() if each.run.id == RUN]

    assert second.run.id == "run-2"
    assert first.run.request.params == again.run.request.params == {"a": "Łódź 𝄞"}


def test_texts_of_a_provider_are_stored_as_far_as_the_encoding_has_their_characters(odd_store: SqlHarness) -> None:
    odd_store.accepted(RUN, "run-2")
    details = RunDetails(outputs={"out": ODD}, stdout=ODD, system_logs=[ODD])
    task = TaskLog(id=task_id(RUN, "task"), name=ODD * 100, cmd=[ODD])

    with odd_store.units() as unit:
        run = unit.runs.get(RUN)
        after = run.lost(ODD, NOON)
        unit.runs.write(
            [
                RunUpdate(
                    before=run,
                    after=after,
                    entry=an_entry(after, why=ODD),
                    provider_status=ODD,
                    provider_message=ODD,
                    details=details,
                    tasks=[task],
                )
            ]
        )
        unit.commit()

    found = odd_store.queries.get(RUN)
    assert found.run.error == ODD
    assert found.details.outputs == {"out": ODD}
    assert found.details.stdout is not None
    assert len(found.details.stdout) == len(ODD)
    assert found.tasks[0].cmd == (ODD,)
    assert len(odd_store.queries.list(RunFilter())) == 2


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_run_whose_id_is_not_ascii_is_followed_to_its_end(odd_store: SqlHarness) -> None:
    odd_store.accepted("läuft-1", "run-2")
    due = odd_store.due()
    running = [PollResult(poll, StatusReport(state=RunState.RUNNING, provider_status="läuft")) for poll in due]

    with odd_store.units() as unit:
        recorded = unit.polls.record_changed(running, delay=lambda _: SECOND)
        finished = unit.polls.finish(due)
        unit.commit()

    assert recorded == finished == {"läuft-1", "run-2"}


def test_bytes_that_are_no_text_in_sql_ascii_harm_no_other_run(postgresql_server: PostgreSQL) -> None:
    uri = postgresql_server.create("ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    with disposed(make_engine(uri, connections=2)) as engine:
        Schema(engine).upgrade()
        store = SqlHarness(engine)
        store.queue("run-1", "run-2", "run-3")
        with writing(engine) as connection:
            connection.execute(text("UPDATE workflow_runs SET tags = E'{\"a\": \"\\xe9\"}' WHERE run_id = 'run-2'"))
            connection.execute(text("UPDATE workflow_runs SET workflow_url = E'\\xff' WHERE run_id = 'run-2'"))
            connection.commit()

        assert store.enrol() == 3
        assert len(store.claim()) == 3
        assert store.run("run-2").request.workflow_url == "\ufffd"
        assert len(store.queries.list(RunFilter())) == 3
    postgresql_server.drop(uri)
