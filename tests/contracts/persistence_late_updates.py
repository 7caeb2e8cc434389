"""Changes that are written into the rows of their runs later, and what is left out until then."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.builders import some_details
from tests.contracts.persistence_harness import (
    MINUTE,
    SECOND,
    PersistenceHarness,
    ServiceRow,
    destination,
    share,
)
from wes_daemon.application.ports.late_updates import LateUpdate
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.changes import RunChange
from wes_daemon.domain.runs import RunId, TaskLog, task_id
from wes_daemon.domain.states import RunState

RUN_1 = RunId("run-1")
RUN_2 = RunId("run-2")
NOON = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


def add(store: PersistenceHarness, *updates: LateUpdate, wait: timedelta = timedelta(0)) -> None:
    """Store late updates."""
    with store.units() as unit:
        unit.late_updates.add(updates, wait=wait)
        unit.commit()


def due(store: PersistenceHarness, limit: int = 100) -> Sequence[RunId]:
    """The runs whose late updates are due."""
    with store.units() as unit:
        return unit.late_updates.due(limit=limit)


def stored(store: PersistenceHarness, run_id: RunId = RUN_1) -> LateUpdate | None:
    """What is to be written about the run."""
    with store.units() as unit:
        return unit.late_updates.get([run_id]).get(run_id)


def an_end(run_id: RunId = RUN_1) -> LateUpdate:
    """A late update with everything that one may hold."""
    task = TaskLog(
        id=task_id(run_id, "1"),
        name="align 🧬",
        cmd=("bwa", "mem"),
        start_time=NOON,
        end_time=NOON + MINUTE,
        stdout="s3://out",
        exit_code=0,
        system_logs=("fine",),
    )
    return LateUpdate(
        run_id=run_id,
        change=RunChange(state=RunState.COMPLETE, start_time=NOON, end_time=NOON + MINUTE, tags={"ä": [1, None]}),
        why="the provider says “COMPLETED”",
        provider_status="COMPLETED",
        provider_message="well done\n",
        details=some_details({"out": {"class": "File"}}),
        tasks=[task],
    )


class LateUpdateRules:
    """How late updates are stored and found."""

    def test_a_run_says_why_its_row_is_behind(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2")
        add(store, an_end())

        locked = store.queries.get(RUN_1).row_behind
        late = stored(store)
        assert late is not None
        with store.units() as unit:
            unit.late_updates.postpone(late, wait=MINUTE, reason="a trigger refuses it")
            unit.commit()

        assert locked == "another session keeps the row locked"
        assert store.queries.get(RUN_1).row_behind == "a trigger refuses it"
        assert store.queries.get(RUN_2).row_behind is None

    def test_a_late_update_comes_back_as_it_was_stored(self, store: PersistenceHarness) -> None:
        add(store, an_end())

        found = stored(store)

        assert found is not None
        assert found.details is not None
        assert found.details.outputs == {"out": {"class": "File"}}
        assert (found.change, found.why) == (an_end().change, an_end().why)
        assert (found.provider_status, found.provider_message) == ("COMPLETED", "well done\n")
        assert list(found.tasks) == list(an_end().tasks)
        assert (found.attempts, found.reason) == (0, "")

    def test_several_of_one_run_are_one_in_the_order_in_which_they_came(self, store: PersistenceHarness) -> None:
        add(store, LateUpdate(run_id=RUN_1, change=RunChange(state=RunState.INITIALIZING, tags={"a": 1, "b": 1})))
        add(store, LateUpdate(run_id=RUN_1, change=RunChange(state=RunState.RUNNING, tags={"b": 2}), why="second"))

        found = stored(store)

        assert found is not None
        assert (found.change.state, found.change.tags) == (RunState.RUNNING, {"a": 1, "b": 2})
        assert found.why == "second"
        assert due(store) == [RUN_1]

    def test_each_is_due_after_its_wait_and_the_longest_due_comes_first(self, store: PersistenceHarness) -> None:
        add(store, an_end(RUN_1), wait=2 * MINUTE)
        add(store, an_end(RUN_2), wait=MINUTE)
        at_first = due(store)
        store.let_pass(MINUTE + SECOND)
        after_a_minute = due(store)
        store.let_pass(MINUTE + SECOND)

        assert (at_first, after_a_minute) == ([], [RUN_2])
        assert due(store) == [RUN_2, RUN_1]
        assert due(store, limit=1) == [RUN_2]

    def test_a_failed_attempt_is_counted_and_postpones_it(self, store: PersistenceHarness) -> None:
        add(store, an_end())
        found = stored(store)
        assert found is not None

        with store.units() as unit:
            unit.late_updates.postpone(found, wait=MINUTE, reason="locked")
            unit.commit()

        again = stored(store)
        assert again is not None
        assert (again.attempts, again.reason) == (1, "locked")
        assert again.change == an_end().change
        assert due(store) == []

    def test_what_needs_no_further_attempt_is_left_out_of_it(self, store: PersistenceHarness) -> None:
        add(store, an_end())
        add(store, LateUpdate(run_id=RUN_1, change=RunChange(tags={"later": 1}), why="later"))
        found = stored(store)
        assert found is not None

        with store.units() as unit:
            unit.late_updates.postpone(replace(found, details=None, tasks=()), wait=MINUTE, reason="refused")
            unit.commit()

        again = stored(store)
        assert again is not None
        assert (again.change, again.why) == (found.change, "later")
        assert (again.details, list(again.tasks)) == (None, [])
        assert (again.attempts, due(store)) == (1, [])

    def test_what_came_after_it_was_read_is_not_removed(self, store: PersistenceHarness) -> None:
        add(store, an_end())
        found = stored(store)
        assert found is not None
        add(store, LateUpdate(run_id=RUN_1, change=RunChange(tags={"later": 1})))

        with store.units() as unit:
            unit.late_updates.remove([found])
            unit.commit()

        left = stored(store)
        assert left is not None
        assert left.change == RunChange(tags={"later": 1})

    def test_a_run_whose_end_is_still_to_be_written_is_not_enrolled_again(self, store: PersistenceHarness) -> None:
        store.accepted("run-1")
        ended = store.due()
        with store.units() as unit:
            unit.polls.finish(ended)
            unit.late_updates.add([an_end()], wait=MINUTE)
            unit.commit()
        store.put(ServiceRow(run_id="run-2", state="RUNNING"))

        assert store.enrol() == 0
        assert store.due() == []

    def test_a_queued_run_that_was_given_up_is_not_enrolled_again(self, store: PersistenceHarness) -> None:
        claimed = store.claimed("run-1")
        with store.units() as unit:
            unit.submissions.close(claimed.claim, reason="no")
            unit.late_updates.add([an_end()], wait=MINUTE)
            unit.commit()

        assert store.enrol() == 0
        assert store.claim() == []

    def test_a_withdrawn_run_whose_end_is_still_to_be_written_is_not_ended_again(
        self, store: PersistenceHarness
    ) -> None:
        store.put(ServiceRow(run_id="run-1", state="CANCELING"))
        store.put(ServiceRow(run_id="run-2", state="CANCELING"))
        add(store, an_end(RUN_1), wait=MINUTE)

        with store.units() as unit:
            ended = unit.submissions.close_withdrawn(limit=10)

        assert list(ended) == [RUN_2]


class LeftOutRules:
    """How runs that were refused are left out and explained."""

    def test_runs_that_are_to_be_left_out_are_not_enrolled(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2", "run-3")
        store.put(ServiceRow(run_id="run-4", state="RUNNING", tags='{"provider_type": "local", "provider_id": "x"}'))

        with store.units() as unit:
            out = [RUN_2, RunId("run-4")]
            at_first = unit.submissions.enrol(destination, limit=10, share=share, leaving_out=out)
            announced = unit.submissions.enrol_queued(destination, limit=10, share=share, leaving_out=out)
            later = unit.submissions.enrol(destination, limit=10, share=share)
            unit.commit()

        assert (at_first, announced, later) == (2, 0, 2)

    def test_where_nothing_is_refused_isolation_changes_nothing(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2")

        with store.units() as unit:
            refused = unit.isolate_refusals()
            enrolled = unit.submissions.enrol(destination, limit=10, share=share)
            unit.commit()

        assert (enrolled, dict(refused)) == (2, {})
        assert len(store.claim()) == 2

    def test_a_ready_run_that_is_held_back_waits_with_its_reason(self, store: PersistenceHarness) -> None:
        store.queue("run-1")
        store.enrol()

        with store.units() as unit:
            unit.submissions.hold_back(RUN_1, wait=MINUTE, reason="refused")
            unit.commit()

        assert store.claim() == []
        assert store.queries.get(RUN_1).last_reason == "refused"
        store.let_pass(MINUTE + SECOND)
        assert [claimed.attempts for claimed in store.claim()] == [0]

    def test_a_claimed_run_is_not_held_back(self, store: PersistenceHarness) -> None:
        claimed = store.claimed("run-1")

        with store.units() as unit:
            unit.submissions.hold_back(RUN_1, wait=MINUTE, reason="refused")
            unit.submissions.close(claimed.claim, reason="ended")
            unit.commit()

        assert store.queries.get(RUN_1).last_reason == "ended"

    def test_a_reason_is_recorded_without_a_claim_and_changes_nothing_else(self, store: PersistenceHarness) -> None:
        store.accepted("run-1")

        with store.units() as unit:
            unit.submissions.explain(RUN_1, "its row is locked")
            unit.submissions.explain(RunId("unknown"), "nothing")
            unit.commit()

        record = store.queries.get(RUN_1)
        assert (record.submission, record.last_reason) == (SubmissionState.ACCEPTED, "its row is locked")
