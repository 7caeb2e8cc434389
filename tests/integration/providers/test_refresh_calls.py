"""How many calls it takes to follow a thousand runs, with the real SDKs against the simulated services."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from tests.builders import a_run
from tests.integration.providers.healthomics_harness import bare_provider, run_id, simulated, start_many
from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import SevenBridgesHarness
from tests.memory.watermarks import MemoryWatermarks
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.providers import MemoryProviderDirectory
from wes_daemon.adapters.memory.store import PollRow, SubmissionRow
from wes_daemon.adapters.resilience.decorators import Batching
from wes_daemon.application.following.find_ended import FindEnded, SearchPolicy
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType
from wes_daemon.domain.states import RunState

__all__ = ["authority", "harness", "trusted"]

RUNS = 1_000
TWO_DAYS = timedelta(days=2)


def following(
    provider: WorkflowProvider, type: ProviderType, ids: Sequence[ProviderRunId], clock: ManualClock
) -> tuple[World, DaemonUnderTest]:
    """A daemon that has followed these for two days."""
    world = World(clock=clock)
    world.directory = MemoryProviderDirectory({type: Batching(provider)})
    now = clock.now()
    for number, id in enumerate(ids):
        run = a_run(f"run-{number}", RunState.INITIALIZING)
        world.queue(run)
        world.store.tables.submissions[run.id] = SubmissionRow(
            provider=type, state=SubmissionState.ACCEPTED, enrolled_at=now, not_before=now, provider_run_id=id
        )
        world.store.tables.polls[run.id] = PollRow(
            provider=type,
            provider_run_id=id,
            next_check_at=now,
            known_state=RunState.INITIALIZING,
            followed_since=now - TWO_DAYS,
        )
    return world, world.daemon()


class TestSevenBridges:
    @pytest.fixture
    def ids(self, harness: SevenBridgesHarness) -> Sequence[ProviderRunId]:
        """Many tasks that run."""
        return harness.copies(RUNS, status="RUNNING")

    def test_a_pass_takes_a_call_for_each_hundred(
        self, harness: SevenBridgesHarness, ids: Sequence[ProviderRunId]
    ) -> None:
        _, daemon = following(harness.provider(), ProviderType.SEVENBRIDGES, ids, harness.clock)
        harness.operations()

        assert daemon.refresh().polled == RUNS

        assert len(harness.operations()) == RUNS / 100

    def test_what_has_ended_takes_one_call_and_one_more_to_ask_for_it(
        self, harness: SevenBridgesHarness, ids: Sequence[ProviderRunId]
    ) -> None:
        world, daemon = following(harness.provider(), ProviderType.SEVENBRIDGES, ids, harness.clock)
        find = FindEnded(
            watermarks=MemoryWatermarks(world.store),
            units=world.units,
            providers=world.directory,
            refresh=daemon.refresh,
            clock=world.clock,
            stop=daemon.stop,
            policy=SearchPolicy(),
            serving={ProviderType.SEVENBRIDGES},
        )
        daemon.refresh()
        find()
        for id in ids[10:20]:
            harness.platform.complete(id)
        harness.clock.advance(timedelta(seconds=15))
        harness.operations()

        assert find() == 10

        operations = harness.operations()
        assert len(operations) - 10 * 2 <= 2, operations
        assert sum(run.state is RunState.COMPLETE for run in world.store.runs.values()) == 10


class TestHealthOmics:
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def simulator(self, monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Iterator[HealthOmicsSimulator]:
        with simulated(monkeypatch, clock.now) as simulator:
            yield simulator

    def test_a_pass_goes_through_the_lists_once(self, simulator: HealthOmicsSimulator, clock: ManualClock) -> None:
        provider = bare_provider(clock=clock)
        ids = start_many(simulator, RUNS)
        _, daemon = following(provider, ProviderType.HEALTHOMICS, ids, clock)
        before = simulator.operations

        assert daemon.refresh().polled == RUNS

        assert dict(simulator.operations - before) == {"ListRuns": RUNS / 100}

    @pytest.mark.nightly
    def test_ten_thousand_runs_take_a_call_for_each_hundred_too(
        self, simulator: HealthOmicsSimulator, clock: ManualClock
    ) -> None:
        provider = bare_provider(clock=clock)
        ids = start_many(simulator, 10 * RUNS)
        simulator.service.reach(run_id(ids[0]), "COMPLETED")

        reports = Batching(provider).statuses(ids)

        assert len(reports) == 10 * RUNS
        assert dict(simulator.operations) == {"ListRuns": 10 * RUNS / 100 + 3, "GetRun": 1}
