"""Whole runs through the use cases, with the real SDK against the simulated Seven Bridges service."""

import random
import re
from datetime import timedelta

import pytest

from tests.builders import a_request, a_run, a_submission_policy
from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import APP, SevenBridgesHarness
from tests.memory.quotas import MemoryQuotas
from tests.simulators.sevenbridges import faults
from tests.simulators.sevenbridges.faults import Fault
from tests.unit.application.conftest import World
from wes_daemon.adapters.memory.providers import MemoryProviderDirectory
from wes_daemon.adapters.resilience.call_gate import RateLimiter
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState
from wes_daemon.plugins.rates import Rate

__all__ = ["authority", "harness", "trusted"]

RUNS = 50


@pytest.fixture
def world(harness: SevenBridgesHarness) -> World:
    """A database with fifty queued runs, and a daemon's rate limit."""
    world = World(clock=harness.clock, submission_policy=a_submission_policy(concurrency_limit=RUNS, batch=16))
    gate = RateLimiter(
        {ALL_OPERATIONS: Rate(calls=1000, per=timedelta(minutes=5), burst=50)},
        quotas=MemoryQuotas(harness.clock),
        account="sevenbridges",
        clock=harness.clock,
        sleep=harness.clock.advance,
    )
    provider = decorated(
        harness.provider(gate=gate),
        ProviderType.SEVENBRIDGES,
        telemetry=world.telemetry,
        clock=harness.clock,
        sleep=harness.clock.advance,
    )
    world.directory = MemoryProviderDirectory({ProviderType.SEVENBRIDGES: provider})
    request = a_request(workflow_url=APP, workflow_params={"sample": "NA12878"})
    world.queue(*[a_run(f"run-{number}", request=request) for number in range(RUNS)])
    return world


def _advance_tasks(harness: SevenBridgesHarness) -> None:
    """Let the platform start each queued task, and complete each running one."""
    for id, task in list(harness.platform.tasks.items()):
        if task["status"] == "RUNNING":
            harness.platform.complete(id)
        elif task["status"] == "QUEUED":
            harness.platform.move(id, "RUNNING")


def _run_daemons(world: World, harness: SevenBridgesHarness, *, passes: int) -> None:
    """Run daemons one after the other, each of which may stop at any pass, until all runs are complete."""
    rng, daemon = random.Random(5), world.daemon()
    for _ in range(passes):
        if world.states() == {RunState.COMPLETE}:
            return
        if rng.random() < 0.1:
            daemon = world.daemon()
        daemon.daemon_session.renew()
        daemon.submit()
        _advance_tasks(harness)
        daemon.refresh()
        harness.clock.advance(timedelta(minutes=2))


def test_fifty_runs_end_complete_once_each_with_outputs_tasks_and_times(
    world: World, harness: SevenBridgesHarness
) -> None:
    _run_daemons(world, harness, passes=20)

    assert world.states() == {RunState.COMPLETE}
    assert len(harness.platform.started) == len({start.name for start in harness.platform.started}) == RUNS
    for run in world.store.runs.values():
        found = world.queries.get(run.id)
        assert found.details.outputs["count"] == 3
        assert len(found.tasks) == 2
        assert run.start_time is not None
        assert run.end_time is not None


def test_fifty_runs_come_through_a_storm_and_the_deaths_of_daemons(world: World, harness: SevenBridgesHarness) -> None:
    rng = random.Random(7)
    kinds = (faults.TOO_MANY, faults.ERROR, faults.ERROR_AFTER, faults.CUT_BEFORE, faults.CUT_AFTER, None)

    def blow(operation: str) -> Fault | None:
        del operation
        return rng.choices(kinds, weights=[30, 5, 5, 5, 5, 50])[0]

    harness.platform.faults.storm(blow)
    _run_daemons(world, harness, passes=400)

    assert world.states() == {RunState.COMPLETE}
    assert len(harness.platform.started) == len({start.name for start in harness.platform.started}) == RUNS
    assert [task for task in harness.platform.tasks.values() if task["status"] == "DRAFT"] == []
    assert harness.platform.too_early == []


def test_a_run_that_waits_for_the_service_says_until_when_and_why(world: World, harness: SevenBridgesHarness) -> None:
    """B4: `show` has the reason of each waiting run."""
    harness.platform.rate_limit = 4
    daemon = world.daemon()
    daemon.daemon_session.renew()

    daemon.submit()
    daemon.submit()

    reasons = {
        world.queries.get(run.id).last_reason or "" for run in world.store.runs.values() if run.state is RunState.QUEUED
    }
    assert any(re.fullmatch(r"the quota for .* is exhausted until 2026-\S+Z", reason) for reason in reasons), reasons
