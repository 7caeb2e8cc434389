"""The persistence contract on the memory adapters."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.builders import a_request
from tests.busy_day import BusyDay
from tests.contracts.persistence import PersistenceContract
from tests.contracts.persistence_harness import PersistenceHarness, ServiceRow
from tests.memory.watermarks import MemoryWatermarks
from tests.memory.work_probe import MemoryWorkProbe
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.queries import MemoryRunQueries
from wes_daemon.adapters.memory.store import MemoryStore
from wes_daemon.adapters.memory.unit_of_work import MemoryUnitsOfWork
from wes_daemon.application.ports.queries import RunFilter, RunQueries
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.domain.runs import Run, RunId, Unreadable
from wes_daemon.domain.states import RunState


class MemoryHarness(PersistenceHarness):
    """A store on a manual clock; rows go in and out as the text that a service would write and read."""

    holds_any_state = False
    has_widths = False
    moment = 0.02

    def __init__(self) -> None:
        self._clock = ManualClock()
        self._store = MemoryStore(self._clock)

    @property
    def units(self) -> UnitsOfWork:
        return MemoryUnitsOfWork(self._store)

    @property
    def queries(self) -> RunQueries:
        return MemoryRunQueries(self._store)

    @property
    def work_probe(self) -> MemoryWorkProbe:
        """What there is to do in it."""
        return MemoryWorkProbe(self._store)

    @property
    def watermarks(self) -> MemoryWatermarks:
        """How far lists were read, beside it."""
        return MemoryWatermarks(self._store)

    def tamper(self, table: str, run_id: str, **values: object) -> None:
        rows = getattr(self._store.tables, table)
        rows[run_id] = replace(rows[run_id], **values)

    def let_pass(self, time: timedelta) -> None:
        self._clock.advance(time)

    def now(self) -> datetime:
        return self._clock.now()

    def put(self, row: ServiceRow) -> None:
        request = a_request(workflow_params=_read(row.workflow_params), workflow_url=row.workflow_url)
        self._store.insert(
            Run(
                id=RunId(row.run_id),
                request=request,
                state=RunState(row.state) if row.state in list(RunState) else RunState.UNKNOWN,
                tags=_read(row.tags),
                start_time=row.start_time,
                end_time=row.end_time,
            )
        )

    def row(self, run_id: str) -> ServiceRow:
        run = self._store.run(RunId(run_id))
        return ServiceRow(
            run_id=run.id,
            state=run.state,
            tags=_written(run.tags),
            workflow_params=_written(run.request.workflow_params),
            workflow_url=run.request.workflow_url,
            start_time=run.start_time,
            end_time=run.end_time,
        )

    def remove(self, run_id: str) -> None:
        del self._store.tables.runs[RunId(run_id)]


class TestMemoryPersistence(PersistenceContract):
    @pytest.fixture
    def store(self) -> PersistenceHarness:
        return MemoryHarness()


def _read(text: str | None) -> object:
    try:
        found = json.loads(text or "null")
    except ValueError:
        return Unreadable(text or "")
    return {} if found is None else found


def _written(value: object) -> str:
    if isinstance(value, Unreadable):
        return value.text
    return json.dumps(dict(value) if isinstance(value, Mapping) else value)


def test_a_unit_of_work_inside_another_is_an_error_of_the_caller() -> None:
    units = MemoryHarness().units

    with units(), pytest.raises(RuntimeError, match="open in this thread already"), units():
        pass


def test_a_busy_day_brings_runs_into_every_state() -> None:
    store = MemoryHarness()
    seen: set[RunState] = set()

    def look() -> None:
        seen.update(record.run.state for record in store.queries.list(RunFilter()))

    BusyDay(store, look, ManualClock().now()).pass_by()

    assert seen == set(RunState) - {RunState.UNKNOWN}
