"""Which loops a daemon runs, and how often."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from tests.builders import a_run
from tests.memory.work_probe import MemoryWorkProbe
from tests.unit.application.conftest import LEASE, DaemonUnderTest, World
from wes_daemon.application.runtime.daemon import PeriodicTask
from wes_daemon.application.runtime.loops import (
    LoopIntervals,
    ProviderPasses,
    events_loop,
    heartbeat_loop,
    inherited_runs_loop,
    provider_loops,
)
from wes_daemon.application.runtime.work_probe import ProviderWorkProbe
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

SECOND = timedelta(seconds=1)
INTERVALS = LoopIntervals(poll=60 * SECOND, status_check=300 * SECOND, status_check_floor=15 * SECOND)


def loops_with(world: World, daemon: DaemonUnderTest, intervals: LoopIntervals) -> Mapping[str, PeriodicTask]:
    """The loops of Seven Bridges, by name."""
    probe = ProviderWorkProbe(
        MemoryWorkProbe(world.store),
        daemon.daemon_session,
        serving=ProviderType.SEVENBRIDGES,
        default=ProviderType.SEVENBRIDGES,
    )
    passes = ProviderPasses(
        submit=daemon.submit,
        submit_queued=daemon.submit.submit_announced,
        take_over=daemon.submit.resolve_takeovers,
        has_deferred=lambda _: False,
        cancel=daemon.cancel,
        refresh=daemon.refresh,
        find_ended=lambda: None,
        delete_drafts=lambda: None,
    )
    loops = provider_loops(ProviderType.SEVENBRIDGES, passes, probe=probe, intervals=intervals, clock=world.clock)
    return {loop.name.removesuffix("-sevenbridges"): loop for loop in loops}


def test_each_loop_runs_as_often_as_its_settings_say(world: World, daemon: DaemonUnderTest) -> None:
    intervals = LoopIntervals(poll=60 * SECOND, status_check=300 * SECOND, status_check_floor=15 * SECOND)

    loops = loops_with(world, daemon, intervals)

    assert {name: loop.every for name, loop in loops.items()} == {
        "submit": 5 * SECOND,
        "cancel": 60 * SECOND,
        "refresh": 15 * SECOND,
        "find-ended": 15 * SECOND,
        "delete-drafts": 3600 * SECOND,
    }


def test_short_intervals_are_kept(world: World, daemon: DaemonUnderTest) -> None:
    intervals = LoopIntervals(poll=2 * SECOND, status_check=SECOND, status_check_floor=SECOND)

    loops = loops_with(world, daemon, intervals)

    assert [loops[name].every for name in ("submit", "cancel", "refresh", "find-ended")] == [
        2 * SECOND,
        SECOND,
        SECOND,
        SECOND,
    ]


def test_submitting_and_cancelling_react_to_hints(world: World, daemon: DaemonUnderTest) -> None:
    intervals = LoopIntervals(poll=60 * SECOND, status_check=300 * SECOND, status_check_floor=15 * SECOND)

    loops = loops_with(world, daemon, intervals)

    assert {name for name, loop in loops.items() if loop.on_hint} == {"submit", "cancel"}


@pytest.mark.parametrize("state", [None, RunState.CANCELING, RunState.CANCELED, RunState.SYSTEM_ERROR])
def test_on_a_hint_an_active_run_that_its_service_cancels_ends_or_deletes_is_cancelled(
    world: World, daemon: DaemonUnderTest, state: RunState | None
) -> None:
    world.queue(a_run())
    daemon.submit()
    if state is None:
        world.store.tables.runs.clear()
    else:
        world.set_state("run-1", state)
    cancel = loops_with(world, daemon, INTERVALS)["cancel"]
    assert cancel.on_hint is not None

    cancel.on_hint()

    assert len(world.provider.cancelled) == 1


def test_the_pause_after_a_hint_follows_the_cost_of_the_probe_and_is_half_a_second_at_least(
    world: World, daemon: DaemonUnderTest
) -> None:
    cancel = loops_with(world, daemon, INTERVALS)["cancel"]

    assert callable(cancel.pause_after_hint)
    assert cancel.pause_after_hint() == SECOND / 2


def test_the_heartbeat_comes_four_times_in_a_lease(daemon: DaemonUnderTest) -> None:
    assert heartbeat_loop(daemon.daemon_session).every == LEASE / 4


def test_the_loop_of_events_waits_a_second_between_two_passes() -> None:
    loop = events_loop(ProviderType.HEALTHOMICS, lambda: None)

    assert (loop.name, loop.every) == ("events-healthomics", SECOND)


def test_inherited_runs_are_searched_every_hour_and_soon_while_a_run_waits_for_it(world: World) -> None:
    passes: list[timedelta] = []
    is_waiting = True
    loop = inherited_runs_loop(lambda: passes.append(world.clock.monotonic()), lambda: is_waiting, world.clock)
    started = world.clock.monotonic()

    for number in range(241):
        is_waiting = number < 4
        loop.work()
        world.clock.advance(loop.every)

    assert [(at - started) / SECOND for at in passes] == [0, 30, 60, 90, 3600, 7200]
