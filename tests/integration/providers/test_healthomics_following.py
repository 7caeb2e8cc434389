"""Runs are followed with few calls, and never confused with foreign runs."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

import pytest

from tests.integration.providers.healthomics_harness import (
    a_healthomics_submission,
    bare_provider,
    run_id,
    simulated,
    start_many,
)
from tests.simulators.healthomics import faults
from tests.simulators.healthomics.faults import answer_with
from tests.simulators.healthomics.runs import FOLLOWS
from tests.simulators.healthomics.server import HealthOmicsSimulator
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.adapters.providers.healthomics.runs import STATES
from wes_daemon.application.ports.errors import Misconfigured, NotNow, Rejected
from wes_daemon.domain.runs import ProviderRunId
from wes_daemon.domain.states import RunState


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Iterator[HealthOmicsSimulator]:
    with simulated(monkeypatch, clock.now) as simulator:
        yield simulator


@pytest.fixture
def provider(simulator: HealthOmicsSimulator, clock: ManualClock) -> HealthOmicsProvider:
    del simulator  # has to be there before the SDK is
    return bare_provider(clock=clock)


@pytest.fixture
def id(provider: HealthOmicsProvider) -> ProviderRunId:
    return provider.submit(a_healthomics_submission()).id


def spread(simulator: HealthOmicsSimulator, number: int) -> list[ProviderRunId]:
    """So many active runs, in all active statuses."""
    ids = start_many(simulator, number)
    for place, id in enumerate(ids):
        status = ("PENDING", "STARTING", "RUNNING", "RUNNING", "RUNNING", "RUNNING", "STOPPING")[place % 7]
        if status != "PENDING":
            simulator.service.reach(run_id(id), status)
    return ids


class TestManyRuns:
    def test_250_active_runs_cost_at_most_six_calls(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        ids = spread(simulator, 250)

        reports = _in_batches(provider, ids)

        assert reports == {id: STATES[simulator.service.run(run_id(id)).status] for id in ids}
        assert set(simulator.operations) == {"ListRuns"}
        assert simulator.operations["ListRuns"] <= 6

    def test_each_run_that_is_in_no_list_costs_one_call(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        ids = spread(simulator, 250)
        for id in ids[::50]:
            simulator.service.reach(run_id(id), "FAILED", failure="SERVICE_ERROR")

        reports = _in_batches(provider, ids)

        assert [reports[id] for id in ids[::50]] == [RunState.SYSTEM_ERROR] * 5
        assert simulator.operations["ListRuns"] <= 6
        assert simulator.operations["GetRun"] == 5

    def test_a_few_runs_are_requested_one_by_one(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        ids = start_many(simulator, 4)

        assert len(provider.statuses(ids)) == 4

        assert simulator.operations == {"GetRun": 4}

    def test_a_few_runs_in_a_crowded_account_do_not_cost_a_whole_sweep(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        ids = start_many(simulator, 6)
        start_many(simulator, 1_500, prefix="wes-others-")

        assert len(provider.statuses(ids)) == 6

        assert simulator.calls[-1].operation == "GetRun"
        assert sum(simulator.operations.values()) <= 12

    def test_a_repeated_request_gets_new_information(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        ids = start_many(simulator, 10)
        provider.statuses(ids)
        for id in ids:
            simulator.service.reach(run_id(id), "RUNNING")

        assert {report.state for report in provider.statuses(ids).values()} == {RunState.RUNNING}

    def test_an_old_sweep_is_not_used_for_other_runs(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, clock: ManualClock
    ) -> None:
        ids = start_many(simulator, 20)
        provider.statuses(ids[:10])
        simulator.service.reach(run_id(ids[15]), "RUNNING")
        clock.advance(timedelta(seconds=31))

        assert provider.statuses(ids[10:])[ids[15]].state is RunState.RUNNING

    def test_a_run_that_is_not_listed_yet_is_not_lost(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        simulator.service.lists_new_runs = False
        ids = start_many(simulator, 10)

        assert {report.provider_status for report in provider.statuses(ids).values()} == {"PENDING"}

    def test_a_run_that_moves_on_during_the_sweep_is_not_missed(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        ids = spread(simulator, 150)
        moving = iter(ids)

        def move_some(_: str) -> None:
            for id in islice(moving, 30):
                status = simulator.service.run(run_id(id)).status
                if status != "STOPPING":
                    simulator.service.reach(run_id(id), FOLLOWS[status][0])

        simulator.faults.weather = move_some

        reports = _in_batches(provider, ids)

        assert reports.keys() == set(ids)
        assert set(simulator.operations) == {"ListRuns"}


class TestTrouble:
    def test_an_error_for_one_run_leaves_the_reports_of_the_others(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        ids = start_many(simulator, 3)
        simulator.faults.put("GetRun", None, faults.internal())

        states = [provider.statuses(ids)[id].state for id in ids]

        assert states.count(RunState.UNKNOWN) <= 1
        assert RunState.INITIALIZING in states

    def test_an_error_for_all_runs_is_raised(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        ids = start_many(simulator, 4)
        simulator.faults.weather = lambda _: faults.throttled(timedelta(seconds=9))

        with pytest.raises(NotNow) as caught:
            provider.statuses(ids)

        assert caught.value.retry_after == timedelta(seconds=9)
        assert simulator.operations["GetRun"] == 3

    def test_a_list_that_cannot_be_read_is_raised(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        ids = spread(simulator, 10)
        simulator.faults.put("ListRuns", None, faults.bad_gateway())

        with pytest.raises(NotNow):
            provider.statuses(ids)

    def test_pages_that_were_read_before_an_error_are_not_read_again(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, clock: ManualClock
    ) -> None:
        ids = start_many(simulator, 500)
        simulator.faults.put("ListRuns", None, None, faults.bad_gateway())
        with pytest.raises(NotNow):
            provider.statuses(ids)
        clock.advance(timedelta(minutes=1))

        assert provider.statuses(ids).keys() == set(ids)

        assert simulator.operations == {"ListRuns": 5 + 1}

    def test_a_list_that_cannot_be_continued_is_started_again(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        ids = start_many(simulator, 150)
        refused = faults.error(400, "ValidationException", "Invalid startingToken")
        simulator.faults.put("ListRuns", None, refused, refused, refused)
        for _ in range(3):
            with pytest.raises(NotNow, match="startingToken"):
                provider.statuses(ids)

        assert provider.statuses(ids).keys() == set(ids)

        assert simulator.operations == {"ListRuns": 1 + 3 + 2}

    def test_missing_permissions_are_raised(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, id: ProviderRunId
    ) -> None:
        simulator.service.denied["GetRun"] = "not authorized to perform: omics:GetRun"

        with pytest.raises(Misconfigured, match="omics:GetRun"):
            provider.statuses([id])

    def test_occasional_errors_do_not_stop_the_other_requests(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        simulator.service.lists_new_runs = False
        ids = start_many(simulator, 12)
        simulator.faults.put("GetRun", *[faults.internal(), None] * 6)

        states = [report.state for report in provider.statuses(ids).values()]

        assert (states.count(RunState.UNKNOWN), states.count(RunState.INITIALIZING)) == (6, 6)

    @pytest.mark.parametrize("operation", ["GetRun", "ListRuns"])
    def test_a_refused_request_says_nothing_about_the_runs(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, operation: str
    ) -> None:
        ids = start_many(simulator, 4 if operation == "GetRun" else 10)
        simulator.faults.put(operation, *[faults.error(400, "ValidationException", "Invalid token")] * 4)

        with pytest.raises(NotNow, match="Invalid token"):
            provider.statuses(ids)

    def test_an_answer_without_a_status_is_an_error(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, id: ProviderRunId
    ) -> None:
        simulator.faults.put("GetRun", answer_with({}))

        with pytest.raises(NotNow):
            provider.statuses([id])


class TestReusedIds:
    def _reuse(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, id: ProviderRunId
    ) -> ProviderRunId:
        simulator.service.reach(run_id(id), "COMPLETED")
        simulator.service.delete(run_id(id))
        simulator.service.reuses_ids = True
        return provider.submit(a_healthomics_submission("wes-later")).id

    def test_a_reused_run_id_is_detected(
        self,
        simulator: HealthOmicsSimulator,
        provider: HealthOmicsProvider,
        id: ProviderRunId,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        later = self._reuse(simulator, provider, id)
        assert run_id(later) == run_id(id)

        assert provider.statuses([id, later]).keys() == {later}

        assert "healthomics.run_id_reused" in caplog.text
        with pytest.raises(Rejected, match=f"retentionMode REMOVE.*manifest/run/{id} of /aws/omics/WorkflowLog"):
            provider.details(id)

    def test_the_end_of_a_later_run_with_a_reused_id_is_not_the_end_of_the_earlier_run(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, id: ProviderRunId
    ) -> None:
        later = self._reuse(simulator, provider, id)
        simulator.service.reach(run_id(later), "COMPLETED")
        others = start_many(simulator, 10)

        reports = provider.statuses([id, *others])

        assert reports.keys() == set(others)

    def test_a_run_with_a_reused_id_is_not_cancelled(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, id: ProviderRunId
    ) -> None:
        later = self._reuse(simulator, provider, id)

        provider.cancel(id)

        assert simulator.operations["CancelRun"] == 0
        assert provider.statuses([later])[later].provider_status == "PENDING"

    def test_a_bare_id_is_accepted_without_a_check(self, provider: HealthOmicsProvider, id: ProviderRunId) -> None:
        bare = ProviderRunId(run_id(id))

        assert provider.statuses([bare])[bare].provider_status == "PENDING"

    @pytest.mark.parametrize("is_reported", [True, False])
    def test_a_deleted_run_is_unknown(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, id: ProviderRunId, is_reported: bool
    ) -> None:
        simulator.service.deleted_is_told = is_reported
        simulator.service.reach(run_id(id), "COMPLETED")
        simulator.service.delete(run_id(id))

        assert provider.statuses([id]) == {}


class TestCancel:
    def test_a_cancelled_run_passes_through_stopping(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, id: ProviderRunId
    ) -> None:
        simulator.service.reach(run_id(id), "RUNNING")

        provider.cancel(id)

        report = provider.statuses([id])[id]
        assert (report.state, report.provider_status) == (RunState.RUNNING, "STOPPING")

    def test_a_run_is_cancelled_once(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, id: ProviderRunId
    ) -> None:
        provider.cancel(id)
        provider.cancel(id)

        assert simulator.operations["CancelRun"] == 1

    @pytest.mark.parametrize("code", ["ConflictException", "ValidationException", "ResourceNotFoundException"])
    def test_a_run_that_ends_at_the_same_moment_needs_no_cancel(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, id: ProviderRunId, code: str
    ) -> None:
        simulator.service.refusal_of_late_cancels = code
        simulator.service.reach(run_id(id), "COMPLETED")
        still_running = {"id": run_id(id), "uuid": id.partition("/")[2], "status": "RUNNING"}
        simulator.faults.put("GetRun", answer_with(still_running))

        provider.cancel(id)

        assert simulator.operations["CancelRun"] == 1

    def test_a_refused_cancel_of_a_running_run_is_not_now(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, id: ProviderRunId
    ) -> None:
        simulator.faults.put("CancelRun", faults.error(409, "ConflictException", "busy"))

        with pytest.raises(NotNow, match="busy"):
            provider.cancel(id)


def _in_batches(provider: HealthOmicsProvider, ids: list[ProviderRunId]) -> dict[ProviderRunId, RunState]:
    size = provider.limits.status_batch
    batches = [ids[start : start + size] for start in range(0, len(ids), size)]
    return {id: report.state for batch in batches for id, report in provider.statuses(batch).items()}
