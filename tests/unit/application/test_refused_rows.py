"""A row that the database refuses, or that another session keeps locked, harms no run but its own."""

import logging
from collections.abc import Sequence
from datetime import timedelta

import pytest

from tests.builders import a_report, a_run, some_details
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.application.ports.errors import NotNow, Rejected, StorageRefused
from wes_daemon.application.ports.providers import ProviderTask, RunDetails
from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.runtime.isolation import by_halves
from wes_daemon.application.submitting.outcomes import Outcome
from wes_daemon.domain.runs import IdempotencyKey, RunId
from wes_daemon.domain.states import RunState

ODD = RunId("odd")
GOOD = tuple(RunId(f"good-{number}") for number in range(1, 5))
A_WHILE = timedelta(minutes=6)
AN_HOUR = timedelta(hours=1)
TASKS = (ProviderTask(id="1", name="step one"), ProviderTask(id="2", name="step two"))


@pytest.fixture
def daemon(world: World, caplog: pytest.LogCaptureFixture) -> DaemonUnderTest:
    """A daemon, with one odd run between good ones; what it says must never be a bug or an outage."""
    caplog.set_level(logging.INFO)
    world.queue(*(a_run(id) for id in (*GOOD[:2], ODD, *GOOD[2:])))
    return world.daemon()


@pytest.fixture(autouse=True)
def _is_neither_a_bug_nor_an_outage(caplog: pytest.LogCaptureFixture) -> object:
    yield
    assert not [record for record in caplog.records if record.exc_info]
    assert not [message for message in caplog.messages if message.startswith(("bug", "database."))]


def record(world: World, run_id: RunId = ODD) -> RunRecord:
    """All that `show` prints."""
    return world.queries.get(run_id)


def states(world: World, *run_ids: RunId) -> set[RunState]:
    """The states in which readers of the rows see these runs."""
    return {world.store.runs[id].state for id in run_ids or GOOD}


def complete(world: World, details: RunDetails | None = None) -> None:
    """Every started run ends well at the provider."""
    for key in world.provider.started:
        world.provider.put(world.provider.id_of(key), a_report(RunState.COMPLETE, "COMPLETED"), details)


def write_late_updates(world: World, daemon: DaemonUnderTest, after: timedelta = A_WHILE) -> None:
    """A pass of the loop that writes late updates."""
    world.clock.advance(after)
    daemon.recorder.write_late_updates()


def said(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    """The lines of one event."""
    return [message for message in caplog.messages if message.startswith(f"{event} ")]


class TestRowThatRefusesAState:
    """A trigger or a constraint of the service refuses every change of the row."""

    def test_an_acceptance_is_recorded_though_the_row_refuses_it_and_others_are_not_affected(
        self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.store.faults.rows.add(ODD)

        report = daemon.submit()

        assert report.outcomes == {Outcome.ACCEPTED: 5}
        assert states(world) == {RunState.INITIALIZING}
        assert record(world).run.state is RunState.QUEUED
        assert record(world).submission is SubmissionState.ACCEPTED
        assert record(world).run.provider_run_id == world.provider.id_of(IdempotencyKey("wes-odd"))
        assert "workflow_runs" in (record(world).last_reason or "")
        assert "workflow_runs" in record(world).timeline[-1].why
        [refused] = said(caplog, "run.refused")
        assert "run_id=odd during=row" in refused

    def test_the_row_is_written_as_soon_as_it_permits_it(self, world: World, daemon: DaemonUnderTest) -> None:
        world.store.faults.rows.add(ODD)
        daemon.submit()
        world.store.faults.rows.clear()

        write_late_updates(world, daemon)

        run = record(world).run
        assert run.state is RunState.INITIALIZING
        assert run.tag_values == {"provider_type": "sevenbridges", "provider_id": run.provider_run_id}
        assert (record(world).last_reason or "").startswith("accepted by sevenbridges")
        assert [entry.after for entry in record(world).timeline] == [RunState.QUEUED, RunState.INITIALIZING]
        assert world.store.tables.late_updates == {}

    def test_an_end_is_recorded_and_the_run_is_not_asked_for_again(self, world: World, daemon: DaemonUnderTest) -> None:
        daemon.submit()
        world.store.faults.rows.add(ODD)
        complete(world, some_details({"out": 1}))
        world.clock.advance(A_WHILE)
        daemon.refresh()
        world.provider.calls.clear()

        for _ in range(5):
            world.clock.advance(AN_HOUR)
            daemon.submit()
            daemon.cancel()
            daemon.refresh()
            daemon.recorder.write_late_updates()

        assert states(world) == {RunState.COMPLETE}
        assert record(world).run.state is RunState.INITIALIZING
        assert record(world).submission is SubmissionState.CLOSED
        assert record(world).details.outputs == {"out": 1}
        assert world.provider.calls == []
        assert len(world.provider.started) == 5

    def test_the_end_is_written_after_a_restart(self, world: World, daemon: DaemonUnderTest) -> None:
        daemon.submit()
        world.store.faults.rows.add(ODD)
        complete(world)
        world.clock.advance(A_WHILE)
        daemon.refresh()
        world.store.faults.rows.clear()

        write_late_updates(world, world.daemon())

        assert record(world).run.state is RunState.COMPLETE
        assert record(world).run.end_time is not None

    def test_the_wait_grows_and_the_refusal_is_logged_once_an_hour(
        self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.store.faults.rows.add(ODD)
        daemon.submit()

        for _ in range(59 * 60):
            write_late_updates(world, daemon, after=timedelta(seconds=1))

        [late] = world.store.tables.late_updates.values()
        assert 7 <= late.update.attempts <= 14
        assert len(said(caplog, "run.refused")) == 1
        assert len(record(world).timeline) == 1

    def test_states_that_the_row_accepts_are_written_although_it_refused_an_earlier_one(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.store.faults.rows.add(ODD)
        daemon.submit()
        world.store.faults.rows.clear()
        complete(world)
        world.clock.advance(A_WHILE)
        daemon.refresh()

        write_late_updates(world, daemon, after=AN_HOUR)

        run = record(world).run
        assert run.state is RunState.COMPLETE
        assert run.tag_values["provider_id"] == run.provider_run_id

    def test_a_rejected_run_is_not_submitted_again_though_its_row_stays_queued(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.store.tables.runs.clear()
        world.queue(a_run(ODD))
        world.store.faults.rows.add(ODD)
        world.provider.fail_next(Rejected("no such app"))
        daemon.submit()

        for _ in range(5):
            world.clock.advance(AN_HOUR)
            daemon.submit()

        assert world.provider.calls.count("submit") == 1
        assert record(world).submission is SubmissionState.CLOSED
        world.store.faults.rows.clear()
        write_late_updates(world, daemon)
        assert (record(world).run.state, record(world).run.error) == (RunState.SYSTEM_ERROR, "no such app")

    def test_a_run_that_cannot_be_shown_as_cancelled_keeps_no_other_from_it(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        for id in (*GOOD, ODD):
            world.set_state(id, RunState.CANCELING)
        world.store.faults.rows.add(ODD)

        daemon.cancel()
        again = daemon.cancel()

        assert states(world) == {RunState.CANCELED}
        assert again.ended == 0
        assert record(world).run.state is RunState.CANCELING
        world.store.faults.rows.clear()
        write_late_updates(world, daemon)
        assert record(world).run.state is RunState.CANCELED

    def test_a_cancellation_meanwhile_is_passed_on_and_kept(self, world: World, daemon: DaemonUnderTest) -> None:
        world.store.faults.rows.add(ODD)
        daemon.submit()
        world.store.faults.rows.clear()
        world.set_state(ODD, RunState.CANCELING)

        daemon.cancel()
        write_late_updates(world, daemon)

        assert world.provider.cancelled == [world.provider.id_of(IdempotencyKey("wes-odd"))]
        assert record(world).run.state is RunState.CANCELING
        assert record(world).run.tag_values["provider_id"] == record(world).run.provider_run_id

    def test_a_row_that_was_deleted_meanwhile_is_let_go(self, world: World, daemon: DaemonUnderTest) -> None:
        world.store.faults.rows.add(ODD)
        daemon.submit()
        del world.store.tables.runs[ODD]

        write_late_updates(world, daemon)

        assert world.store.tables.late_updates == {}

    def test_a_lost_run_ends_although_its_row_refuses_it(self, world: World, daemon: DaemonUnderTest) -> None:
        daemon.submit()
        world.store.faults.rows.add(ODD)
        world.provider.forget(world.provider.id_of(IdempotencyKey("wes-odd")))
        for _ in range(100):
            world.clock.advance(timedelta(minutes=1))
            daemon.refresh()
        world.store.faults.rows.clear()

        write_late_updates(world, daemon, after=AN_HOUR)

        assert record(world).run.state is RunState.SYSTEM_ERROR
        assert "no longer knows" in (record(world).run.error or "")


class TestLockedRow:
    """Another session keeps the row locked, such as an open transaction in psql."""

    def test_others_go_on_and_the_locked_row_is_written_once_it_is_free(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.store.faults.locked.add(ODD)

        report = daemon.submit()

        assert report.outcomes == {Outcome.ACCEPTED: 5}
        assert states(world) == {RunState.INITIALIZING}
        assert record(world).submission is SubmissionState.ACCEPTED
        assert record(world).run.state is RunState.QUEUED
        world.store.faults.locked.clear()
        write_late_updates(world, daemon, after=timedelta(seconds=1))
        assert record(world).run.state is RunState.INITIALIZING

    def test_it_is_named_once(self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture) -> None:
        world.store.faults.locked.add(ODD)
        daemon.submit()

        for _ in range(50 * 60):
            write_late_updates(world, daemon, after=timedelta(seconds=1))

        [locked] = said(caplog, "run.locked")
        assert "run_id=odd" in locked

    def test_a_lock_of_a_moment_is_not_worth_a_word(
        self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.store.faults.locked.add(ODD)
        daemon.submit()
        world.store.faults.locked.clear()
        write_late_updates(world, daemon)

        assert said(caplog, "run.locked") == []

    def test_the_end_of_a_run_whose_row_is_locked_waits_with_its_task_logs(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        daemon.submit()
        world.store.faults.locked.add(ODD)
        complete(world, RunDetails(outputs={"out": 1}, tasks=TASKS))
        world.clock.advance(A_WHILE)
        daemon.refresh()
        while_locked = record(world)
        world.store.faults.locked.clear()

        write_late_updates(world, daemon)

        assert states(world) == {RunState.COMPLETE}
        assert (while_locked.run.state, while_locked.submission) == (RunState.INITIALIZING, SubmissionState.CLOSED)
        assert record(world).run.state is RunState.COMPLETE
        assert record(world).details.outputs == {"out": 1}
        assert [task.name for task in record(world).tasks] == ["step one", "step two"]


class TestRefusedTaskLogs:
    """The table of the task logs has a rule that the daemon's rows break."""

    def test_the_run_ends_and_the_reason_stands_in_its_timeline(
        self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
    ) -> None:
        daemon.submit()
        world.store.faults.tasks.add(ODD)
        complete(world, RunDetails(outputs={"out": 1}, tasks=TASKS))
        world.clock.advance(A_WHILE)

        daemon.refresh()

        assert states(world, ODD, *GOOD) == {RunState.COMPLETE}
        assert record(world).details.outputs == {"out": 1}
        assert record(world).tasks == ()
        assert all(len(record(world, id).tasks) == 2 for id in GOOD)
        assert "task logs were not stored" in record(world).timeline[-1].why
        assert "task_logs" in (record(world).last_reason or "")
        [refused] = said(caplog, "run.refused")
        assert "run_id=odd during=task_logs" in refused
        assert world.store.tables.late_updates == {}

    def test_details_that_are_refused_keep_the_run_from_nothing(self, world: World, daemon: DaemonUnderTest) -> None:
        daemon.submit()
        world.store.faults.details.add(ODD)
        complete(world, RunDetails(outputs={"out": 1}, tasks=TASKS))
        world.clock.advance(A_WHILE)

        daemon.refresh()

        assert states(world, ODD, *GOOD) == {RunState.COMPLETE}
        assert len(record(world).tasks) == 2
        assert "outputs and log addresses were not stored" in record(world).timeline[-1].why


class TestRefusedSubmission:
    """The daemon's own tables refuse the run."""

    def test_a_run_that_cannot_be_enrolled_keeps_no_other_from_it(
        self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.store.faults.submissions.add(ODD)

        report = daemon.submit()

        assert (report.enrolled, report.accepted) == (4, 4)
        assert "refused by the database during enrol" in record(world).timeline[-1].why
        [refused] = said(caplog, "run.refused")
        assert "run_id=odd during=enrol" in refused

    def test_it_is_left_out_for_a_while_and_then_tried_again(
        self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.store.faults.submissions.add(ODD)
        for _ in range(50 * 60):
            daemon.submit()
            world.clock.advance(timedelta(seconds=1))
        logged = len(said(caplog, "run.refused"))
        world.store.faults.submissions.clear()
        world.clock.advance(A_WHILE * 2)

        report = daemon.submit()

        assert (report.enrolled, report.accepted) == (1, 1)
        assert logged == 1
        assert len(record(world).timeline) == 2

    def test_a_run_whose_intent_is_refused_is_not_sent(self, world: World, daemon: DaemonUnderTest) -> None:
        daemon.submit.submit_announced()
        world.queue(a_run("next"), a_run("fine"))
        with world.units() as unit:
            unit.submissions.enrol_queued(
                lambda run: run.destination(world.submission_policy.default_provider), limit=9
            )
            unit.commit()
        world.store.faults.submissions.add(RunId("next"))

        report = daemon.submit()

        assert report.accepted == 1
        assert "wes-next" not in world.provider.started
        refused = record(world, RunId("next"))
        assert refused.submission is SubmissionState.READY
        assert "its claim was refused" in (refused.last_reason or "")
        world.store.faults.submissions.clear()
        world.clock.advance(A_WHILE)
        assert daemon.submit().accepted == 1

    def test_an_acceptance_that_is_refused_leaves_the_run_in_doubt_and_names_the_provider_run(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.store.faults.acceptances.add(ODD)

        report = daemon.submit()

        assert report.outcomes == {Outcome.ACCEPTED: 4, Outcome.IN_DOUBT: 1}
        assert record(world).submission is SubmissionState.INTENT
        assert str(world.provider.id_of(IdempotencyKey("wes-odd"))) in (record(world).last_reason or "")
        world.store.faults.acceptances.clear()
        world.clock.advance(A_WHILE)
        daemon.submit()
        assert record(world).submission is SubmissionState.ACCEPTED
        assert len(world.provider.started) == 5

    def test_a_refusal_of_a_moment_is_forgotten(self, world: World, daemon: DaemonUnderTest) -> None:
        world.provider.fail_next(NotNow("busy"))

        daemon.submit()

        assert daemon.recorder.refusals.waiting() == []


@pytest.mark.parametrize("refused", [set(), {0}, {6}, {2, 3}, set(range(7))])
def test_by_halves_everything_is_written_but_what_is_refused(refused: set[int]) -> None:
    written: list[int] = []
    found: list[int] = []

    def write(some: Sequence[int]) -> int:
        if refused & set(some):
            raise StorageRefused("no")
        written.extend(some)
        return len(some)

    results = by_halves(list(range(7)), write, refused=lambda item, _: found.append(item))

    assert sorted(written) == sorted(set(range(7)) - refused)
    assert sum(results) == len(written)
    assert set(found) == refused


def test_one_in_a_thousand_is_found_with_few_writes() -> None:
    writes: list[int] = []

    def write(some: Sequence[int]) -> None:
        writes.append(len(some))
        if 613 in some:
            raise StorageRefused("no")

    by_halves(list(range(1_000)), write, refused=lambda *_: None)

    assert len(writes) <= 21
