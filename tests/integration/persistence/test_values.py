"""What is in a database can be read, and what was written comes back."""

import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from tests.builders import a_run
from tests.contracts.persistence_harness import ServiceRow, an_entry
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.unit_of_work import SqlUnitsOfWork
from wes_daemon.domain.runs import RunId

# NUL, surrogates and numbers that are no JSON are marked on their way in, and so are left to the contract.
_TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tags=st.dictionaries(_TEXTS, _VALUES, max_size=5))
def test_any_json_comes_back_as_it_was_written(engine: Engine, tags: dict[str, object]) -> None:
    run = a_run(tags=tags)

    with SqlUnitsOfWork(engine)() as unit:
        unit.runs.add(run, attachments=(), entry=an_entry(run))

        assert unit.runs.get(run.id) == run


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("literal", ["7", "7.5", "'7'", "'1e3'", "x'7B7D'", "x'FF00'", "'null'", "NULL", "9e999", "''"])
def test_whatever_sqlite_holds_in_a_row_it_can_be_read(store: SqlHarness, literal: str) -> None:
    columns = ("state", "tags", "workflow_params", "workflow_type", "start_time", "end_time", "workflow_engine")
    store.queue("run-1")
    with sqlite3.connect(store.engine.url.database or "") as service:
        for column in columns:
            service.execute(f"UPDATE OR IGNORE workflow_runs SET {column} = {literal}")
    service.close()

    record = store.queries.get(RunId("run-1"))

    assert record.run.id == "run-1"
    assert record.run.end_time is None


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("id", ["nul \0 inside", "x" * 100])
def test_an_id_that_only_sqlite_can_hold_is_found_there(store: SqlHarness, id: str) -> None:
    store.put(ServiceRow(run_id=id))
    store.enrol()

    assert store.run(id).id == id
