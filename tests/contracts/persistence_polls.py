"""When an accepted run is asked for, by whom, and what may be written of the answer."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.contracts.persistence_harness import (
    HOUR,
    ME,
    MINUTE,
    SECOND,
    PersistenceHarness,
    Race,
    an_entry,
)
from wes_daemon.application.ports.errors import ClaimLost, RunNotFound
from wes_daemon.application.ports.persistence import DuePoll, PollSchedule, SubmissionState
from wes_daemon.domain.runs import ProviderType, RunId
from wes_daemon.domain.states import RunState

Result = Callable[[PollSchedule, DuePoll], None]

FENCED: dict[str, Result] = {
    "moved": lambda polls, poll: polls.moved(poll, RunState.RUNNING, "Running", again_after=MINUTE),
    "details_failed": lambda polls, poll: polls.details_failed(poll, RunState.COMPLETE, again_after=MINUTE),
    "finished": lambda polls, poll: polls.finished(poll),
}
QUIET: dict[str, Result] = {
    "checked": lambda polls, poll: polls.checked([poll], again_after=HOUR),
    "put_off": lambda polls, poll: polls.put_off([poll], wait=HOUR),
    "missing": lambda polls, poll: polls.missing(poll, again_after=HOUR),
}
RESULTS = FENCED | QUIET


def record(store: PersistenceHarness, result: str, poll: DuePoll) -> None:
    """Write one result in a unit of work of its own."""
    with store.units() as unit:
        RESULTS[result](unit.polls, poll)
        unit.commit()


def names(polls: object) -> list[str]:
    """Which runs these are."""
    return [poll.run_id for poll in polls]  # type: ignore[attr-defined]


class PollRules:
    """`PollSchedule` but for the cancellations."""

    def test_runs_are_taken_longest_due_first_and_no_more_than_the_limit(self, store: PersistenceHarness) -> None:
        store.accepted("run-c", "run-a", "run-b")

        assert names(store.due(limit=2)) == ["run-c", "run-a"]
        assert names(store.due(limit=2)) == ["run-b"]

    def test_a_taken_run_is_kept_from_others_as_long_as_it_is_held(self, store: PersistenceHarness) -> None:
        first = store.polled("run-1")

        assert store.due() == []
        store.let_pass(2 * MINUTE)
        [second] = store.due()
        assert second.seq > first.seq

    def test_what_was_taken_a_moment_ago_can_be_passed_over(self, store: PersistenceHarness) -> None:
        poll = store.polled("run-1")
        with store.units() as unit:
            unit.polls.put_off([poll], wait=0 * SECOND)
            unit.commit()

        with store.units() as unit:
            due = unit.polls.take_due(limit=1, ahead=HOUR, hold=MINUTE, untouched_for=MINUTE, excluding=())

        assert due == []
        store.let_pass(2 * MINUTE)
        assert [again.run_id for again in store.due()] == ["run-1"]

    def test_what_is_due_soon_can_be_taken_along(self, store: PersistenceHarness) -> None:
        poll = store.polled("run-1")
        with store.units() as unit:
            unit.polls.checked([poll], again_after=MINUTE)
            unit.commit()

        assert store.due(ahead=30 * SECOND) == []
        assert names(store.due(ahead=90 * SECOND)) == ["run-1"]

    def test_runs_at_an_excluded_provider_are_passed_over(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", provider=ProviderType.SEVENBRIDGES)
        store.accepted("run-2")

        with store.units() as unit:
            due = unit.polls.take_due(
                limit=1, ahead=0 * SECOND, hold=MINUTE, untouched_for=0 * SECOND, excluding=[ProviderType.SEVENBRIDGES]
            )

        assert names(due) == ["run-2"]

    @pytest.mark.parametrize("result", QUIET)
    def test_a_run_is_due_again_in_its_time(self, store: PersistenceHarness, result: str) -> None:
        record(store, result, store.polled("run-1"))

        store.let_pass(HOUR - MINUTE)
        assert store.due() == []
        store.let_pass(MINUTE + SECOND)
        assert names(store.due()) == ["run-1"]

    @pytest.mark.parametrize("result", QUIET)
    def test_a_late_answer_leaves_alone_what_was_taken_by_another(self, store: PersistenceHarness, result: str) -> None:
        late = store.polled("run-1")
        store.let_pass(2 * MINUTE)
        store.due()

        record(store, result, late)

        store.let_pass(2 * MINUTE)
        assert names(store.due()) == ["run-1"]

    @pytest.mark.parametrize("result", FENCED)
    def test_a_late_answer_is_refused_where_another_has_taken_the_run(
        self, store: PersistenceHarness, result: str
    ) -> None:
        late = store.polled("run-1")
        store.let_pass(2 * MINUTE)
        [current] = store.due()

        with pytest.raises(ClaimLost):
            record(store, result, late)

        record(store, result, current)

    def test_many_are_rescheduled_at_once_and_only_those(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", "run-2", "run-3")
        polls = store.due(hold=SECOND)

        with store.units() as unit:
            unit.polls.checked(polls[:1], again_after=HOUR)
            unit.polls.put_off(polls[1:2], wait=HOUR)
            unit.polls.checked([], again_after=HOUR)
            unit.commit()

        store.let_pass(MINUTE)
        assert names(store.due()) == ["run-3"]

    def test_what_was_stored_is_remembered(self, store: PersistenceHarness) -> None:
        record(store, "moved", store.polled("run-1"))

        store.let_pass(MINUTE + SECOND)
        [again] = store.due()
        assert (again.known_state, again.known_status) == (RunState.RUNNING, "Running")

    def test_it_is_counted_how_long_a_provider_has_not_known_a_run(self, store: PersistenceHarness) -> None:
        first = store.polled("run-1")
        record(store, "missing", first)
        store.let_pass(HOUR + SECOND)
        [second] = store.due()
        record(store, "missing", second)
        store.let_pass(HOUR + SECOND)

        [third] = store.due()

        assert first.missing_for is None
        assert second.missing_for is not None
        assert third.missing_for is not None
        assert HOUR <= second.missing_for < 2 * HOUR <= third.missing_for

    @pytest.mark.parametrize("result", ["checked", "moved"])
    def test_a_run_that_turns_up_again_is_missing_no_longer(self, store: PersistenceHarness, result: str) -> None:
        record(store, "missing", store.polled("run-1"))
        store.let_pass(HOUR + SECOND)
        [again] = store.due()

        record(store, result, again)

        store.let_pass(HOUR + SECOND)
        assert store.due()[0].missing_for is None

    def test_a_run_that_could_not_be_asked_for_is_still_missing(self, store: PersistenceHarness) -> None:
        record(store, "missing", store.polled("run-1"))
        store.let_pass(HOUR + SECOND)
        [again] = store.due()

        record(store, "put_off", again)

        store.let_pass(HOUR + SECOND)
        assert store.due()[0].missing_for is not None

    def test_failures_to_get_details_are_counted(self, store: PersistenceHarness) -> None:
        record(store, "details_failed", store.polled("run-1"))
        store.let_pass(2 * MINUTE)
        [again] = store.due()

        assert (again.details_failures, again.known_state) == (1, RunState.COMPLETE)

    def test_an_ended_run_whose_details_are_still_wanted_makes_room_under_the_cap(
        self, store: PersistenceHarness
    ) -> None:
        record(store, "details_failed", store.polled("run-1"))
        store.queue("run-2")
        store.enrol()

        assert [claimed.run.id for claimed in store.claim(cap=1)] == ["run-2"]

    def test_a_finished_run_is_off_the_schedule_and_its_submission_closed(self, store: PersistenceHarness) -> None:
        record(store, "finished", store.polled("run-1"))

        store.let_pass(HOUR)
        assert store.due() == []
        found = store.queries.get(RunId("run-1"))
        assert (found.submission, found.run.provider_run_id) == (SubmissionState.CLOSED, "at-run-1")

    def test_a_run_whose_row_was_deleted_is_due_all_the_same_and_can_be_finished(
        self, store: PersistenceHarness
    ) -> None:
        store.accepted("run-1")
        store.remove("run-1")

        [poll] = store.due()

        with store.units() as unit:
            with pytest.raises(RunNotFound):
                unit.runs.get(poll.run_id)
            unit.polls.finished(poll)
            unit.commit()
        store.let_pass(HOUR)
        assert store.due() == []

    def test_daemons_that_take_at_once_share_no_run(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", "run-2", "run-3", "run-4")
        race, taken = Race(4, store.moment), list[str]()

        def take(_: int) -> None:
            with store.units() as unit:
                due = unit.polls.take_due(
                    limit=2, ahead=0 * SECOND, hold=MINUTE, untouched_for=0 * SECOND, excluding=()
                )
                race.together()
                unit.commit()
            taken.extend(names(due))

        race.run(take)

        assert sorted(taken) == ["run-1", "run-2", "run-3", "run-4"]


class CancellationRules:
    """`PollSchedule.to_cancel`."""

    def to_cancel(self, store: PersistenceHarness, *, limit: int = 100) -> list[str]:
        with store.units() as unit:
            held = unit.polls.to_cancel(limit=limit, hold=MINUTE, excluding=())
            unit.commit()
        return sorted(f"{run.run_id} {run.provider} {run.provider_run_id}" for run in held)

    @pytest.mark.parametrize("state", [RunState.CANCELING, RunState.CANCELED])
    def test_a_run_that_somebody_wants_cancelled_is_given_once_in_a_while(
        self, store: PersistenceHarness, state: RunState
    ) -> None:
        store.accepted("run-1", "run-2")
        store.move("run-1", state)

        assert self.to_cancel(store) == ["run-1 local at-run-1"]
        assert self.to_cancel(store) == []
        store.let_pass(MINUTE + SECOND)
        assert self.to_cancel(store) == ["run-1 local at-run-1"]

    def test_a_run_to_cancel_is_due_to_be_asked_for(self, store: PersistenceHarness) -> None:
        record(store, "checked", store.polled("run-1"))
        store.move("run-1", RunState.CANCELING)

        self.to_cancel(store)

        assert names(store.due()) == ["run-1"]

    def test_a_run_that_has_ended_at_its_provider_is_not_cancelled(self, store: PersistenceHarness) -> None:
        poll = store.polled("run-1")
        with store.units() as unit:
            unit.polls.details_failed(poll, RunState.CANCELED, again_after=MINUTE)
            before = unit.runs.get(poll.run_id)
            unit.runs.save(before, replace(before, state=RunState.CANCELED), an_entry(before))
            unit.commit()

        assert self.to_cancel(store) == []

    @pytest.mark.parametrize("state", [RunState.SYSTEM_ERROR, RunState.COMPLETE])
    def test_a_run_that_others_ended_is_given_as_well(self, store: PersistenceHarness, state: RunState) -> None:
        store.accepted("run-1")
        store.move("run-1", state)

        assert self.to_cancel(store) == ["run-1 local at-run-1"]

    def test_a_run_whose_provider_could_not_be_told_is_given_sooner(self, store: PersistenceHarness) -> None:
        store.accepted("run-1")
        store.move("run-1", RunState.CANCELING)
        with store.units() as unit:
            [held] = unit.polls.to_cancel(limit=1, hold=HOUR, excluding=())
            unit.polls.cancel_again(held, wait=MINUTE)
            unit.commit()

        assert self.to_cancel(store) == []
        store.let_pass(MINUTE + SECOND)
        assert self.to_cancel(store) == ["run-1 local at-run-1"]

    def test_runs_at_an_excluded_provider_are_not_given(self, store: PersistenceHarness) -> None:
        store.accepted("run-1")
        store.move("run-1", RunState.CANCELING)

        with store.units() as unit:
            assert unit.polls.to_cancel(limit=10, hold=MINUTE, excluding=[ProviderType.LOCAL]) == []

    def test_a_run_that_no_provider_holds_is_not_given(self, store: PersistenceHarness) -> None:
        store.claimed("run-1", ME)
        store.move("run-1", RunState.CANCELING)

        assert self.to_cancel(store) == []

    def test_no_more_than_the_limit_is_given_and_the_others_come_next(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", "run-2")
        store.move("run-1", RunState.CANCELING)
        store.move("run-2", RunState.CANCELING)

        given = [*self.to_cancel(store, limit=1), *self.to_cancel(store, limit=1)]

        assert sorted(given) == ["run-1 local at-run-1", "run-2 local at-run-2"]
