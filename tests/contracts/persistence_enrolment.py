"""Enrolment: which rows come into the queue, and in which state."""

import json
from dataclasses import replace

import pytest

from tests.builders import ALL_PROVIDERS, NOON, a_run
from tests.contracts.persistence_harness import (
    ME,
    MINUTE,
    PersistenceHarness,
    Race,
    ServiceRow,
    destination,
    ids_of,
    share,
)
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderType, RunId
from wes_daemon.domain.states import RunState


def left_by_another_daemon(run_id: str, state: str = "RUNNING", /, **tags: object) -> ServiceRow:
    """A row as a daemon without tables of its own leaves it."""
    return ServiceRow(run_id=run_id, state=state, tags=json.dumps(tags))


class EnrolmentRules:
    """`SubmissionQueue.enrol`."""

    def test_queued_rows_are_enrolled_in_the_order_in_which_they_were_stored(self, store: PersistenceHarness) -> None:
        store.queue("run-c", "run-a", "run-b")

        store.enrol()

        assert ids_of(store.claim()) == ["run-c", "run-a", "run-b"]

    def test_enrolling_takes_at_most_the_limit_and_says_how_many(self, store: PersistenceHarness) -> None:
        store.queue("run-c", "run-a", "run-b")

        counts = [store.enrol(limit=2), store.enrol(limit=2), store.enrol(limit=2)]

        assert counts == [2, 1, 0]
        assert ids_of(store.claim()) == ["run-c", "run-a", "run-b"]

    def test_what_is_queued_may_be_enrolled_alone(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2")
        store.put(left_by_another_daemon("left", provider_type="local", provider_id="at-1"))

        with store.units() as unit:
            first = unit.submissions.enrol_queued(destination, limit=1, share=share)
            rest = unit.submissions.enrol_queued(destination, limit=10, share=share)
            unit.commit()

        assert (first, rest) == (1, 1)
        assert ids_of(store.claim()) == ["run-1", "run-2"]
        assert store.enrol() == 1

    def test_an_enrolled_run_has_the_destination_that_its_tags_name(self, store: PersistenceHarness) -> None:
        store.put(ServiceRow(run_id="run-1", tags='{"provider_type": "healthomics"}'))

        store.enrol()

        record = store.queries.get(RunId("run-1"))
        assert (record.submission, record.destination) == (SubmissionState.READY, ProviderType.HEALTHOMICS)
        assert record.queued_at is not None

    def test_a_run_whose_destination_cannot_be_told_is_enrolled_and_claimed_all_the_same(
        self, store: PersistenceHarness
    ) -> None:
        store.put(ServiceRow(run_id="run-1", tags='{"provider_type": "nextflow tower"}'))

        store.enrol()

        assert store.queries.get(RunId("run-1")).destination is None
        assert ids_of(store.claim(serving=[None])) == ["run-1"]

    @pytest.mark.parametrize("state", ["COMPLETE", "CANCELED", "CANCELING", "RUNNING", "UNKNOWN", "SLEEPING", "queued"])
    def test_a_row_that_waits_for_nobody_is_left_alone(self, store: PersistenceHarness, state: str) -> None:
        if not store.holds_any_state and state not in list(RunState):
            pytest.skip("this store knows states, and no other words")
        store.put(ServiceRow(run_id="run-1", state=state))

        assert store.enrol() == 0
        assert store.queries.get(RunId("run-1")).submission is None

    @pytest.mark.parametrize("state", ["INITIALIZING", "RUNNING", "PAUSED"])
    def test_an_active_run_of_another_daemon_is_followed_from_now_on(
        self, store: PersistenceHarness, state: str
    ) -> None:
        store.put(left_by_another_daemon("run-1", state, provider_type="sevenbridges", provider_id="task-7"))

        assert store.enrol() == 1

        [poll] = store.due()
        assert (poll.run_id, poll.provider, poll.provider_run_id) == ("run-1", ProviderType.SEVENBRIDGES, "task-7")
        assert poll.known_state is RunState(state)
        assert store.run("run-1").provider_run_id == "task-7"
        assert store.claim() == []

    def test_an_unknown_run_of_another_daemon_is_followed_and_nothing_is_known_of_its_state(
        self, store: PersistenceHarness
    ) -> None:
        store.put(left_by_another_daemon("run-1", "UNKNOWN", provider_type="sevenbridges", provider_id="task-7"))

        assert store.enrol() == 1

        [poll] = store.due()
        assert (poll.provider_run_id, poll.known_state) == ("task-7", RunState.INITIALIZING)

    def test_unknown_and_cancelled_runs_of_another_daemon_are_adopted_page_by_page(
        self, store: PersistenceHarness
    ) -> None:
        for number in range(3):
            for state in ("UNKNOWN", "CANCELING"):
                id = f"{number}-{state}"
                store.put(left_by_another_daemon(id, state, provider_type="sevenbridges", provider_id=id))
        store.put(left_by_another_daemon("0-first", "UNKNOWN", provider_type="nextflow tower", provider_id="x"))

        assert [store.enrol(limit=2) for _ in range(4)] == [2, 2, 2, 0]

    def test_an_active_run_whose_tags_name_no_provider_is_followed_at_its_destination(
        self, store: PersistenceHarness
    ) -> None:
        store.put(left_by_another_daemon("run-1", provider_id="task-7"))

        store.enrol()

        assert store.run("run-1").provider == ProviderType.LOCAL

    @pytest.mark.parametrize(
        "tags",
        [
            {"provider_type": "nextflow tower", "provider_id": "task-7"},
            {"provider_type": "sevenbridges", "provider_id": ""},
            {"provider_type": "sevenbridges", "provider_id": None},
            {"provider_type": "sevenbridges"},
        ],
    )
    def test_an_active_run_of_which_it_cannot_be_told_who_holds_it_is_left_alone(
        self, store: PersistenceHarness, tags: dict[str, object]
    ) -> None:
        store.put(left_by_another_daemon("run-1", "RUNNING", **tags))

        assert store.enrol() == 0
        assert store.due() == []

    def test_a_cancelled_run_of_another_daemon_is_followed_and_told_to_its_provider(
        self, store: PersistenceHarness
    ) -> None:
        store.put(left_by_another_daemon("run-1", "CANCELING", provider_type="sevenbridges", provider_id="task-7"))
        with store.units() as unit:
            assert unit.submissions.close_withdrawn(limit=10) == []

        assert store.enrol() == 1

        with store.units() as unit:
            [held] = unit.polls.to_cancel(limit=10, lease=MINUTE, serving=ALL_PROVIDERS)
        assert (held.provider, held.provider_run_id) == (ProviderType.SEVENBRIDGES, "task-7")

    def test_a_cancelled_copy_of_a_run_that_is_followed_simply_ends(self, store: PersistenceHarness) -> None:
        store.put(left_by_another_daemon("run-1", provider_type="local", provider_id="task-7"))
        store.enrol()
        store.put(left_by_another_daemon("run-2", "CANCELING", provider_type="local", provider_id="task-7"))
        store.enrol()

        with store.units() as unit:
            assert unit.submissions.close_withdrawn(limit=10) == ["run-2"]

    def test_a_closed_run_that_no_provider_had_is_submitted_when_it_is_queued_again(
        self, store: PersistenceHarness
    ) -> None:
        claim = store.claimed("run-1").claim
        with store.units() as unit:
            unit.submissions.close(claim, reason="refused")
            unit.commit()
        store.move("run-1", RunState.SYSTEM_ERROR)
        assert store.enrol() == 0
        store.move("run-1", RunState.QUEUED)

        assert store.enrol() == 1

        [again] = store.claim()
        assert (again.run.id, again.claim.resumed, again.attempts) == ("run-1", False, 0)
        assert again.claim.fencing_token > claim.fencing_token

    @pytest.mark.parametrize("state", [RunState.QUEUED, RunState.RUNNING, RunState.CANCELING])
    def test_a_closed_run_that_a_provider_had_is_followed_when_it_is_made_active_again(
        self, store: PersistenceHarness, state: RunState
    ) -> None:
        poll = store.polled("run-1")
        with store.units() as unit:
            unit.polls.finish([poll])
            unit.commit()
        store.move("run-1", state)

        assert store.enrol() == 1

        [due] = store.due()
        assert (due.provider_run_id, due.known_state) == ("at-run-1", RunState.INITIALIZING)

    def test_runs_that_cannot_be_followed_do_not_stand_in_the_way_of_others(self, store: PersistenceHarness) -> None:
        for number in range(3):
            store.put(left_by_another_daemon(f"run-{number}", provider_type="nextflow tower", provider_id="x"))
        store.put(left_by_another_daemon("run-9", provider_type="local", provider_id="task-9"))

        assert store.enrol(limit=1) == 1
        assert [poll.run_id for poll in store.due()] == ["run-9"]

    def test_of_two_active_runs_that_name_one_provider_run_one_is_followed(self, store: PersistenceHarness) -> None:
        store.put(left_by_another_daemon("run-1", provider_type="local", provider_id="task-7"))
        store.put(left_by_another_daemon("run-2", provider_type="local", provider_id="task-7"))

        assert store.enrol() == 1
        assert store.enrol() == 0
        assert len(store.due()) == 1

    def test_a_queued_run_is_submitted_whatever_its_copied_tags_say(self, store: PersistenceHarness) -> None:
        store.put(left_by_another_daemon("run-1", "QUEUED", provider_type="local", provider_id="of-the-first-run"))

        store.enrol()

        [claimed] = store.claim()
        assert (claimed.run.provider, claimed.run.provider_run_id) == (None, None)
        assert store.due() == []

    def test_daemons_that_enrol_at_once_enrol_each_row_once(self, store: PersistenceHarness) -> None:
        store.queue(*(f"run-{number:02}" for number in range(20)))
        race, counts = Race(4, store.moment), list[int]()

        def enrol(_: int) -> None:
            with store.units() as unit:
                race.together()
                counts.append(unit.submissions.enrol(destination, limit=100))
                unit.commit()

        race.run(enrol)

        assert sum(counts) == 20
        assert len(set(ids_of(store.claim()))) == 20


class InheritanceRules:
    """`SubmissionQueue.inherit`."""

    def test_the_first_session_of_a_database_inherits_what_another_daemon_may_have_submitted(
        self, store: PersistenceHarness
    ) -> None:
        for state in ("QUEUED", "CANCELING", "CANCELED", "INITIALIZING", "RUNNING", "PAUSED", "UNKNOWN"):
            store.put(left_by_another_daemon(f"left-{state}", state, project="genomes"))

        assert self._inherited(store) == 7

        assert {record.submission for record in store.queries.list(RunFilter())} == {SubmissionState.INHERITED}

    def test_an_inherited_run_is_neither_enrolled_nor_claimed_nor_ended(self, store: PersistenceHarness) -> None:
        for state in ("QUEUED", "CANCELING"):
            store.put(left_by_another_daemon(f"left-{state}", state))
        self._inherited(store)

        enrolled = store.enrol()
        with store.units() as unit:
            withdrawn = unit.submissions.close_withdrawn(limit=10)

        assert (enrolled, list(withdrawn), store.claim()) == (0, [], [])

    def test_ended_runs_and_those_that_name_their_provider_run_are_not_inherited(
        self, store: PersistenceHarness
    ) -> None:
        store.put(left_by_another_daemon("complete", "COMPLETE"))
        store.put(left_by_another_daemon("failed", "SYSTEM_ERROR"))
        for state in ("RUNNING", "UNKNOWN", "CANCELING"):
            store.put(left_by_another_daemon(state, state, provider_type="local", provider_id=f"at-{state}"))

        assert self._inherited(store) == 0
        assert store.enrol() == 3

    def test_a_queued_row_is_inherited_whatever_its_tags_name(self, store: PersistenceHarness) -> None:
        store.put(left_by_another_daemon("copied", "QUEUED", provider_type="local", provider_id="at-1"))

        assert self._inherited(store) == 1

    def test_a_later_session_inherits_nothing(self, store: PersistenceHarness) -> None:
        store.live(ME)
        store.queue("run-1")

        assert self._inherited(store) == 0
        assert store.enrol() == 1

    def test_a_run_that_was_queued_through_this_package_is_not_inherited(self, store: PersistenceHarness) -> None:
        run = a_run("run-1")
        entry = TimelineEntry(at=NOON, before=None, after=run.state, by="ada", why="created")
        with store.units() as unit:
            unit.runs.add(run, attachments=(), entry=entry)
            unit.commit()

        assert self._inherited(store) == 0

    def test_a_run_whose_cancellation_was_requested_through_this_package_is_inherited(
        self, store: PersistenceHarness
    ) -> None:
        store.put(left_by_another_daemon("run-1", "CANCELING"))
        with store.units() as unit:
            before = replace(unit.runs.get(RunId("run-1")), state=RunState.RUNNING)
            entry = TimelineEntry(at=NOON, before=before.state, after=RunState.CANCELING, by="ada", why="cancelled")
            unit.runs.write([RunUpdate(before=before, after=before, entry=entry)])
            unit.commit()

        assert self._inherited(store) == 1

    def _inherited(self, store: PersistenceHarness) -> int:
        with store.units() as unit:
            inherited = unit.submissions.inherit()
            unit.commit()
        return inherited
