"""Whoever asks for few is given few, also where the planner's statistics are those of a quiet time, as in a queue."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from tests.integration.persistence.crowd import Group, fill
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.plans import Watch
from wes_daemon.adapters.persistence.engine import writing
from wes_daemon.application.ports.persistence import DaemonId
from wes_daemon.domain.runs import ProviderType, RunId

PAGE = 50
NO_TIME = timedelta(0)
# As each beat of the daemon does.
OTHERS = frozenset(ProviderType) - {ProviderType.LOCAL}

QUIET = Group(name="done", number=1_000, state="COMPLETE", submission="CLOSED", provider_id="done")
WAITING = Group(name="waiting", number=4_000, state="QUEUED", submission="READY")
DUE = Group(name="due", number=4_000, state="RUNNING", submission="ACCEPTED", provider_id="due")


def _claim(store: SqlHarness) -> None:
    claimed = store.claim(limit=PAGE, cap=WAITING.number)
    assert [each.claim.resumed for each in claimed] == [False] * PAGE


def _take_due(store: SqlHarness) -> None:
    with store.units() as unit:
        due = unit.polls.take_due(limit=PAGE, ahead=NO_TIME, hold=NO_TIME, untouched_for=NO_TIME, excluding=OTHERS)
        unit.commit()
    assert len(due) == PAGE


def _read_for_change(store: SqlHarness) -> None:
    with store.units() as unit:
        assert len(unit.runs.get_many([RunId(f"due-{number}") for number in range(1, PAGE + 1)])) == PAGE


@pytest.mark.parametrize(("group", "ask"), [(WAITING, _claim), (DUE, _take_due), (DUE, _read_for_change)])
def test_a_page_costs_a_page(engine: Engine, group: Group, ask: Callable[[SqlHarness], None]) -> None:
    store = SqlHarness(engine)
    fill(engine, [QUIET])
    _analyse(engine)
    fill(engine, [group])
    if group is WAITING:
        # Those that were claimed before are still queued, as long as nobody has accepted them.
        store.claim(DaemonId("another-daemon"), limit=PAGE, cap=group.number)

    with Watch(engine).listening() as watch:
        ask(store)

    complaints = {one for statement in watch.statements for one in statement.complaints(most_rows=2 * PAGE)}
    assert not complaints, "\n".join(sorted(complaints))


def _analyse(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("ANALYZE")
        connection.commit()
