"""Finished runs out: what the providers say is written, forwards only, and whatever fails is tried again."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from tests.builders import a_report, a_run, a_submission_policy, some_details
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.adapters.resilience.call_gate import QuotaExhausted
from wes_daemon.application.following.refresh_policy import RefreshPolicy
from wes_daemon.application.following.status_recorder import PollOutcome
from wes_daemon.application.ports.errors import CircuitOpen, Misconfigured, NotNow, NotSent, OutcomeUnknown, Rejected
from wes_daemon.application.ports.polls import DuePoll
from wes_daemon.application.ports.providers import ProviderLimits, ProviderTask, RunDetails
from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId, StatusReport, task_id
from wes_daemon.domain.states import RunState

A_WHILE = timedelta(hours=1)


def test_a_run_that_is_not_due_is_not_asked_for(world: World, daemon: DaemonUnderTest) -> None:
    _held(world, daemon)

    report = daemon.refresh()

    assert report.polled == 0
    assert "statuses" not in world.provider.calls


def test_a_run_is_running_when_its_provider_says_so(world: World, daemon: DaemonUnderTest) -> None:
    id = _held(world, daemon)
    world.provider.put(id, a_report(RunState.RUNNING))
    world.clock.advance(A_WHILE)

    report = daemon.refresh()

    assert report.outcomes == {PollOutcome.MOVED: 1}
    assert world.run().state is RunState.RUNNING
    assert world.run().start_time == world.clock.now()


def test_a_run_that_ends_has_outputs_tasks_and_times(world: World, daemon: DaemonUnderTest) -> None:
    id = _held(world, daemon)
    started, ended = world.clock.now(), world.clock.now() + timedelta(minutes=5)
    details = RunDetails(outputs={"answer": 42}, exit_code=0, tasks=[ProviderTask(id="t1", name="step", exit_code=0)])
    world.provider.put(id, a_report(RunState.COMPLETE, started_at=started, ended_at=ended), details)
    world.clock.advance(A_WHILE)

    daemon.refresh()

    record = _record(world)
    assert (record.run.state, record.run.start_time, record.run.end_time) == (RunState.COMPLETE, started, ended)
    assert record.details.outputs == {"answer": 42}
    assert [(task.name, task.exit_code) for task in record.tasks] == [("step", 0)]


def test_an_ended_run_is_never_asked_for_again(world: World, daemon: DaemonUnderTest) -> None:
    id = _held(world, daemon)
    world.provider.put(id, a_report(RunState.COMPLETE), some_details())
    world.clock.advance(A_WHILE)
    daemon.refresh()
    world.provider.calls.clear()

    world.clock.advance(A_WHILE)
    daemon.refresh()

    assert world.provider.calls == []


def test_a_failed_run_carries_its_providers_words(world: World, daemon: DaemonUnderTest) -> None:
    id = _held(world, daemon)
    world.provider.put(id, a_report(RunState.EXECUTOR_ERROR, "FAILED", message="exit status 1"))
    world.clock.advance(A_WHILE)

    daemon.refresh()

    record = _record(world)
    assert (record.run.state, record.run.error) == (RunState.EXECUTOR_ERROR, "exit status 1")
    assert (record.provider_status, record.provider_message) == ("FAILED", "exit status 1")


def test_a_run_that_the_provider_queues_again_stays_running_with_the_providers_word_beside_it(
    world: World, daemon: DaemonUnderTest
) -> None:
    id = _held(world, daemon)
    for report in (a_report(RunState.RUNNING, "RUNNING"), a_report(RunState.INITIALIZING, "QUEUED")):
        world.provider.put(id, report)
        world.clock.advance(A_WHILE)
        daemon.refresh()

    assert world.run().state is RunState.RUNNING
    assert _record(world).provider_status == "QUEUED"


def test_a_row_is_only_written_when_something_changed(world: World, daemon: DaemonUnderTest) -> None:
    id = _held(world, daemon)
    world.provider.put(id, a_report(RunState.RUNNING))
    for _ in range(3):
        world.clock.advance(A_WHILE)
        report = daemon.refresh()

    assert report.outcomes == {PollOutcome.UNCHANGED: 1}
    assert [entry.after for entry in world.store.timeline(RunId("run-1"))] == [
        RunState.INITIALIZING,
        RunState.RUNNING,
    ]


def test_many_runs_are_asked_for_in_one_call(world: World, daemon: DaemonUnderTest) -> None:
    world.queue(*(a_run(f"run-{number}") for number in range(10)))
    daemon.submit()
    world.clock.advance(A_WHILE)

    report = daemon.refresh()

    assert report.polled == 10
    assert world.provider.calls.count("statuses") == 1


def test_a_look_ahead_takes_every_run_once(world: World, daemon: DaemonUnderTest) -> None:
    world.queue(*(a_run(f"run-{number}") for number in range(3)))
    daemon.submit()
    world.clock.advance(timedelta(seconds=1))

    report = daemon.refresh(ahead=world.refresh_policy.interval)

    assert report.polled == 3
    assert world.provider.calls.count("statuses") == 1


class TestPace:
    """How long after one look the next one comes."""

    FLOOR = timedelta(seconds=15)
    INTERVAL = timedelta(seconds=300)
    POLICY = RefreshPolicy(interval=INTERVAL, floor=FLOOR)

    def poll(self, age: timedelta | None, state: RunState = RunState.RUNNING, **known: Any) -> DuePoll:
        return DuePoll(
            run_id=RunId("run-1"),
            provider=ProviderType.LOCAL,
            provider_run_id=ProviderRunId("at-run-1"),
            known_state=state,
            age=age,
            **known,
        )

    @pytest.mark.parametrize(
        ("age", "wait"),
        [
            (timedelta(0), FLOOR),
            (timedelta(seconds=150), FLOOR),
            (timedelta(seconds=1000), timedelta(seconds=100)),
            (timedelta(seconds=3000), INTERVAL),
            (timedelta(days=7), INTERVAL),
            (None, INTERVAL),
        ],
    )
    def test_a_run_is_asked_for_after_a_tenth_of_its_age(self, age: timedelta | None, wait: timedelta) -> None:
        assert self.POLICY.next_poll(self.poll(age)) == pytest.approx(wait, rel=0.101)

    @pytest.mark.parametrize(
        "poll",
        [
            {"state": RunState.CANCELING},
            {"state": RunState.RUNNING, "cancel_was_sent": True},
        ],
    )
    def test_a_run_that_is_being_cancelled_is_asked_for_sooner(self, poll: dict[str, Any]) -> None:
        old, young = self.poll(timedelta(days=1), **poll), self.poll(timedelta(0), **poll)

        assert self.POLICY.next_poll(old) == pytest.approx(self.INTERVAL / 4, rel=0.101)
        assert self.POLICY.next_poll(young) == pytest.approx(self.FLOOR, rel=0.101)

    def test_what_a_look_has_shown_counts(self) -> None:
        poll = self.poll(timedelta(days=1))

        assert self.POLICY.next_poll(poll, RunState.CANCELING) < self.POLICY.next_poll(poll) / 2

    def test_a_floor_above_the_interval_is_the_interval(self) -> None:
        policy = RefreshPolicy(interval=self.FLOOR, floor=self.INTERVAL)

        assert policy.next_poll(self.poll(timedelta(0))) == pytest.approx(self.FLOOR, rel=0.101)

    def test_what_began_together_is_not_asked_for_together(self) -> None:
        polls = [replace(self.poll(None), fencing_token=number) for number in range(1_000)]

        waits = sorted(self.POLICY.next_poll(poll) / self.INTERVAL for poll in polls)

        assert 0.9 <= waits[0] < 0.91
        assert 0.99 < waits[500] < 1.01
        assert 1.09 < waits[-1] <= 1.1
        assert waits == sorted(self.POLICY.next_poll(poll) / self.INTERVAL for poll in polls)

    def test_an_old_run_is_asked_for_once_in_an_interval_and_a_young_one_more_often(self, world: World) -> None:
        world.submission_policy = a_submission_policy(first_poll_after=self.FLOOR)
        daemon = world.daemon()
        _held(world, daemon)
        looks = []
        for _ in range(4 * 60 * 4):
            world.clock.advance(timedelta(seconds=15))
            looks.append(daemon.refresh().polled)

        first_ten_minutes, last_hour = sum(looks[:40]), sum(looks[-240:])

        assert 12 <= first_ten_minutes <= 25
        assert 10 <= last_hour <= 13

    def test_a_call_with_room_takes_along_what_is_due_soon(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(*(a_run(f"run-{number}") for number in range(10)))
        daemon.submit()
        world.clock.advance(A_WHILE)
        daemon.refresh()
        world.clock.advance(world.refresh_policy.interval)

        report = daemon.refresh()

        assert report.polled == 10
        assert world.provider.calls.count("statuses") == 2

    def test_a_call_that_costs_by_the_run_asks_for_what_is_due_only(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        class Single(MemoryProvider):
            limits = ProviderLimits(status_batch=100)

        world.directory.providers[ProviderType.SEVENBRIDGES] = Single()
        world.queue(*(a_run(f"run-{number}") for number in range(10)))
        daemon.submit()
        world.clock.advance(A_WHILE)
        daemon.refresh()
        world.clock.advance(world.refresh_policy.interval)

        assert 0 < daemon.refresh().polled < 10

    def test_a_sweep_serves_all_whose_turn_comes_soon(self, world: World) -> None:
        class Sweeping(MemoryProvider):
            limits = ProviderLimits(status_batch=100, sweeps_from=2)

        world.refresh_policy = RefreshPolicy(page=4)
        daemon = world.daemon()
        world.directory.providers[ProviderType.SEVENBRIDGES] = Sweeping()
        world.queue(*(a_run(f"run-{number}") for number in range(10)))
        daemon.submit()
        world.clock.advance(A_WHILE)
        daemon.refresh()
        world.clock.advance(world.refresh_policy.interval)

        assert daemon.refresh().polled == 10


class TestUnknown:
    def test_a_new_word_changes_nothing_is_counted_and_is_said_once(
        self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
    ) -> None:
        id = _held(world, daemon)
        world.provider.put(id, a_report(RunState.UNKNOWN, "HIBERNATING"))

        for _ in range(3):
            world.clock.advance(A_WHILE)
            report = daemon.refresh()

        assert report.outcomes == {PollOutcome.UNKNOWN: 1}
        assert world.run().state is RunState.INITIALIZING
        assert sum("HIBERNATING" in record.getMessage() for record in caplog.records) == 1

    def test_what_is_known_of_a_run_is_kept_while_there_is_no_news(self, world: World, daemon: DaemonUnderTest) -> None:
        id = _held(world, daemon)
        before = world.store.tables.polls[RunId("run-1")]
        world.provider.put(id, a_report(RunState.UNKNOWN, "HIBERNATING"))
        world.clock.advance(A_WHILE)

        daemon.refresh()

        after = world.store.tables.polls[RunId("run-1")]
        assert (after.known_state, after.known_status) == (before.known_state, before.known_status)

    def test_a_run_that_the_provider_does_not_know_is_asked_for_again(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        id = _held(world, daemon)
        world.provider.forget(id)
        world.clock.advance(timedelta(minutes=5))

        report = daemon.refresh()

        assert report.outcomes == {PollOutcome.MISSING: 1}
        assert world.run().state is RunState.INITIALIZING

    def test_one_that_stays_unknown_is_given_up_with_a_reason(self, world: World, daemon: DaemonUnderTest) -> None:
        id = _held(world, daemon)
        world.provider.forget(id)
        for _ in range(100):
            world.clock.advance(timedelta(minutes=1))
            daemon.refresh()

        assert world.run().state is RunState.SYSTEM_ERROR
        assert "no longer knows the run that it accepted as memory-1" in (world.run().error or "")

    def test_the_provider_says_why_it_may_be_unknown_and_where_to_search(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        """B7."""
        id = _held(world, daemon)
        world.provider.forget(id)
        world.directory.providers[ProviderType.SEVENBRIDGES] = _Explaining(world.provider)
        for _ in range(100):
            world.clock.advance(timedelta(minutes=1))
            daemon.refresh()

        assert (world.run().error or "").endswith("accepted as memory-1: records are deleted; search for log memory-1")

    def test_one_that_comes_back_starts_its_absence_anew(self, world: World, daemon: DaemonUnderTest) -> None:
        id = _held(world, daemon)
        forgetful = _Forgetful(world.provider, absent_at={0, 1, 2, 4, 5, 6})
        world.directory.providers[ProviderType.SEVENBRIDGES] = forgetful

        for _ in range(7):
            world.clock.advance(timedelta(minutes=20))
            daemon.refresh()

        assert world.run().state is RunState.INITIALIZING
        assert id in forgetful.asked


class TestProviderTrouble:
    def test_one_pass_asks_a_provider_in_trouble_once(self, world: World, daemon: DaemonUnderTest) -> None:
        _held(world, daemon)
        world.clock.advance(A_WHILE)
        world.provider.fail_next(*[NotNow("busy", retry_after=timedelta(seconds=1))] * 20, operation="statuses")

        daemon.refresh(ahead=timedelta(hours=1))

        assert world.provider.calls.count("statuses") == 1

    @pytest.mark.parametrize(
        "error", [NotNow("busy"), OutcomeUnknown("cut"), Misconfigured("token expired"), ZeroDivisionError("a bug")]
    )
    def test_no_news_is_not_bad_news(self, world: World, daemon: DaemonUnderTest, error: Exception) -> None:
        id = _held(world, daemon)
        world.provider.put(id, a_report(RunState.RUNNING))
        world.clock.advance(A_WHILE)
        world.provider.fail_next(error, operation="statuses")

        report = daemon.refresh()

        assert report.outcomes == {PollOutcome.DEFERRED: 1}
        assert world.run().state is RunState.INITIALIZING
        world.clock.advance(A_WHILE)
        assert daemon.refresh().outcomes == {PollOutcome.MOVED: 1}

    def test_a_provider_that_is_no_longer_set_up_keeps_its_runs_as_they_are(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        _held(world, daemon)
        world.directory.providers[ProviderType.SEVENBRIDGES] = Rejected("not set up here")
        world.clock.advance(A_WHILE)

        report = daemon.refresh()

        assert (report.outcomes, report.blocked) == ({PollOutcome.DEFERRED: 1}, {ProviderType.SEVENBRIDGES})

    def test_no_call_is_made_before_the_time_that_the_service_named(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        _held(world, daemon)
        world.clock.advance(A_WHILE)
        world.provider.fail_next(NotNow("busy", retry_after=timedelta(hours=2)), operation="statuses")
        daemon.refresh()

        world.clock.advance(timedelta(hours=2) - timedelta(seconds=1))
        daemon.refresh()

        assert world.provider.calls.count("statuses") == 1

    def test_one_provider_in_trouble_does_not_hold_up_another(self, world: World, daemon: DaemonUnderTest) -> None:
        local = MemoryProvider()
        world.directory.providers[ProviderType.LOCAL] = local
        world.queue(a_run("run-1"), a_run("run-2", tags={"provider_type": "local"}))
        daemon.submit()
        local.put(local.id_of(a_run("run-2").idempotency_key), a_report(RunState.RUNNING))
        world.provider.fail_next(ZeroDivisionError("a bug"), operation="statuses")
        world.clock.advance(A_WHILE)

        daemon.refresh()

        assert world.run("run-2").state is RunState.RUNNING

    @pytest.mark.parametrize(
        "error", [QuotaExhausted("used up"), NotSent("not now"), NotNow("busy", retry_after=timedelta(seconds=70))]
    )
    def test_a_spent_budget_ends_the_pass_and_the_longest_due_go_first_next_time(
        self, world: World, error: Exception
    ) -> None:
        world.refresh_policy = RefreshPolicy(page=4)
        daemon = world.daemon()
        world.queue(*(a_run(f"run-{number}") for number in range(10)))
        daemon.submit()
        world.clock.advance(A_WHILE)
        world.provider.fail_next(error, operation="statuses")
        before = {id: row.next_check_at for id, row in world.store.tables.polls.items()}

        first = daemon.refresh()
        after = {id: row.next_check_at for id, row in world.store.tables.polls.items()}
        world.clock.advance(timedelta(seconds=59))
        too_early = daemon.refresh()
        world.clock.advance(timedelta(seconds=11))
        later = daemon.refresh()

        assert first.outcomes == {PollOutcome.DEFERRED: 4}
        assert after == before
        assert (too_early.polled, later.polled) == (0, 10)

    def test_one_page_that_cannot_be_asked_for_does_not_hold_up_the_others(self, world: World) -> None:
        world.refresh_policy = RefreshPolicy(page=4)
        daemon = world.daemon()
        world.queue(*(a_run(f"run-{number}") for number in range(10)))
        daemon.submit()
        world.clock.advance(A_WHILE)
        world.provider.fail_next(ZeroDivisionError("a bug"), operation="statuses")

        assert daemon.refresh().outcomes == {PollOutcome.DEFERRED: 4, PollOutcome.MOVED: 6}


class TestOpenCircuit:
    REST = timedelta(seconds=40)

    def circuit_open(self) -> CircuitOpen:
        return CircuitOpen("left alone", retry_after=self.REST)

    def test_a_page_rests_until_the_service_may_be_tried_again(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(*(a_run(f"run-{number}") for number in range(10)))
        daemon.submit()
        world.clock.advance(A_WHILE)
        world.provider.fail_next(self.circuit_open(), operation="statuses")

        report = daemon.refresh()
        world.clock.advance(self.REST - timedelta(seconds=1))
        too_early = daemon.refresh()
        world.clock.advance(timedelta(seconds=1))
        later = daemon.refresh()

        assert report.outcomes == {PollOutcome.DEFERRED: 10}
        assert (too_early.polled, later.polled) == (0, 10)
        assert world.states() == {RunState.INITIALIZING}

    def test_the_provider_is_not_blocked_and_nothing_is_said_for_that_was_said_when_it_opened(
        self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
    ) -> None:
        _held(world, daemon)
        world.clock.advance(A_WHILE)
        world.provider.fail_next(self.circuit_open(), operation="statuses")
        caplog.clear()

        report = daemon.refresh()

        assert report.blocked == frozenset()
        assert caplog.records == []

    def test_an_outage_makes_no_missing_run_a_lost_one(self, world: World, daemon: DaemonUnderTest) -> None:
        id = _held(world, daemon)
        forgetful = _Forgetful(world.provider, absent_at={0, 1})
        world.directory.providers[ProviderType.SEVENBRIDGES] = forgetful
        world.clock.advance(A_WHILE)
        daemon.refresh()
        forgetful.failing = self.circuit_open()
        for _ in range(120):
            world.clock.advance(timedelta(minutes=1))
            daemon.refresh()
        forgetful.failing = None

        world.clock.advance(timedelta(minutes=1))
        report = daemon.refresh()

        assert report.outcomes == {PollOutcome.MISSING: 1}
        assert world.run().state is RunState.INITIALIZING
        assert id in forgetful.asked

    def test_an_end_that_is_known_is_written_and_its_details_follow_however_long_that_takes(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        id = _held(world, daemon)
        world.provider.put(id, a_report(RunState.COMPLETE), some_details())
        world.provider.fail_next(*[self.circuit_open()] * 100, operation="details")
        world.clock.advance(A_WHILE)
        first = daemon.refresh()
        ended = world.run().state

        for _ in range(100):
            world.clock.advance(timedelta(minutes=1))
            daemon.refresh()

        assert (first.outcomes, ended) == ({PollOutcome.DETAILS_PENDING: 1}, RunState.COMPLETE)
        assert _record(world).details.outputs == {"answer": 42}


class TestDetails:
    def test_a_run_ends_without_them_and_they_follow_later(self, world: World, daemon: DaemonUnderTest) -> None:
        id = _held(world, daemon)
        world.provider.put(id, a_report(RunState.COMPLETE), some_details())
        world.provider.fail_next(NotNow("busy"), operation="details")
        world.clock.advance(A_WHILE)

        report = daemon.refresh()

        assert report.outcomes == {PollOutcome.DETAILS_PENDING: 1}
        assert world.run().state is RunState.COMPLETE
        world.clock.advance(A_WHILE)
        daemon.refresh()
        assert _record(world).details.outputs == {"answer": 42}
        assert world.provider.calls.count("statuses") == 1

    def test_after_a_few_tries_their_absence_is_noted(self, world: World, daemon: DaemonUnderTest) -> None:
        id = _held(world, daemon)
        world.provider.put(id, a_report(RunState.COMPLETE))
        world.provider.fail_next(*[NotNow("busy")] * 20, operation="details")
        for _ in range(20):
            world.clock.advance(A_WHILE)
            daemon.refresh()

        assert world.provider.calls.count("details") == world.refresh_policy.details_attempts
        assert _record(world).details.system_logs == ("outputs and tasks could not be fetched: busy",)

    def test_where_a_person_has_to_mend_the_provider_they_are_waited_for_longer(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        id = _held(world, daemon)
        world.provider.put(id, a_report(RunState.COMPLETE), some_details())
        world.provider.fail_next(*[Misconfigured("token expired")] * 20, operation="details")
        for _ in range(21):
            world.clock.advance(A_WHILE)
            daemon.refresh()

        assert _record(world).details.outputs == {"answer": 42}

    def test_what_the_provider_will_never_tell_is_noted_at_once(self, world: World, daemon: DaemonUnderTest) -> None:
        id = _held(world, daemon)
        world.provider.put(id, a_report(RunState.COMPLETE))
        world.provider.fail_next(Rejected("gone"), operation="details")
        world.clock.advance(A_WHILE)

        report = daemon.refresh()

        assert report.outcomes == {PollOutcome.ENDED: 1}
        assert _record(world).details.system_logs == ("outputs and tasks could not be fetched: gone",)

    def test_a_bug_in_one_runs_details_does_not_stop_the_others(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run("run-1"), a_run("run-2"))
        daemon.submit()
        for number in (1, 2):
            world.provider.put(ProviderRunId(f"memory-{number}"), a_report(RunState.COMPLETE))
        world.provider.fail_next(ZeroDivisionError("a bug"), operation="details")
        world.clock.advance(A_WHILE)

        report = daemon.refresh()

        assert report.outcomes == {PollOutcome.DETAILS_PENDING: 1, PollOutcome.ENDED: 1}
        assert world.states() == {RunState.COMPLETE}

    def test_the_id_of_a_task_log_is_the_same_at_every_look(self, world: World, daemon: DaemonUnderTest) -> None:
        id = _held(world, daemon)
        tasks = [ProviderTask(id="t1", name="step")]
        world.provider.put(id, a_report(RunState.COMPLETE), RunDetails(tasks=tasks))
        world.clock.advance(A_WHILE)

        daemon.refresh()

        [task] = _record(world).tasks
        assert task.id == task_id(RunId("run-1"), "t1")


class TestOutputsAsTag:
    OUTPUTS: ClassVar[Mapping[str, object]] = {"bam": {"class": "File", "location": "s3://results/S1.bam"}, "n": 7}

    @pytest.fixture
    def tagging(self, world: World) -> DaemonUnderTest:
        """A daemon that writes outputs into a tag."""
        world.refresh_policy = RefreshPolicy(outputs_tag="outputs")
        return world.daemon()

    @pytest.mark.parametrize("state", [RunState.COMPLETE, RunState.EXECUTOR_ERROR])
    def test_an_ended_run_has_its_outputs_in_the_tag_too(
        self, world: World, tagging: DaemonUnderTest, state: RunState
    ) -> None:
        id = _held(world, tagging)
        world.provider.put(id, a_report(state), some_details(self.OUTPUTS))
        world.clock.advance(A_WHILE)

        tagging.refresh()

        assert world.run().tags == {"provider_type": "sevenbridges", "provider_id": id, "outputs": self.OUTPUTS}
        assert _record(world).details.outputs == self.OUTPUTS

    def test_outputs_that_are_read_later_are_written_then(self, world: World, tagging: DaemonUnderTest) -> None:
        id = _held(world, tagging)
        world.provider.put(id, a_report(RunState.COMPLETE), some_details(self.OUTPUTS))
        world.provider.fail_next(NotNow("busy"), operation="details")
        world.clock.advance(A_WHILE)
        tagging.refresh()
        before = world.run()
        world.clock.advance(A_WHILE)

        tagging.refresh()

        assert world.run() == before.with_tag("outputs", self.OUTPUTS)

    def test_a_run_without_outputs_keeps_its_tags(self, world: World, tagging: DaemonUnderTest) -> None:
        id = _held(world, tagging)
        world.provider.put(id, a_report(RunState.COMPLETE))
        world.clock.advance(A_WHILE)

        tagging.refresh()

        assert world.run().tags == {"provider_type": "sevenbridges", "provider_id": id}

    def test_outputs_that_are_too_long_for_a_tag_are_cut(self, world: World, tagging: DaemonUnderTest) -> None:
        id = _held(world, tagging)
        world.provider.put(id, a_report(RunState.COMPLETE), some_details({"parts": ["x" * 1_000] * 100, "n": 7}))
        world.clock.advance(A_WHILE)

        tagging.refresh()

        tag = world.run().tag_values["outputs"]
        assert tag == {"parts": "…", "n": 7, "…": "1 of 2 outputs; `wes-daemon show` prints all of them"}

    def test_without_the_setting_the_tags_hold_no_outputs(self, world: World, daemon: DaemonUnderTest) -> None:
        id = _held(world, daemon)
        world.provider.put(id, a_report(RunState.COMPLETE), some_details(self.OUTPUTS))
        world.clock.advance(A_WHILE)

        daemon.refresh()

        assert "outputs" not in world.run().tag_values


@pytest.mark.parametrize("keeps", [True, False])
def test_a_start_time_that_the_service_has_set_stays_only_if_that_is_configured(world: World, keeps: bool) -> None:
    world.refresh_policy = RefreshPolicy(keeps_start_time=keeps)
    daemon = world.daemon()
    queued = world.clock.now()
    world.queue(a_run(start_time=queued))
    daemon.submit()
    started = queued + timedelta(minutes=5)
    id = world.provider.id_of(world.run().idempotency_key)
    world.provider.put(id, a_report(RunState.RUNNING, started_at=started))
    world.clock.advance(A_WHILE)
    daemon.refresh()
    world.provider.put(id, a_report(RunState.COMPLETE, started_at=started, ended_at=queued - timedelta(minutes=1)))
    world.clock.advance(A_WHILE)

    daemon.refresh()

    expected = queued if keeps else started
    assert (world.run().start_time, world.run().end_time) == (expected, expected)


class TestRowsThatChangeMeanwhile:
    def test_a_held_run_that_the_service_sets_to_queued_ends_as_the_provider_says(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        id = _held(world, daemon)
        world.set_state("run-1", RunState.QUEUED)
        world.provider.put(id, a_report(RunState.COMPLETE))
        world.clock.advance(A_WHILE)

        daemon.refresh()

        assert world.run().state is RunState.COMPLETE
        assert world.provider.started == ["wes-run-1"]

    @pytest.mark.parametrize("state", [RunState.QUEUED, RunState.RUNNING, RunState.CANCELING])
    def test_an_ended_run_that_the_service_makes_active_again_ends_again(
        self, world: World, daemon: DaemonUnderTest, state: RunState
    ) -> None:
        id = _held(world, daemon)
        world.provider.put(id, a_report(RunState.COMPLETE))
        world.clock.advance(A_WHILE)
        daemon.refresh()
        world.set_state("run-1", state)

        daemon.submit()
        world.clock.advance(A_WHILE)
        daemon.refresh()

        assert world.run().state is RunState.COMPLETE
        assert world.provider.started == ["wes-run-1"]

    def test_a_cancelling_run_that_its_provider_forgot_is_cancelled(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        id = _held(world, daemon)
        world.provider.forget(id)
        world.set_state("run-1", RunState.CANCELING)
        for _ in range(100):
            world.clock.advance(timedelta(minutes=1))
            daemon.refresh()

        assert world.run().state is RunState.CANCELED

    def test_a_row_that_the_service_deleted_is_let_go(
        self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
    ) -> None:
        id = _held(world, daemon)
        world.store.tables.runs.clear()
        world.provider.put(id, a_report(RunState.COMPLETE))
        world.clock.advance(A_WHILE)

        with caplog.at_level(logging.WARNING):
            daemon.refresh()

        assert world.store.tables.polls == {}
        [vanished] = [message for message in caplog.messages if message.startswith("run.row_vanished")]
        assert "reports complete" in vanished
        assert "the row of the run was deleted" in world.store.timeline(RunId("run-1"))[-1].why

    def test_a_cancelling_run_stays_so_until_it_ends(self, world: World, daemon: DaemonUnderTest) -> None:
        id = _held(world, daemon)
        world.set_state("run-1", RunState.CANCELING)
        world.provider.put(id, a_report(RunState.RUNNING))
        world.clock.advance(A_WHILE)

        daemon.refresh()

        assert world.run().state is RunState.CANCELING


def test_runs_left_by_another_daemon_are_followed(world: World, daemon: DaemonUnderTest) -> None:
    id = _held(world, daemon)
    other = World(provider=world.provider)
    other.queue(
        a_run("run-9", RunState.RUNNING, tags={"provider_type": "sevenbridges", "provider_id": id}),
        a_run("run-8", RunState.RUNNING),
    )
    world.provider.put(id, a_report(RunState.COMPLETE))
    successor = other.daemon()

    successor.submit()
    successor.refresh()

    assert other.run("run-9").state is RunState.COMPLETE
    assert other.run("run-8").state is RunState.RUNNING
    assert world.provider.started == ["wes-run-1"]


class _Forgetful(MemoryProvider):
    """The provider of the world, which does not know its runs at some of the looks."""

    def __init__(self, inner: MemoryProvider, *, absent_at: set[int]) -> None:
        super().__init__()
        self._inner = inner
        self._absent_at = absent_at
        self._looks = 0
        self.failing: Exception | None = None
        self.asked: list[ProviderRunId] = []

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        if self.failing:
            raise self.failing
        self.asked.extend(ids)
        absent = self._looks in self._absent_at
        self._looks += 1
        return {} if absent else self._inner.statuses(ids)


class _Explaining(_Forgetful):
    """A provider that knows no run any more, and says why."""

    def __init__(self, inner: MemoryProvider) -> None:
        super().__init__(inner, absent_at=set(range(1_000)))

    @property
    def limits(self) -> ProviderLimits:
        return replace(super().limits, why_unknown="records are deleted; search for log {id}")


def _held(world: World, daemon: DaemonUnderTest) -> ProviderRunId:
    world.queue(a_run())
    daemon.submit()
    return world.provider.id_of(a_run().idempotency_key)


def _record(world: World, run_id: str = "run-1") -> RunRecord:
    return world.queries.get(RunId(run_id))
