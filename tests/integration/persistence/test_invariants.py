"""No rule is broken on a busy day, and what the schema itself rules out is seen where the schema was changed."""

from datetime import UTC, datetime
from itertools import count

import pytest
from sqlalchemy import Engine, text

from tests.busy_day import EXPECTED, BusyDay
from tests.contracts.persistence_invariants import breakers
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.engine import writing
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.application.use_cases.verify import Verdict
from wes_daemon.domain.states import RunState


def test_nothing_that_happens_on_a_busy_day_breaks_a_rule(store: SqlHarness) -> None:
    changes = count()

    def look() -> None:
        # The memory adapters are looked at after each change; here that would take a minute.
        if next(changes) % 10 == 0:
            assert Verdict(store.invariants.check(EXPECTED)).broken == []

    BusyDay(store, look, datetime.now(UTC)).pass_by()

    assert {store.row(run_id).state for run_id in ("goes-well", "set-back", "rejected")} == {RunState.COMPLETE}


@pytest.fixture
def store_without_indexes(empty_engine: Engine) -> SqlHarness:
    """A store in which two submissions may name one run."""
    Schema(empty_engine).upgrade()
    with writing(empty_engine) as connection:
        connection.execute(text("DROP INDEX submissions_held"))
        connection.commit()
    return SqlHarness(empty_engine)


def test_two_submissions_that_name_one_run_break_a_rule(store_without_indexes: SqlHarness) -> None:
    store_without_indexes.accepted("run-1", "run-2", "run-3")
    store_without_indexes.tamper("submissions", "run-2", provider_run_id="at-run-1")

    assert breakers(store_without_indexes, "one-run-each") == ["run-2"]
