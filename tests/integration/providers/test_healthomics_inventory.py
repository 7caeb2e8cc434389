"""What an account holds of ours."""

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta

import pytest

from tests.contracts.provider import everything_marked
from tests.integration.providers.healthomics_harness import (
    HealthOmicsHarness,
    a_healthomics_submission,
    bare_provider,
    run_id,
    simulated,
    start_many,
)
from tests.simulators.healthomics import faults
from tests.simulators.healthomics.server import HealthOmicsSimulator
from wes_daemon.application.ports.errors import NotNow
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthOmicsSimulator]:
    with simulated(monkeypatch) as simulator:
        yield simulator


@pytest.fixture
def harness(simulator: HealthOmicsSimulator) -> HealthOmicsHarness:
    return HealthOmicsHarness(simulator, decorate=lambda provider: provider)


def test_an_account_is_listed_page_by_page_and_other_peoples_runs_are_passed_over(harness: HealthOmicsHarness) -> None:
    start_many(harness.simulator, 240, prefix="nightly-")
    ours = bare_provider().submit(a_healthomics_submission("wes-1")).id
    before = len(harness.simulator.calls)

    found = everything_marked(harness, bare_provider())

    assert [(run.id, run.key) for run in found] == [(ours, "wes-1")]
    assert [call.operation for call in harness.simulator.calls[before:]].count("ListRuns") == 3


def test_a_run_that_is_only_called_like_one_of_ours_is_not_ours(harness: HealthOmicsHarness) -> None:
    start_many(harness.simulator, 1, prefix="wes-borrowed-")

    assert everything_marked(harness, bare_provider()) == []


def test_a_run_that_is_on_record_is_not_asked_for_by_itself(harness: HealthOmicsHarness) -> None:
    recorded = {
        IdempotencyKey(f"wes-{n}"): bare_provider().submit(a_healthomics_submission(f"wes-{n}")).id for n in range(3)
    }
    del recorded[IdempotencyKey("wes-2")]
    before = len(harness.simulator.calls)

    def on_record(keys: Collection[IdempotencyKey]) -> Mapping[IdempotencyKey, ProviderRunId]:
        return {key: recorded[key] for key in keys if key in recorded}

    found = everything_marked(harness, bare_provider(), recorded=on_record)

    assert {run.id for run in found} > set(recorded.values())
    assert [call.operation for call in harness.simulator.calls[before:]] == ["ListRuns", "GetRun"]


def test_a_second_run_under_a_recorded_key_is_told_beside_the_recorded_one(harness: HealthOmicsHarness) -> None:
    first = bare_provider().submit(a_healthomics_submission("wes-1")).id
    request = dict(harness.service.run(run_id(first)).request)
    harness.service.operate("StartRun", request | {"requestId": "another"})

    found = everything_marked(harness, bare_provider(), recorded=lambda _: {IdempotencyKey("wes-1"): first})

    assert {run.key for run in found} == {"wes-1"}
    assert len({run.id for run in found}) == 2
    assert first in {run.id for run in found}


def test_a_deleted_run_is_not_told(harness: HealthOmicsHarness) -> None:
    id = bare_provider().submit(a_healthomics_submission("wes-1")).id
    harness.service.reach(run_id(id), "COMPLETED")
    harness.service.delete(run_id(id))

    assert everything_marked(harness, bare_provider()) == []


def test_older_runs_cost_no_call_of_their_own(harness: HealthOmicsHarness) -> None:
    bare_provider().submit(a_healthomics_submission("wes-1"))
    later = harness.service.now() + timedelta(hours=1)
    before = len(harness.simulator.calls)

    assert everything_marked(harness, bare_provider(), since=later) == []
    assert [call.operation for call in harness.simulator.calls[before:]] == ["ListRuns"]


def test_a_busy_service_is_asked_later(harness: HealthOmicsHarness) -> None:
    harness.simulator.faults.put("ListRuns", faults.throttled())

    with pytest.raises(NotNow):
        bare_provider().owned_runs(harness.beginning)
