"""When an accepted run is asked for, by whom, and what may be written of the answer."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.builders import ALL_PROVIDERS
from tests.contracts.persistence_harness import (
    HOUR,
    ME,
    MINUTE,
    SECOND,
    PersistenceHarness,
    Race,
)
from wes_daemon.application.ports.errors import ClaimLost, RunNotFound
from wes_daemon.application.ports.polls import DuePoll, PollResult, PollSchedule
from wes_daemon.application.ports.runs import RunUpdate
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId, StatusReport
from wes_daemon.domain.states import RunState

Result = Callable[[PollSchedule, DuePoll], object]


def running(poll: DuePoll, state: RunState = RunState.RUNNING, status: str = "Running") -> PollResult:
    """The provider reports that the run is running."""
    return PollResult(poll, StatusReport(state=state, provider_status=status))


FENCED: dict[str, Result] = {
    "details_failed": lambda polls, poll: polls.record_missing_details(poll, RunState.COMPLETE, delay=MINUTE),
}
QUIET: dict[str, Result] = {
    "checked": lambda polls, poll: polls.record_unchanged([poll], next_poll=lambda _: HOUR),
    "put_off": lambda polls, poll: polls.defer([poll], delay=HOUR),
    "missing": lambda polls, poll: polls.record_missing(poll, delay=HOUR),
}
ALL_AT_ONCE: dict[str, Result] = {
    "moved": lambda polls, poll: polls.record_changed([running(poll)], delay=lambda _: MINUTE),
    "finished": lambda polls, poll: polls.finish([poll]),
}
RESULTS = FENCED | QUIET | ALL_AT_ONCE


def record(store: PersistenceHarness, result: str, poll: DuePoll) -> None:
    """Write one result in a unit of work of its own."""
    with store.units() as unit:
        RESULTS[result](unit.polls, poll)
        unit.commit()


def recorded_all(store: PersistenceHarness, result: str, due: Sequence[DuePoll]) -> set[str]:
    """Write one result of many in a unit of work of its own; those that were written."""
    with store.units() as unit:
        moved = [running(poll) for poll in due]
        recorded = (
            unit.polls.record_changed(moved, delay=lambda _: MINUTE) if result == "moved" else unit.polls.finish(due)
        )
        unit.commit()
    return set(recorded)


def store_due(polls: PollSchedule, *, limit: int) -> Sequence[DuePoll]:
    """Take what is due within a unit of work."""
    return polls.lease_due(
        limit=limit, ahead=0 * SECOND, lease=MINUTE, not_leased_for=0 * SECOND, serving=ALL_PROVIDERS
    )


def make_due(store: PersistenceHarness, *ids: str) -> set[str]:
    """Say that the local provider may have news of these; those that are followed."""
    with store.units() as unit:
        told = unit.polls.make_due(ProviderType.LOCAL, [ProviderRunId(id) for id in ids])
        unit.commit()
    return set(told)


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
        assert second.fencing_token > first.fencing_token

    def test_what_was_taken_a_moment_ago_can_be_passed_over(self, store: PersistenceHarness) -> None:
        poll = store.polled("run-1")
        with store.units() as unit:
            unit.polls.defer([poll], delay=0 * SECOND)
            unit.commit()

        with store.units() as unit:
            due = unit.polls.lease_due(limit=1, ahead=HOUR, lease=MINUTE, not_leased_for=MINUTE, serving=ALL_PROVIDERS)

        assert due == []
        store.let_pass(2 * MINUTE)
        assert [again.run_id for again in store.due()] == ["run-1"]

    def test_what_is_due_soon_can_be_taken_along(self, store: PersistenceHarness) -> None:
        poll = store.polled("run-1")
        with store.units() as unit:
            unit.polls.record_unchanged([poll], next_poll=lambda _: MINUTE)
            unit.commit()

        assert store.due(ahead=30 * SECOND) == []
        assert names(store.due(ahead=90 * SECOND)) == ["run-1"]

    def test_runs_at_a_provider_that_is_not_served_are_passed_over(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", provider=ProviderType.SEVENBRIDGES)
        store.accepted("run-2")

        with store.units() as unit:
            due = unit.polls.lease_due(
                limit=1, ahead=0 * SECOND, lease=MINUTE, not_leased_for=0 * SECOND, serving=[ProviderType.LOCAL]
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

    @pytest.mark.parametrize("result", ALL_AT_ONCE)
    def test_of_many_answers_the_late_ones_are_left_out(self, store: PersistenceHarness, result: str) -> None:
        store.accepted("run-1", "run-2", "run-3")
        taken = store.due(lease=SECOND)
        store.let_pass(2 * SECOND)
        [current] = store.due(limit=1)

        told = recorded_all(store, result, taken)

        assert told == {"run-1", "run-2", "run-3"} - {current.run_id}
        assert recorded_all(store, result, [current]) == {current.run_id}
        assert recorded_all(store, result, []) == set()

    def test_ended_runs_are_off_the_schedule_and_their_submissions_closed(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", "run-2")

        recorded_all(store, "finished", store.due())

        store.let_pass(HOUR)
        assert store.due() == []
        assert {store.queries.get(RunId(id)).submission for id in ("run-1", "run-2")} == {SubmissionState.CLOSED}

    def test_what_was_taken_is_due_again_by_itself_and_not_while_it_is_held(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", "run-2")
        paces = {"run-1": 3 * MINUTE, "run-2": SECOND}

        store.due(next_poll=lambda poll: paces[poll.run_id])

        store.let_pass(MINUTE - 2 * SECOND)
        assert store.due() == []
        store.let_pass(4 * SECOND)
        assert names(store.due()) == ["run-2"]
        store.let_pass(2 * MINUTE)
        assert sorted(names(store.due())) == ["run-1", "run-2"]

    def test_what_is_taken_ahead_of_its_time_is_not_held_for_longer(self, store: PersistenceHarness) -> None:
        store.accepted("run-1")
        store.due(next_poll=lambda _: HOUR)

        assert store.due(ahead=2 * HOUR) == []
        store.let_pass(MINUTE + SECOND)
        assert names(store.due(ahead=2 * HOUR)) == ["run-1"]

    def test_the_pace_is_asked_with_the_look_that_is_taken(self, store: PersistenceHarness) -> None:
        store.accepted("run-1")
        asked: list[DuePoll] = []

        def pace(poll: DuePoll) -> timedelta:
            asked.append(poll)
            return MINUTE

        assert store.due(next_poll=pace) == asked

    def test_each_of_many_is_rescheduled_in_its_own_time(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", "run-2")
        polls = store.due()
        with store.units() as unit:
            unit.polls.record_unchanged(polls, next_poll=lambda poll: HOUR if poll.run_id == "run-1" else MINUTE)
            unit.commit()

        store.let_pass(MINUTE + SECOND)

        assert names(store.due()) == ["run-2"]

    def test_those_that_moved_are_rescheduled_each_in_its_own_time(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", "run-2")
        one, other = store.due()
        with store.units() as unit:
            delays = {"run-1": HOUR, "run-2": MINUTE}
            results = [running(one, RunState.RUNNING, "R"), running(other, RunState.PAUSED, "P")]
            unit.polls.record_changed(results, delay=lambda each: delays[each.poll.run_id])
            unit.commit()

        store.let_pass(MINUTE + SECOND)

        [due] = store.due()
        assert (due.run_id, due.known_state, due.known_status) == ("run-2", RunState.PAUSED, "P")

    def test_what_was_put_off_goes_first_when_its_time_has_come(self, store: PersistenceHarness) -> None:
        store.accepted("run-2", "run-1", "run-3")
        with store.units() as unit:
            unit.polls.defer(store_due(unit.polls, limit=2), delay=MINUTE)
            unit.commit()

        assert names(store.due(ahead=HOUR, limit=1)) == ["run-3"]
        store.let_pass(MINUTE + SECOND)
        assert names(store.due()) == ["run-2", "run-1", "run-3"]

    def test_it_is_told_how_long_a_run_is_followed_and_due(self, store: PersistenceHarness) -> None:
        store.accepted("run-1")
        store.let_pass(HOUR)

        [poll] = store.due()

        assert poll.age is not None
        assert HOUR <= poll.age < HOUR + MINUTE
        assert HOUR <= poll.overdue < HOUR + MINUTE

    def test_the_age_of_a_run_that_was_followed_before_ages_were_known_is_not_told(
        self, store: PersistenceHarness
    ) -> None:
        store.accepted("run-1")
        store.tamper("polls", "run-1", followed_since=None)

        assert store.due()[0].age is None

    def test_it_is_told_whether_a_provider_was_asked_to_cancel(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", "run-2")
        store.move("run-1", RunState.CANCELING)
        with store.units() as unit:
            unit.polls.to_cancel(limit=10, lease=MINUTE, serving=ALL_PROVIDERS)
            unit.commit()

        assert {poll.run_id: poll.cancel_was_sent for poll in store.due()} == {"run-1": True, "run-2": False}

    def test_where_nobody_could_be_asked_absences_begin_anew_and_only_there(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", provider=ProviderType.HEALTHOMICS)
        store.accepted("run-2")
        for poll in store.due():
            record(store, "missing", poll)
        with store.units() as unit:
            unit.polls.reset_missing(ProviderType.HEALTHOMICS)
            unit.commit()

        store.let_pass(HOUR + SECOND)

        assert {poll.run_id: poll.missing_for is None for poll in store.due()} == {"run-1": True, "run-2": False}

    def test_many_are_rescheduled_at_once_and_only_those(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", "run-2", "run-3")
        polls = store.due(lease=SECOND)

        with store.units() as unit:
            unit.polls.record_unchanged(polls[:1], next_poll=lambda _: HOUR)
            unit.polls.defer(polls[1:2], delay=HOUR)
            unit.polls.record_unchanged([], next_poll=lambda _: HOUR)
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

        assert [claimed.run.id for claimed in store.claim(concurrency_limit=1)] == ["run-2"]

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
            unit.polls.finish([poll])
            unit.commit()
        store.let_pass(HOUR)
        assert store.due() == []

    def test_what_may_have_news_is_due_at_once(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", "run-2")
        for poll in store.due():
            record(store, "checked", poll)

        told = make_due(store, "at-run-2")

        assert told == {"at-run-2"}
        assert names(store.due()) == ["run-2"]

    def test_news_of_what_nobody_follows_are_passed_over(self, store: PersistenceHarness) -> None:
        store.accepted("run-3", provider=ProviderType.HEALTHOMICS)
        store.accepted("run-1", "run-2")
        _, ended, without_details = store.due()
        record(store, "finished", ended)
        record(store, "details_failed", without_details)

        assert make_due(store, "at-run-1", "at-run-2", "at-run-3", "foreign", "") == set()
        assert make_due(store) == set()
        assert store.due() == []

    def test_news_of_what_was_taken_make_it_due_and_only_the_latest_answer_counts(
        self, store: PersistenceHarness
    ) -> None:
        late = store.polled("run-1")

        make_due(store, "at-run-1")
        [current] = store.due()

        assert recorded_all(store, "finished", [late]) == set()
        assert recorded_all(store, "finished", [current]) == {"run-1"}

    def test_what_is_due_already_keeps_its_place_when_it_is_hurried(self, store: PersistenceHarness) -> None:
        store.accepted("run-2", "run-1")

        assert make_due(store, "at-run-2") == {"at-run-2"}

        assert names(store.due()) == ["run-2", "run-1"]

    def test_an_answer_that_was_under_way_counts_where_nobody_else_has_asked(self, store: PersistenceHarness) -> None:
        poll = store.polled("run-1")
        make_due(store, "at-run-1")

        record(store, "finished", poll)

        assert store.due() == []

    def test_daemons_that_take_at_once_share_no_run(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", "run-2", "run-3", "run-4")
        race, taken = Race(4, store.moment), list[str]()

        def take(_: int) -> None:
            with store.units() as unit:
                due = unit.polls.lease_due(
                    limit=2, ahead=0 * SECOND, lease=MINUTE, not_leased_for=0 * SECOND, serving=ALL_PROVIDERS
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
            held = unit.polls.to_cancel(limit=limit, lease=MINUTE, serving=ALL_PROVIDERS)
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
            unit.polls.record_missing_details(poll, RunState.CANCELED, delay=MINUTE)
            before = unit.runs.get(poll.run_id)
            unit.runs.write([RunUpdate(before=before, after=replace(before, state=RunState.CANCELED))])
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
            [held] = unit.polls.to_cancel(limit=1, lease=HOUR, serving=ALL_PROVIDERS)
            unit.polls.cancel_again(held, delay=MINUTE)
            unit.commit()

        assert self.to_cancel(store) == []
        store.let_pass(MINUTE + SECOND)
        assert self.to_cancel(store) == ["run-1 local at-run-1"]

    def test_runs_at_a_provider_that_is_not_served_are_not_given(self, store: PersistenceHarness) -> None:
        store.accepted("run-1")
        store.move("run-1", RunState.CANCELING)

        with store.units() as unit:
            assert unit.polls.to_cancel(limit=10, lease=MINUTE, serving=[ProviderType.SEVENBRIDGES]) == []

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

    # deleted rows

    def deleted(self, store: PersistenceHarness) -> list[str]:
        with store.units() as unit:
            return sorted(unit.polls.deleted())

    def decide(self, store: PersistenceHarness, decision: str, *ids: str) -> None:
        with store.units() as unit:
            getattr(unit.polls, decision)([RunId(id) for id in ids])
            unit.commit()

    def forget_restored(self, store: PersistenceHarness) -> None:
        with store.units() as unit:
            unit.polls.forget_restored()
            unit.commit()

    def test_a_run_whose_row_was_deleted_is_given_once_that_is_decided(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", "run-2")
        store.remove("run-1")

        before = (self.deleted(store), self.to_cancel(store))
        self.decide(store, "cancel_deleted", "run-1", "run-2")

        assert before == (["run-1"], [])
        assert self.deleted(store) == []
        assert self.to_cancel(store) == ["run-1 local at-run-1"]
        assert self.to_cancel(store) == []
        store.let_pass(MINUTE + SECOND)
        assert self.to_cancel(store) == ["run-1 local at-run-1"]

    def test_a_run_that_is_kept_although_its_row_was_deleted_is_not_given(self, store: PersistenceHarness) -> None:
        store.accepted("run-1")
        store.remove("run-1")

        self.decide(store, "keep_deleted", "run-1")
        self.forget_restored(store)

        assert (self.deleted(store), self.to_cancel(store)) == ([], [])

    def test_a_kept_run_whose_row_is_restored_counts_when_it_is_deleted_again(self, store: PersistenceHarness) -> None:
        store.accepted("run-1")
        row = store.row("run-1")
        store.remove("run-1")
        self.decide(store, "keep_deleted", "run-1")

        store.put(row)
        self.forget_restored(store)
        restored = self.deleted(store)
        store.remove("run-1")

        assert (restored, self.deleted(store)) == ([], ["run-1"])

    def test_a_run_whose_cancellation_was_sent_before_its_row_was_deleted_is_given_again(
        self, store: PersistenceHarness
    ) -> None:
        store.accepted("run-1")
        store.move("run-1", RunState.CANCELING)
        self.to_cancel(store)
        store.remove("run-1")
        store.let_pass(MINUTE + SECOND)

        assert self.deleted(store) == []
        assert self.to_cancel(store) == ["run-1 local at-run-1"]

    def test_a_run_whose_row_was_restored_before_the_decision_is_not_given(self, store: PersistenceHarness) -> None:
        store.accepted("run-1")
        row = store.row("run-1")
        store.remove("run-1")
        store.put(row)

        self.decide(store, "cancel_deleted", "run-1")

        assert self.to_cancel(store) == []

    def test_a_run_that_has_ended_at_its_provider_before_its_row_was_deleted_is_not_given(
        self, store: PersistenceHarness
    ) -> None:
        record(store, "details_failed", store.polled("run-1"))
        store.remove("run-1")

        assert self.deleted(store) == []
