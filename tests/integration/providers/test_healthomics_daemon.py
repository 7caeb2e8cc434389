"""Whole runs through the use cases, with the real SDK against the simulated service."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.builders import a_request, a_run, a_submission_policy
from tests.integration.providers.healthomics_harness import CONFIG, simulated
from tests.memory.quotas import MemoryQuotas
from tests.simulators.healthomics import faults
from tests.simulators.healthomics.faults import Fault
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.unit.application.conftest import World
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.providers import MemoryProviderDirectory
from wes_daemon.adapters.providers.healthomics.config import CALLS_PER_SECOND
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.adapters.resilience.call_gate import RateLimiter
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState
from wes_daemon.plugins.rates import Rate

RUNS = 50


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Iterator[HealthOmicsSimulator]:
    with simulated(monkeypatch, clock.now) as simulator:
        yield simulator


@pytest.fixture
def world(simulator: HealthOmicsSimulator, clock: ManualClock) -> World:
    """A database with fifty queued runs, and a service that works."""
    simulator.service.pace = timedelta(minutes=3)
    world = World(
        clock=clock,
        submission_policy=a_submission_policy(
            concurrency_limit=RUNS, batch=16, default_provider=ProviderType.HEALTHOMICS
        ),
    )
    rates = {operation: Rate(calls=calls) for operation, calls in CALLS_PER_SECOND.items()}
    limiter = RateLimiter(rates, quotas=MemoryQuotas(clock), account="healthomics", clock=clock, sleep=clock.advance)
    bare = HealthOmicsProvider(CONFIG, clock=clock, gate=limiter)
    provider = decorated(bare, ProviderType.HEALTHOMICS, telemetry=world.telemetry, clock=clock, sleep=clock.advance)
    world.directory = MemoryProviderDirectory({ProviderType.HEALTHOMICS: provider})
    request = a_request(workflow_url="omics:1234567")
    world.queue(*[a_run(f"run-{number}", request=request) for number in range(RUNS)])
    return world


def live(world: World, clock: ManualClock, *, passes: int) -> None:
    """One daemon after the other, since each dies now and then, until all is done."""
    chance, daemon = random.Random(5), world.daemon()
    for _ in range(passes):
        if all(state.has_ended for state in world.states()):
            return
        if chance.random() < 0.1:
            daemon = world.daemon()
        daemon.daemon_session.renew()
        daemon.submit()
        daemon.cancel()
        daemon.refresh()
        clock.advance(timedelta(minutes=1))


def started_once_each(simulator: HealthOmicsSimulator) -> bool:
    return sorted(entry.request_id for entry in simulator.service.started) == sorted(
        f"wes-run-{number}" for number in range(RUNS)
    )


def test_fifty_runs_end_complete_once_each_with_outputs_tasks_and_times(
    world: World, simulator: HealthOmicsSimulator, clock: ManualClock
) -> None:
    live(world, clock, passes=200)

    assert world.states() == {RunState.COMPLETE}
    assert started_once_each(simulator)
    for run in world.store.runs.values():
        found = world.queries.get(run.id)
        assert found.details.outputs["Main.count"] == 42
        assert [task.name for task in found.tasks] == ["main"]
        assert run.start_time is not None
        assert run.end_time is not None
        assert run.end_time > run.start_time


def test_fifty_runs_end_complete_when_one_call_in_five_fails(
    world: World, simulator: HealthOmicsSimulator, clock: ManualClock
) -> None:
    chance = random.Random(11)
    points = (
        faults.throttled(timedelta(seconds=7)),
        faults.internal(after_acting=True),
        faults.bad_gateway(),
        faults.cut(after_acting=True),
        faults.cut(after_acting=False),
        faults.garbled(),
    )

    def weather(_: str) -> Fault | None:
        return chance.choice(points) if chance.random() < 0.2 else None

    simulator.faults.weather = weather

    live(world, clock, passes=400)

    assert world.states() == {RunState.COMPLETE}
    assert started_once_each(simulator)
    assert simulator.early == []


def test_credentials_that_cannot_be_had_leave_every_run_queued_until_they_are_corrected(
    world: World,
    simulator: HealthOmicsSimulator,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A1: no run is in doubt, none needs review, and nothing is logged as a bug."""
    profile = tmp_path / "config"
    profile.write_text("[default]\ncredential_process = /nonexistent/keys\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profile))
    from_the_chain = replace(CONFIG, access_key_id=None, secret_access_key=None)
    provider = HealthOmicsProvider(from_the_chain, clock=clock)
    world.directory = MemoryProviderDirectory({ProviderType.HEALTHOMICS: provider})

    live(world, clock, passes=20)

    assert world.states() == {RunState.QUEUED}
    assert simulator.calls == []
    assert "credential_process of profile 'default'" in caplog.text
    assert not [word for word in ("bug", "in_doubt", "needs_review", "Traceback") if word in caplog.text]

    profile.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    live(world, clock, passes=200)

    assert world.states() == {RunState.COMPLETE}
    assert started_once_each(simulator)


def test_runs_that_are_cancelled_end_cancelled_at_the_service_too(
    world: World, simulator: HealthOmicsSimulator, clock: ManualClock
) -> None:
    live(world, clock, passes=2)
    for run in list(world.store.runs.values()):
        if run.state is not RunState.QUEUED:
            world.set_state(run.id, RunState.CANCELING)

    live(world, clock, passes=200)

    assert {RunState.CANCELED} <= world.states() <= {RunState.CANCELED, RunState.COMPLETE}
    for run in world.store.runs.values():
        status = simulator.service.run(str(run.provider_run_id).partition("/")[0]).status
        assert (run.state, status) in {(RunState.CANCELED, "CANCELLED"), (RunState.COMPLETE, "COMPLETED")}
