"""Cancels are passed on, once in a while, and end as the provider says."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests import fault_points
from tests.builders import a_report, a_run
from tests.unit.application.conftest import LEASE, DaemonUnderTest, World
from wes_daemon.application.ports.errors import CircuitOpen, Misconfigured, NotNow, OutcomeUnknown
from wes_daemon.domain.runs import ProviderRunId, RunId
from wes_daemon.domain.states import RunState


def test_a_run_that_no_provider_had_ends_at_once(world: World, daemon: DaemonUnderTest) -> None:
    world.queue(a_run(state=RunState.CANCELING))

    report = daemon.cancel()

    assert report.ended == 1
    assert (world.run().state, world.run().end_time) == (RunState.CANCELED, world.clock.now())
    assert world.provider.calls == []


def test_a_run_cancelled_while_it_waits_is_never_submitted(world: World) -> None:
    world.queue(a_run())
    daemon = world.daemon()
    world.provider.fail_next(NotNow("busy"))
    daemon.submit()
    world.set_state("run-1", RunState.CANCELING)

    daemon.cancel()
    world.clock.advance(timedelta(hours=1))
    daemon.submit()

    assert world.run().state is RunState.CANCELED
    assert world.provider.started == []


def test_a_run_that_the_service_ended_while_it_waited_gets_an_end_time(world: World, daemon: DaemonUnderTest) -> None:
    world.queue(a_run())
    world.provider.fail_next(NotNow("busy"))
    daemon.submit()
    world.set_state("run-1", RunState.CANCELED)

    ended = world.clock.now()
    daemon.cancel()
    world.clock.advance(timedelta(hours=1))
    daemon.submit()
    daemon.cancel()

    assert (world.run().state, world.run().end_time) == (RunState.CANCELED, ended)
    assert world.provider.started == []
    assert world.store.timeline(RunId("run-1"))[-1].why == "ended without an end time, before any provider had it"


def test_a_run_that_was_ended_before_it_was_enrolled_is_left_as_it_is(world: World, daemon: DaemonUnderTest) -> None:
    world.queue(a_run(state=RunState.CANCELED))

    daemon.submit()
    daemon.cancel()

    assert world.run() == a_run(state=RunState.CANCELED)


def test_a_run_that_the_service_ended_gets_an_end_time_when_its_provider_has_ended_it(
    world: World, daemon: DaemonUnderTest
) -> None:
    id = _held(world, daemon)
    world.set_state("run-1", RunState.CANCELED)
    daemon.cancel()
    world.provider.put(id, a_report(RunState.RUNNING))
    daemon.refresh()
    while_running = world.run().end_time
    ended = world.clock.now() + timedelta(minutes=3)
    world.provider.put(id, a_report(RunState.CANCELED, ended_at=ended))
    world.clock.advance(timedelta(hours=1))

    daemon.refresh()

    assert while_running is None
    assert (world.run().state, world.run().end_time) == (RunState.CANCELED, ended)


def test_the_end_time_that_the_service_has_set_stays(world: World, daemon: DaemonUnderTest) -> None:
    id = _held(world, daemon)
    ended = world.clock.now()
    world.store.insert(replace(world.run(), state=RunState.CANCELED, end_time=ended))
    world.provider.put(id, a_report(RunState.CANCELED, ended_at=ended + timedelta(minutes=3)))
    world.clock.advance(timedelta(hours=1))

    daemon.cancel()
    daemon.refresh()

    assert world.run().end_time == ended


@pytest.mark.parametrize("state", [RunState.CANCELING, RunState.CANCELED])
def test_the_provider_that_holds_a_run_is_told(world: World, daemon: DaemonUnderTest, state: RunState) -> None:
    id = _held(world, daemon)
    world.set_state("run-1", state)

    report = daemon.cancel()

    assert report.passed_on == 1
    assert world.provider.cancelled == [id]


def test_it_ends_with_what_the_provider_says(world: World, daemon: DaemonUnderTest) -> None:
    id = _held(world, daemon)
    world.set_state("run-1", RunState.CANCELING)
    world.provider.put(id, a_report(RunState.COMPLETE))

    daemon.cancel()
    daemon.refresh()

    assert world.run().state is RunState.COMPLETE


def test_a_told_provider_is_asked_at_the_next_look_and_the_run_is_cancelled(
    world: World, daemon: DaemonUnderTest
) -> None:
    _held(world, daemon)
    world.set_state("run-1", RunState.CANCELING)

    daemon.cancel()
    daemon.refresh()

    assert world.run().state is RunState.CANCELED


def test_a_provider_is_not_told_again_at_every_pass(world: World, daemon: DaemonUnderTest) -> None:
    _held(world, daemon)
    world.set_state("run-1", RunState.CANCELING)
    daemon.cancel()

    again_at_once = daemon.cancel()
    world.clock.advance(timedelta(minutes=6))
    later = daemon.cancel()

    assert (again_at_once.passed_on, later.passed_on) == (0, 1)


@pytest.mark.parametrize(
    "error", [NotNow("busy"), OutcomeUnknown("cut"), Misconfigured("token expired"), ZeroDivisionError("a bug")]
)
def test_a_cancel_that_could_not_be_passed_on_is_tried_again(
    world: World, daemon: DaemonUnderTest, error: Exception
) -> None:
    id = _held(world, daemon)
    world.set_state("run-1", RunState.CANCELING)
    world.provider.fail_next(error, operation="cancel")

    first = daemon.cancel()
    world.clock.advance(timedelta(seconds=30))
    daemon.cancel()

    assert first.deferred == 1
    assert world.provider.cancelled == [id]


def test_a_cancel_that_meets_an_open_circuit_waits_until_the_service_may_be_tried_again(
    world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    id = _held(world, daemon)
    world.set_state("run-1", RunState.CANCELING)
    world.provider.fail_next(CircuitOpen("left alone", retry_after=timedelta(seconds=50)), operation="cancel")

    first = daemon.cancel()
    world.clock.advance(timedelta(seconds=49))
    too_early = daemon.cancel()
    told_by_then = list(world.provider.cancelled)
    world.clock.advance(timedelta(seconds=1))
    daemon.cancel()

    assert (first.deferred, too_early.deferred, told_by_then) == (1, 0, [])
    assert world.provider.cancelled == [id]
    assert not any("cancel.deferred" in message for message in caplog.messages)


def test_a_run_in_doubt_is_resolved_first_and_then_cancelled(world: World, daemon: DaemonUnderTest) -> None:
    world.queue(a_run())
    world.provider.lose_next_answer()
    daemon.submit()
    world.set_state("run-1", RunState.CANCELING)
    world.clock.advance(timedelta(minutes=1))

    daemon.cancel()
    daemon.submit()
    daemon.cancel()
    daemon.refresh()

    assert world.run().state is RunState.CANCELED
    assert world.provider.started == ["wes-run-1"]
    assert world.provider.cancelled == [ProviderRunId("memory-1")]


def test_an_ended_run_is_not_told_to_its_provider(world: World, daemon: DaemonUnderTest) -> None:
    id = _held(world, daemon)
    world.provider.put(id, a_report(RunState.CANCELED))
    world.clock.advance(timedelta(hours=1))
    daemon.refresh()

    daemon.cancel()

    assert world.run().state is RunState.CANCELED
    assert world.provider.cancelled == []


def test_stopping_begins_nothing_new(world: World, daemon: DaemonUnderTest) -> None:
    world.queue(a_run(state=RunState.CANCELING))
    daemon.stop.set()

    daemon.cancel()

    assert world.store.run(RunId("run-1")).state is RunState.CANCELING


def test_a_daemon_that_dies_over_a_cancel_leaves_it_to_the_next_one_soon(
    world: World, daemon: DaemonUnderTest, request: pytest.FixtureRequest
) -> None:
    def die(point: str) -> None:
        if point == "cancel.before_call":
            raise _Death

    id = _held(world, daemon)
    world.set_state("run-1", RunState.CANCELING)
    request.addfinalizer(lambda: fault_points.listen(None))
    fault_points.listen(die)
    with pytest.raises(_Death):
        daemon.cancel()
    fault_points.listen(None)

    world.clock.advance(LEASE)
    world.daemon().cancel()

    assert world.provider.cancelled == [id]


def _held(world: World, daemon: DaemonUnderTest) -> ProviderRunId:
    world.queue(a_run())
    daemon.submit()
    return world.provider.id_of(a_run().idempotency_key)


class _Death(BaseException):
    """The process ends."""
