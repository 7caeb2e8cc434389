"""A service that is down for a while, with the real SDKs: it is left alone, no run suffers, and all goes on."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from tests.builders import a_request, a_run, a_submission_policy
from tests.integration.providers.healthomics_harness import bare_provider, simulated
from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import APP, SevenBridgesHarness
from tests.simulators.healthomics import faults as omics_faults
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.simulators.sevenbridges import faults as bridges_faults
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.providers import MemoryProviderDirectory
from wes_daemon.adapters.resilience.circuit_breaking import CircuitPolicy
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.application.following.refresh_policy import RefreshPolicy
from wes_daemon.application.ports.errors import NotNow, Unavailable
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

__all__ = ["authority", "harness", "trusted"]

RUNS = 12
CAP = 8
PASS = timedelta(seconds=10)
OUTAGE = timedelta(minutes=20)
# The circuit's minute, at its shortest.
REST = CircuitPolicy().cool_down * 0.9


# By when five calls must have failed.
NOT_LATER = ManualClock().now() + timedelta(minutes=5)


@dataclass
class Scene:
    """A database with queued runs, a service, and what a test does to that.

    Attributes:
        calls: when each request reached the service.
        down, up: let every request fail from now on; let none fail any more.
        work: let the service get on with what it runs.
    """

    world: World
    calls: Callable[[], Sequence[datetime]]
    down: Callable[[], None]
    up: Callable[[], None]
    work: Callable[[], None]

    def live(self, daemon: DaemonUnderTest, *, lasting: timedelta) -> None:
        """Pass after pass, until all is done or the time is over."""
        end = self.world.clock.now() + lasting
        while self.world.clock.now() < end and self.world.states() != {RunState.COMPLETE}:
            daemon.daemon_session.renew()
            daemon.submit()
            daemon.cancel()
            self.work()
            daemon.refresh()
            self.world.clock.advance(PASS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def _healthomics(simulator: HealthOmicsSimulator, clock: ManualClock, fault: omics_faults.Fault) -> Scene:
    def down() -> None:
        simulator.faults.weather = lambda _: fault

    def up() -> None:
        simulator.faults.weather = lambda _: None

    simulator.service.pace = PASS
    world = _world(ProviderType.HEALTHOMICS, bare_provider(clock=clock), clock, "omics:1234567")
    return Scene(world, lambda: [call.at for call in simulator.calls], down, up, lambda: None)


def _sevenbridges(harness: SevenBridgesHarness, fault: bridges_faults.Fault) -> Scene:
    platform = harness.platform

    def work() -> None:
        for id, task in list(platform.tasks.items()):
            if task["status"] == "RUNNING":
                platform.complete(id)
            elif task["status"] == "QUEUED":
                platform.move(id, "RUNNING")

    world = _world(ProviderType.SEVENBRIDGES, harness.provider(), harness.clock, APP, {"sample": "NA12878"})
    return Scene(
        world,
        lambda: [call.at for call in platform.calls],
        lambda: platform.faults.storm(lambda _: fault),
        lambda: platform.faults.storm(None),
        work,
    )


def _world(
    type: ProviderType, provider: WorkflowProvider, clock: ManualClock, url: str, params: object = None
) -> World:
    world = World(
        clock=clock,
        submission_policy=a_submission_policy(concurrency_limit=CAP, default_provider=type, first_poll_after=PASS),
        refresh_policy=RefreshPolicy(interval=PASS),
    )
    provider = decorated(provider, type, telemetry=world.telemetry, clock=clock, sleep=clock.advance)
    world.directory = MemoryProviderDirectory({type: provider})
    request = a_request(workflow_url=url, workflow_params=params or {})
    world.queue(*[a_run(f"run-{number}", request=request) for number in range(RUNS)])
    return world


@pytest.fixture
def scene(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Iterator[Scene]:
    service, fault = request.param
    if service == "sevenbridges":
        yield _sevenbridges(request.getfixturevalue("harness"), fault)
        return
    with simulated(monkeypatch, clock.now) as simulator:
        yield _healthomics(simulator, clock, fault)


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(("healthomics", omics_faults.unavailable()), id="healthomics-503"),
        pytest.param(("healthomics", omics_faults.cut(after_acting=False)), id="healthomics-cut"),
        # To a 503 the platform adds when its window ends, so that it is called once in five minutes anyway.
        pytest.param(("sevenbridges", bridges_faults.BAD_GATEWAY), id="sevenbridges-502"),
        pytest.param(("sevenbridges", bridges_faults.CUT_BEFORE), id="sevenbridges-cut"),
    ],
    indirect=True,
)
def test_a_service_that_is_down_is_left_alone_no_run_suffers_and_all_end_complete_afterwards(scene: Scene) -> None:
    daemon, clock = scene.world.daemon(), scene.world.clock
    scene.live(daemon, lasting=PASS)
    before, calls_before = dict(scene.world.store.runs), len(scene.calls())

    scene.down()
    while not scene.world.telemetry.circuits and clock.now() < NOT_LATER:
        scene.live(daemon, lasting=PASS)
    opened, calls_then = clock.now(), len(scene.calls())
    scene.live(daemon, lasting=OUTAGE)
    after = dict(scene.world.store.runs)
    scene.up()
    scene.live(daemon, lasting=timedelta(hours=2))

    assert {run.state for run in before.values()} > {RunState.QUEUED}
    assert after == before
    assert scene.world.states() == {RunState.COMPLETE}
    probes = [at for at in scene.calls() if opened <= at < opened + OUTAGE]
    assert min(later - earlier for earlier, later in pairwise(probes)) >= REST
    assert len(probes) > OUTAGE / timedelta(minutes=2)
    assert calls_then - calls_before == CircuitPolicy().failures
    assert [event for _, event in scene.world.telemetry.circuits] == [
        "opened",
        *["trial_failed"] * len(probes),
        "closed",
    ]


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(("healthomics", omics_faults.throttled()), id="healthomics-429"),
        pytest.param(("healthomics", omics_faults.quota()), id="healthomics-402"),
        pytest.param(("sevenbridges", bridges_faults.TOO_MANY), id="sevenbridges-429"),
    ],
    indirect=True,
)
def test_a_service_that_is_busy_is_not_down(scene: Scene) -> None:
    daemon = scene.world.daemon()
    scene.live(daemon, lasting=PASS)

    scene.down()
    scene.live(daemon, lasting=timedelta(minutes=5))

    assert scene.world.telemetry.circuits == []


def test_one_failure_that_many_threads_wait_for_is_one(harness: SevenBridgesHarness) -> None:
    provider, together = harness.provider(), threading.Barrier(16)
    harness.platform.faults.storm(lambda _: bridges_faults.BAD_GATEWAY)

    def attempt(_: int) -> type[Exception]:
        together.wait(60)
        with pytest.raises(NotNow) as caught:
            provider.submit(harness.of())
        return type(caught.value)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(attempt, range(16)))

    assert harness.operations() == ["list_tasks"] * found.count(Unavailable)
    assert set(found) <= {Unavailable, NotNow}
