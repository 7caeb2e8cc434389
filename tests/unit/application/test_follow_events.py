"""Hints make runs due, whatever their number, order and sense; the runs themselves are never changed by one."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.builders import a_report, a_run
from tests.memory.events import MemoryHints
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.adapters.events.interruptible import InterruptibleSource
from wes_daemon.application.following.follow_events import EventsReport, FollowEvents
from wes_daemon.application.ports.errors import StorageUnavailable
from wes_daemon.application.ports.events import HintsUnavailable, Message
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderRunId, ProviderType
from wes_daemon.domain.states import RunState

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


class Ear:
    """Follows the events of the world's provider."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hints = MemoryHints(world.clock)
        self.stop = StopSignal()
        self.woken = 0
        self.follow = FollowEvents(
            source=self.hints,
            provider=ProviderType.SEVENBRIDGES,
            units=lambda: world.units(),
            refresh=self._wake,
            clock=world.clock,
            stop=self.stop,
        )

    def _wake(self) -> None:
        self.woken += 1


@pytest.fixture
def ear(world: World) -> Ear:
    return Ear(world)


def test_a_run_that_is_spoken_of_is_asked_for_at_once(world: World, daemon: DaemonUnderTest, ear: Ear) -> None:
    id = _followed(world, daemon)
    world.provider.put(ProviderRunId(id), a_report(RunState.RUNNING))
    ear.hints.send(id, "also-known-as")

    report = ear.follow()
    daemon.refresh()

    assert report == EventsReport(made_due=1, hints=1)
    assert world.run().state is RunState.RUNNING
    assert (ear.hints.left, ear.woken) == (0, 1)


def test_a_hint_itself_changes_no_run(world: World, daemon: DaemonUnderTest, ear: Ear) -> None:
    id = _followed(world, daemon)
    before = world.run()
    ear.hints.send(id)

    ear.follow()
    daemon.refresh()

    assert world.run() == before


def test_duplicates_and_disorder_do_no_harm(world: World, daemon: DaemonUnderTest, ear: Ear) -> None:
    id = _followed(world, daemon)
    world.provider.put(ProviderRunId(id), a_report(RunState.COMPLETE))
    for _ in range(25):
        ear.hints.send(id)

    ear.follow()
    daemon.refresh()
    ear.hints.send(id)
    late = ear.follow()
    daemon.refresh()

    assert world.run().state is RunState.COMPLETE
    assert late == EventsReport(made_due=0, hints=1)
    assert ear.hints.left == 0


def test_messages_about_anything_else_are_counted_and_deleted(ear: Ear, caplog: pytest.LogCaptureFixture) -> None:
    ear.hints.send("somebody-elses")
    ear.hints.send_foreign()

    report = ear.follow()

    assert report == EventsReport(hints=1, other=1)
    assert (ear.hints.left, ear.woken) == (0, 0)
    assert caplog.messages == []


def test_what_nobody_can_read_is_deleted_and_said_once_a_minute(ear: Ear, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        ear.hints.send_unreadable()
        ear.follow()
    ear.world.clock.advance(MINUTE)
    ear.hints.send_unreadable()

    ear.follow()

    assert ear.hints.left == 0
    assert [event.split()[0] for event in caplog.messages] == ["events.unreadable"] * 2


def test_a_crash_before_the_deletion_is_harmless(world: World, daemon: DaemonUnderTest, ear: Ear) -> None:
    id = _followed(world, daemon)
    ear.hints.send(id)
    ear.hints.fail_next(HintsUnavailable("the daemon was killed"), operation="delete")
    ear.follow()
    world.clock.advance(MINUTE)

    report = ear.follow()

    assert report == EventsReport(made_due=1, hints=1)
    assert ear.hints.left == 0


def test_nothing_is_deleted_while_the_database_is_away(world: World, daemon: DaemonUnderTest, ear: Ear) -> None:
    id = _followed(world, daemon)
    ear.hints.send(id)
    world.units = _away
    with pytest.raises(StorageUnavailable):
        ear.follow()
    world.units = world.plain_units
    world.clock.advance(MINUTE)

    report = ear.follow()

    assert report.made_due == 1


def test_a_queue_that_is_away_is_said_once_and_so_is_its_return(ear: Ear, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ear.hints.fail_next(*[HintsUnavailable("denied")] * 3)

    for _ in range(20):
        ear.follow()
        ear.world.clock.advance(SECOND)

    assert caplog.messages == [
        "events.unavailable provider=sevenbridges reason=denied",
        "events.back provider=sevenbridges away=14s",
    ]


def test_a_queue_that_stays_away_is_asked_less_and_less_often(ear: Ear) -> None:
    asked: list[timedelta] = []
    ear.hints.receive = _noting(asked, ear)  # type: ignore[method-assign]

    for _ in range(2_000):
        ear.follow()
        ear.world.clock.advance(SECOND)

    pauses = [after - before for before, after in pairwise(asked)]
    assert [pause.total_seconds() for pause in pauses[:10]] == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_queue_from_which_nothing_can_be_deleted_counts_as_away(ear: Ear, caplog: pytest.LogCaptureFixture) -> None:
    ear.hints.fail_next(*[HintsUnavailable("no sqs:DeleteMessage")] * 9, operation="delete")
    ear.hints.send_foreign()

    for _ in range(300):
        ear.follow()
        ear.world.clock.advance(SECOND)

    assert [event.split()[0] for event in caplog.messages] == ["events.unavailable"]


def test_nothing_is_received_once_the_daemon_is_to_stop(ear: Ear) -> None:
    ear.hints.send_foreign()
    ear.stop.set()

    report = ear.follow()

    assert (report, ear.hints.left) == (EventsReport(), 1)


class TestInterruptible:
    """A wait at the queue does not hold up the end of the daemon."""

    def test_a_wait_that_is_under_way_ends_with_the_daemon(self) -> None:
        stop, waiting, never = StopSignal(), threading.Event(), threading.Event()

        def wait_long() -> None:
            waiting.set()
            never.wait(60)

        def stop_then() -> None:
            waiting.wait(60)
            stop.set()

        source = InterruptibleSource(_source(wait_long), stop)
        threading.Thread(target=stop_then, daemon=True).start()

        received = source.receive()

        assert (list(received), stop.is_raised) == ([], True)
        never.set()

    def test_nothing_is_begun_after_that(self) -> None:
        stop, begun = StopSignal(), list[str]()
        source = InterruptibleSource(_source(lambda: begun.append("receive")), stop)
        stop.set()

        assert (list(source.receive()), begun) == ([], [])

    def test_a_stop_before_it_was_made_counts(self) -> None:
        stop = StopSignal()
        stop.set()

        assert list(InterruptibleSource(_source(lambda: None), stop).receive()) == []

    def test_messages_and_errors_come_through(self) -> None:
        hints = _source(lambda: None)
        hints.send("run-1")
        hints.fail_next(HintsUnavailable("denied"))
        source = InterruptibleSource(hints, StopSignal())

        with pytest.raises(HintsUnavailable, match="denied"):
            source.receive()
        [message] = source.receive()
        source.delete([message.receipt])

        assert (list(message.ids), hints.left) == (["run-1"], 0)


def _followed(world: World, daemon: DaemonUnderTest) -> str:
    """A run that its provider holds and that is not due."""
    world.queue(a_run())
    daemon.submit()
    daemon.refresh(ahead=timedelta(hours=1))
    world.clock.advance(2 * SECOND)
    assert daemon.refresh().polled == 0
    return str(world.run().provider_run_id)


def _source(on_empty: Callable[[], None]) -> MemoryHints:
    return MemoryHints(World().clock, on_empty=on_empty)


def _away() -> UnitOfWork:
    raise StorageUnavailable("away")


def _noting(asked: list[timedelta], ear: Ear) -> Callable[[], list[Message]]:
    def receive() -> list[Message]:
        asked.append(ear.world.clock.monotonic())
        raise HintsUnavailable("denied")

    return receive
