"""Whoever asks for few is given few, also where the planner's statistics are those of a quiet time, as in a queue."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from tests.builders import ALL_PROVIDERS
from tests.integration.persistence.crowd import Group, fill
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.plans import Watch
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.domain.runs import ProviderType, RunId

PAGE = 50
# As each beat of the daemon does.
OTHERS = ALL_PROVIDERS - {ProviderType.LOCAL}
NO_TIME = timedelta(0)

CROWD = 4_000
WAITING = Group(name="waiting", number=CROWD, state="QUEUED", submission="READY")
DUE = Group(name="due", number=CROWD, state="RUNNING", submission="ACCEPTED", provider_id="due")
DONE = Group(name="done", number=1_000, state="COMPLETE", submission="CLOSED", provider_id="done")
FOLLOWED = Group(name="followed", number=2, state="RUNNING", submission="ACCEPTED", provider_id="followed", waits=True)


def _claim(store: SqlHarness) -> float:
    # Those that were claimed before are still queued, as long as nobody has accepted them.
    store.claim(SessionId("another-daemon"), limit=PAGE, concurrency_limit=CROWD)
    with Watch(store.engine).listening() as watch:
        claimed = store.claim(limit=PAGE, concurrency_limit=CROWD)
    assert [each.claim.resumed for each in claimed] == [False] * PAGE
    return _most_rows(watch) / PAGE


def _take_due(store: SqlHarness) -> float:
    with Watch(store.engine).listening() as watch, store.units() as unit:
        due = unit.polls.lease_due(
            limit=PAGE, ahead=NO_TIME, lease=NO_TIME, not_leased_for=NO_TIME, serving={ProviderType.LOCAL}
        )
        unit.commit()
    assert len(due) == PAGE
    return _most_rows(watch) / PAGE


def _finish(store: SqlHarness) -> float:
    due = store.due(limit=PAGE)
    with Watch(store.engine).listening() as watch, store.units() as unit:
        assert len(unit.polls.finish(due)) == PAGE
        unit.commit()
    return _most_rows(watch) / PAGE


def _read_for_change(store: SqlHarness) -> float:
    # So many that it looks as good to read all.
    ids = [RunId(f"due-{number}") for number in range(1, CROWD // 4 + 1)]
    with Watch(store.engine).listening() as watch, store.units() as unit:
        assert len(unit.runs.get_summaries(ids)) == len(ids)
    return _most_rows(watch) / len(ids)


def _order(engine: Engine, statement: str) -> None:
    with writing(engine) as connection:
        connection.execute(text(statement))
        connection.commit()


def _most_rows(watch: Watch) -> int:
    """The most rows that one statement has gone through on one of its ways; SQLite does not tell."""
    return max(access.rows or 0 for statement in watch.statements for access in statement.accesses)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("crowd", "ask"), [(WAITING, _claim), (DUE, _take_due), (DUE, _finish), (DUE, _read_for_change)]
)
@pytest.mark.parametrize("followed", ["none", "few", "no more"])
def test_a_page_costs_a_page(engine: Engine, followed: str, crowd: Group, ask: Callable[[SqlHarness], float]) -> None:
    fill(engine, [DONE] if followed == "none" else [DONE, FOLLOWED])
    if followed == "no more":
        _order(engine, "DELETE FROM polls")
    _order(engine, "ANALYZE")
    fill(engine, [crowd])

    assert ask(SqlHarness(engine)) <= 2


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_nothing_is_compiled_for_the_sake_of_a_page(engine: Engine) -> None:
    """Servers before 18 find what must not be done so dear that they would."""
    with writing(engine) as connection:
        assert connection.execute(text("SHOW jit")).scalar_one() == "off"
