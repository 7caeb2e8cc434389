"""Listing the owned runs of an account."""

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta

import pytest

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
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, RunId
from wes_daemon.testing import all_former_runs, all_owned_runs


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthOmicsSimulator]:
    with simulated(monkeypatch) as simulator:
        yield simulator


@pytest.fixture
def harness(simulator: HealthOmicsSimulator) -> HealthOmicsHarness:
    return HealthOmicsHarness(simulator, decorate=lambda provider: provider)


def test_an_account_is_listed_page_by_page_and_other_peoples_runs_are_skipped(harness: HealthOmicsHarness) -> None:
    start_many(harness.simulator, 240, prefix="nightly-")
    ours = bare_provider().submit(a_healthomics_submission("wes-1")).id
    before = len(harness.simulator.calls)

    found = all_owned_runs(harness, bare_provider())

    assert [(run.id, run.key) for run in found] == [(ours, "wes-1")]
    assert [call.operation for call in harness.simulator.calls[before:]].count("ListRuns") == 3


def test_a_run_with_an_owned_name_and_no_tag_is_not_owned(harness: HealthOmicsHarness) -> None:
    start_many(harness.simulator, 1, prefix="wes-borrowed-")

    assert all_owned_runs(harness, bare_provider()) == []


def test_a_recorded_run_needs_no_call_of_its_own(harness: HealthOmicsHarness) -> None:
    recorded = {
        IdempotencyKey(f"wes-{n}"): bare_provider().submit(a_healthomics_submission(f"wes-{n}")).id for n in range(3)
    }
    del recorded[IdempotencyKey("wes-2")]
    before = len(harness.simulator.calls)

    def recorded_ids(keys: Collection[IdempotencyKey]) -> Mapping[IdempotencyKey, ProviderRunId]:
        return {key: recorded[key] for key in keys if key in recorded}

    found = all_owned_runs(harness, bare_provider(), recorded=recorded_ids)

    assert {run.id for run in found} > set(recorded.values())
    assert [call.operation for call in harness.simulator.calls[before:]] == ["ListRuns", "GetRun"]


def test_a_second_run_of_a_recorded_key_is_listed_beside_the_recorded_one(harness: HealthOmicsHarness) -> None:
    first = bare_provider().submit(a_healthomics_submission("wes-1")).id
    request = dict(harness.service.run(run_id(first)).request)
    harness.service.operate("StartRun", request | {"requestId": "another"})

    found = all_owned_runs(harness, bare_provider(), recorded=lambda _: {IdempotencyKey("wes-1"): first})

    assert {run.key for run in found} == {"wes-1"}
    assert len({run.id for run in found}) == 2
    assert first in {run.id for run in found}


def test_a_deleted_run_is_not_listed(harness: HealthOmicsHarness) -> None:
    id = bare_provider().submit(a_healthomics_submission("wes-1")).id
    harness.service.reach(run_id(id), "COMPLETED")
    harness.service.delete(run_id(id))

    assert all_owned_runs(harness, bare_provider()) == []


def test_older_runs_need_no_call_of_their_own(harness: HealthOmicsHarness) -> None:
    bare_provider().submit(a_healthomics_submission("wes-1"))
    later = harness.service.now() + timedelta(hours=1)
    before = len(harness.simulator.calls)

    assert all_owned_runs(harness, bare_provider(), since=later) == []
    assert [call.operation for call in harness.simulator.calls[before:]] == ["ListRuns"]


def test_a_throttled_list_is_not_now(harness: HealthOmicsHarness) -> None:
    harness.simulator.faults.put("ListRuns", faults.throttled())

    with pytest.raises(NotNow):
        bare_provider().owned_runs(harness.beginning)


def test_of_the_former_daemons_runs_only_those_that_are_needed_take_a_call_of_their_own(
    harness: HealthOmicsHarness,
) -> None:
    ids = [harness.start_former(RunId(f"run-{number}")) for number in range(3)]
    before = len(harness.simulator.calls)

    found = all_former_runs(
        harness,
        bare_provider(),
        since=harness.beginning,
        needed=lambda runs: [run.id for run in runs if run.run_id == "run-1"],
    )

    assert [run.id.partition("/")[0] for run in found] == [ids[1]]
    assert [call.operation for call in harness.simulator.calls[before:]] == ["ListRuns", "GetRun"]


def test_a_run_with_a_former_name_and_another_tag_is_not_the_former_daemons(harness: HealthOmicsHarness) -> None:
    start_many(harness.simulator, 1, prefix="WES-borrowed-")

    assert all_former_runs(harness, bare_provider(), since=harness.beginning) == []


def test_the_former_daemons_active_runs_are_read_from_the_lists_of_the_active_statuses(
    harness: HealthOmicsHarness,
) -> None:
    start_many(harness.simulator, 240, prefix="nightly-")
    active = [harness.start_former(RunId(f"run-{number}")) for number in range(4)]
    for id, status in zip(active, ("PENDING", "STARTING", "RUNNING", "STOPPING"), strict=True):
        harness.service.reach(id, status)
    before = len(harness.simulator.calls)

    found = all_former_runs(harness, bare_provider(), since=None)

    assert sorted(run.id.partition("/")[0] for run in found) == sorted(active)
    assert [call.operation for call in harness.simulator.calls[before:]].count("ListRuns") == 6
