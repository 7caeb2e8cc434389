"""How changes are written where the database does not answer, or not at once."""

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.builders import a_run
from tests.lost_answers import LosingAnswers
from tests.unit.application.conftest import LEASE, World
from wes_daemon.adapters.memory.wakeup import SkippingWakeUp
from wes_daemon.application.ports.errors import AlreadyRecorded, ClaimLost, Contended, StorageUnavailable
from wes_daemon.application.runtime.daemon_session import DaemonSession, HostProcess
from wes_daemon.application.runtime.recording import Recorder, Recording
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import RunSummary
from wes_daemon.domain.states import RunState

AWAY = StorageUnavailable("connection refused")
CONTENDED = Contended("deadlock detected")
ALREADY = AlreadyRecorded("given back")


class Desk:
    """A recorder, and a write of one run's state that fails as it is told."""

    def __init__(self, world: World) -> None:
        self.units = LosingAnswers(world.plain_units)
        self.stop = StopSignal()
        self.wakeup = SkippingWakeUp(world.clock)
        daemon_session = DaemonSession(
            units=world.plain_units,
            ids=world.ids,
            clock=world.clock,
            process=HostProcess(host="host", pid=1, version="0"),
            lasting=LEASE,
        )
        self.recorder = Recorder(
            units=self.units,
            clock=world.clock,
            telemetry=world.telemetry,
            daemon_session=daemon_session,
            wakeup=self.wakeup,
            stop=self.stop,
            outage_log=world.outage_log,
        )

    def write(self, *errors: Exception | None) -> Callable[[Recording], None]:
        """Writes, or fails, in this order; the last one again and again."""
        left = list(errors)

        def write(recording: Recording) -> None:
            error = left.pop(0) if left else None
            if error is not None:
                raise error
            recording.change(a_run().id, _started, "test")

        return write


def _started(run: RunSummary) -> RunSummary:
    return replace(run, state=RunState.INITIALIZING)


@pytest.fixture
def desk(world: World, caplog: pytest.LogCaptureFixture) -> Desk:
    """A desk with one queued run."""
    caplog.set_level(logging.INFO)
    world.queue(a_run())
    return Desk(world)


def test_what_a_provider_answered_waits_for_a_database_that_is_away(
    desk: Desk, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    desk.recorder.record_durably(desk.write(AWAY, AWAY))

    assert world.run().state is RunState.INITIALIZING
    assert [message.split()[0] for message in caplog.messages] == ["database.unavailable", "database.back"]


def test_a_commit_whose_answer_was_lost_counts_once_it_is_seen_to_be_there(desk: Desk, world: World) -> None:
    desk.units.lose(1)

    desk.recorder.record_durably(desk.write(None, ALREADY))

    assert world.telemetry.changes == [("run-1", RunState.QUEUED, RunState.INITIALIZING)]


def test_a_write_that_is_there_already_before_any_commit_is_a_bug(desk: Desk) -> None:
    with pytest.raises(AlreadyRecorded):
        desk.recorder.record_durably(desk.write(ALREADY))


def test_a_write_that_is_there_already_though_no_commit_was_tried_is_a_bug(desk: Desk) -> None:
    with pytest.raises(AlreadyRecorded):
        desk.recorder.record_durably(desk.write(AWAY, ALREADY))


def test_a_claim_that_was_lost_during_an_outage_ends_it_all_the_same(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ClaimLost):
        desk.recorder.record_durably(desk.write(AWAY, ClaimLost("taken over")))

    assert "database.back" in caplog.messages[-1]


def test_two_that_are_in_each_others_way_are_no_outage(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.recorder.record_durably(desk.write(CONTENDED, CONTENDED))

    assert [message.split()[0] for message in caplog.messages] == ["database.contended"] * 2
    assert all(wait.total_seconds() < 1 for wait in desk.wakeup.waits)


def test_whoever_does_not_wait_for_the_database_still_writes_anew_what_was_in_the_way(desk: Desk, world: World) -> None:
    desk.recorder.record(desk.write(CONTENDED))

    assert world.run().state is RunState.INITIALIZING


def test_what_is_in_the_way_every_time_is_given_up(desk: Desk) -> None:
    with pytest.raises(Contended):
        desk.recorder.record(desk.write(*[CONTENDED] * 100))


def test_a_daemon_that_is_to_stop_does_not_wait(desk: Desk) -> None:
    desk.stop.set()

    with pytest.raises(StorageUnavailable):
        desk.recorder.record_durably(desk.write(AWAY))
