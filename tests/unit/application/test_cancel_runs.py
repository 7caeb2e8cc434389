"""Cancels are passed on, once in a while, and end as the provider says."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests import fault_points
from tests.builders import a_report, a_run
from tests.unit.application.conftest import LEASE, DaemonUnderTest, World
from wes_daemon.application.ports.errors import CircuitOpen, Misconfigured, NotNow, OutcomeUnknown
from wes_daemon.application.ports.submissions import SubmissionState
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


class TestDeletedRows:
    def test_the_provider_of_a_run_whose_row_was_deleted_is_told(
        self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
    ) -> None:
        id = _held(world, daemon)
        _delete(world, "run-1")

        report = daemon.cancel()

        assert (report.passed_on, report.kept) == (1, 0)
        assert world.provider.cancelled == [id]
        assert any(message.startswith("cancel.row_deleted run_id=run-1") for message in caplog.messages)
        assert "was deleted" in world.store.timeline(RunId("run-1"))[-1].why

    def test_its_poll_is_finished_when_the_provider_has_ended_it(self, world: World, daemon: DaemonUnderTest) -> None:
        _held(world, daemon)
        _delete(world, "run-1")
        daemon.cancel()

        daemon.refresh()

        assert world.store.tables.polls == {}
        assert world.store.tables.submissions[RunId("run-1")].state is SubmissionState.CLOSED
        assert "reports" in world.store.timeline(RunId("run-1"))[-1].why

    def test_its_provider_is_told_again_after_a_failure(self, world: World, daemon: DaemonUnderTest) -> None:
        id = _held(world, daemon)
        _delete(world, "run-1")
        world.provider.fail_next(NotNow("busy"), operation="cancel")

        first = daemon.cancel()
        world.clock.advance(timedelta(seconds=30))
        daemon.cancel()

        assert first.deferred == 1
        assert world.provider.cancelled == [id]

    def test_a_row_that_is_replaced_in_two_transactions_is_not_deleted(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        _held(world, daemon)
        run = world.run()
        _delete(world, "run-1")
        daemon.wakeup.on_wait = lambda _: world.queue(run)

        daemon.cancel()

        assert world.provider.cancelled == []
        assert world.store.tables.polls[RunId("run-1")].cancel_again_at is None

    def test_too_many_rows_that_are_deleted_at_once_cancel_nothing_and_are_logged(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.most_deleted = 2
        daemon = world.daemon()
        _held(world, daemon, "run-1", "run-2", "run-3", "run-4")
        _delete(world, "run-1", "run-2", "run-3")

        report, again = daemon.cancel(), daemon.cancel()

        assert (report.kept, again.kept, world.provider.cancelled) == (3, 0, [])
        [logged] = [message for message in caplog.messages if message.startswith("cancel.rows_missing")]
        assert 'runs=3 allowed=2 reason="more rows than allowed"' in logged
        assert "continues" in world.store.timeline(RunId("run-1"))[-1].why

    def test_kept_runs_are_not_cancelled_when_few_are_left(self, world: World) -> None:
        world.most_deleted = 1
        daemon = world.daemon()
        ids = _held(world, daemon, "run-1", "run-2", "run-3"), world.provider.id_of(a_run("run-2").idempotency_key)
        _delete(world, "run-1", "run-2")
        daemon.cancel()
        world.provider.put(ids[0], a_report(RunState.COMPLETE))
        world.clock.advance(timedelta(hours=1))
        daemon.refresh()

        daemon.cancel()
        another_daemon = world.daemon()
        another_daemon.cancel()

        assert world.provider.cancelled == []

    def test_an_empty_table_is_an_accident_and_a_single_deleted_run_is_not(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        first = _held(world, daemon)
        _delete(world, "run-1")
        alone = daemon.cancel()
        _held(world, daemon, "run-2", "run-3")
        _delete(world, "run-2", "run-3")

        together = daemon.cancel()

        assert (alone.passed_on, together.passed_on, together.kept) == (1, 0, 2)
        assert world.provider.cancelled == [first]

    def test_a_restored_row_counts_when_it_is_deleted_later(self, world: World, daemon: DaemonUnderTest) -> None:
        id = _held(world, daemon, "run-1", "run-2")
        rows = list(world.store.runs.values())
        _delete(world, "run-1", "run-2")
        daemon.cancel()
        world.queue(*rows)
        daemon.cancel()

        _delete(world, "run-1")
        daemon.cancel()

        assert world.provider.cancelled == [id]

    def test_no_deleted_run_is_cancelled_if_none_is_allowed(self, world: World) -> None:
        world.most_deleted = 0
        daemon = world.daemon()
        _held(world, daemon)
        _delete(world, "run-1")

        assert daemon.cancel().kept == 1
        assert world.provider.cancelled == []

    def test_a_waiting_run_whose_row_was_deleted_is_closed(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        world.provider.fail_next(NotNow("busy"))
        daemon.submit()
        _delete(world, "run-1")

        daemon.cancel()

        assert world.store.tables.submissions[RunId("run-1")].state is SubmissionState.CLOSED
        assert world.provider.started == []

    def test_a_run_in_doubt_whose_row_was_deleted_needs_review(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        world.provider.lose_next_answer()
        daemon.submit()
        _delete(world, "run-1")
        world.clock.advance(timedelta(minutes=1))

        daemon.cancel()
        daemon.submit()

        assert world.store.tables.submissions[RunId("run-1")].state is SubmissionState.REVIEW
        assert world.provider.cancelled == []


@pytest.mark.parametrize("act", ["cancel", "end", "delete"])
def test_a_run_that_was_withdrawn_during_its_submission_leads_to_a_hint_when_it_is_accepted(
    world: World, daemon: DaemonUnderTest, request: pytest.FixtureRequest, act: str
) -> None:
    def withdraw(point: str) -> None:
        if point == "submit.before_call":
            if act == "delete":
                _delete(world, "run-1")
            else:
                world.set_state("run-1", RunState.CANCELING if act == "cancel" else RunState.CANCELED)

    listener = daemon.wakeup.listener()
    world.queue(a_run())
    request.addfinalizer(lambda: fault_points.listen(None))
    fault_points.listen(withdraw)

    daemon.submit()

    assert listener.is_notified
    daemon.cancel()
    assert world.provider.cancelled == [world.provider.id_of(a_run().idempotency_key)]


def test_an_accepted_run_leads_to_no_hint(world: World, daemon: DaemonUnderTest) -> None:
    listener = daemon.wakeup.listener()

    _held(world, daemon)

    assert not listener.is_notified


def _delete(world: World, *run_ids: str) -> None:
    for run_id in run_ids:
        del world.store.tables.runs[RunId(run_id)]


def _held(world: World, daemon: DaemonUnderTest, *run_ids: str) -> ProviderRunId:
    """The provider's id of the first of these runs, which it has accepted."""
    runs = [a_run(run_id) for run_id in run_ids or ("run-1",)]
    world.queue(*runs)
    daemon.submit()
    return world.provider.id_of(runs[0].idempotency_key)


class _Death(BaseException):
    """The process ends."""
