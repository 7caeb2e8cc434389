"""Claims: no run is claimed twice or beyond the concurrency limits, and runs of a dead daemon are taken over."""

from threading import Lock

import pytest

from tests.builders import ALL_DESTINATIONS
from tests.contracts.persistence_harness import (
    HOUR,
    ME,
    MINUTE,
    OTHER,
    SECOND,
    PersistenceHarness,
    Race,
    ServiceRow,
    all_but,
    destination,
    ids_of,
)
from wes_daemon.application.ports.errors import LeaseLost
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState


class ClaimRules:
    """`SubmissionQueue.claim`."""

    def test_a_claimed_run_comes_as_it_is_now(self, store: PersistenceHarness) -> None:
        store.put(ServiceRow(run_id="run-1", tags='{"project": "p"}', workflow_params='{"reads": 1}'))
        store.enrol()
        store.put(ServiceRow(run_id="run-1", tags='{"project": "q"}', workflow_params='{"reads": 2}'))
        store.let_pass(MINUTE)

        [claimed] = store.claim()

        assert (claimed.run.tags, claimed.run.request.workflow_params) == ({"project": "q"}, {"reads": 2})
        assert (claimed.claim.run_id, claimed.claim.owner, claimed.claim.resumed) == ("run-1", ME, False)
        assert (claimed.attempts, claimed.prepared_id) == (0, None)
        assert (claimed.failing_for, claimed.in_doubt_for) == (0 * SECOND, 0 * SECOND)

    def test_a_claim_leaves_the_run_queued_for_its_readers(self, store: PersistenceHarness) -> None:
        before = store.claimed("run-1").run

        assert before.state is RunState.QUEUED
        assert store.row("run-1").state == "QUEUED"
        assert store.queries.get(RunId("run-1")).submission is SubmissionState.INTENT

    def test_no_more_than_the_limit_is_claimed_oldest_first(self, store: PersistenceHarness) -> None:
        store.queue("run-c", "run-a", "run-b")
        store.enrol()
        store.live(ME)

        assert ids_of(store.claim(limit=2)) == ["run-c", "run-a"]

    def test_runs_that_others_claimed_or_that_a_provider_holds_count_for_the_cap(
        self, store: PersistenceHarness
    ) -> None:
        store.accepted("run-held")
        store.claimed("run-claimed", OTHER)
        store.queue("run-1", "run-2", "run-3")
        store.enrol()

        assert ids_of(store.claim(ME, concurrency_limit=3)) == ["run-1"]
        assert store.claim(store.live(SessionId("daemon-third")), concurrency_limit=3) == []

    def test_a_finished_run_makes_room_under_the_cap(self, store: PersistenceHarness) -> None:
        poll = store.polled("run-1")
        store.queue("run-2")
        store.enrol()
        assert store.claim(concurrency_limit=1) == []

        with store.units() as unit:
            unit.polls.finish([poll])
            unit.commit()

        assert ids_of(store.claim(concurrency_limit=1)) == ["run-2"]

    def test_runs_for_an_excluded_provider_are_passed_over(self, store: PersistenceHarness) -> None:
        store.put(ServiceRow(run_id="run-1", tags='{"provider_type": "sevenbridges"}'))
        store.put(ServiceRow(run_id="run-2"))
        store.enrol()
        store.live(ME)

        assert ids_of(store.claim(limit=1, serving=all_but(ProviderType.SEVENBRIDGES))) == ["run-2"]

    def test_a_run_that_may_have_been_sent_to_an_excluded_provider_is_passed_over(
        self, store: PersistenceHarness
    ) -> None:
        store.claimed("run-1")

        assert store.claim(ME, serving=all_but(ProviderType.LOCAL)) == []

    @pytest.mark.parametrize("state", [RunState.CANCELING, RunState.CANCELED, RunState.RUNNING])
    def test_a_run_that_is_no_longer_queued_is_not_claimed(self, store: PersistenceHarness, state: RunState) -> None:
        store.queue("run-1")
        store.enrol()
        store.move("run-1", state)

        assert store.claim() == []

    def test_what_a_live_daemon_holds_is_not_claimed_by_another(self, store: PersistenceHarness) -> None:
        store.claimed("run-1", OTHER)

        assert store.claim(store.live(ME)) == []

    def test_what_a_daemon_held_when_its_lease_ran_out_is_taken_over(self, store: PersistenceHarness) -> None:
        first = store.claimed("run-1", OTHER).claim
        store.let_pass(2 * MINUTE)

        [taken] = store.claim(store.live(ME))

        assert (taken.claim.owner, taken.claim.resumed) == (ME, True)
        assert taken.claim.fencing_token > first.fencing_token

    def test_what_a_daemon_held_when_it_closed_its_lease_is_taken_over_at_once(self, store: PersistenceHarness) -> None:
        store.claimed("run-1", OTHER)
        with store.units() as unit:
            unit.leases.close(OTHER)
            unit.commit()

        assert ids_of(store.claim(store.live(ME))) == ["run-1"]

    def test_what_a_dead_daemon_held_is_taken_over(self, store: PersistenceHarness) -> None:
        store.queue("run-1")
        store.enrol()
        store.claim(OTHER)
        store.forget(OTHER)

        assert ids_of(store.claim(store.live(ME))) == ["run-1"]

    def test_a_daemon_takes_up_again_what_it_holds_itself(self, store: PersistenceHarness) -> None:
        first = store.claimed("run-1").claim

        [again] = store.claim(ME)

        assert (again.claim.run_id, again.claim.resumed) == ("run-1", True)
        assert again.claim.fencing_token > first.fencing_token

    def test_takeovers_come_first_and_whatever_the_cap_says(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2", "run-3")
        store.enrol()
        store.claim(OTHER, limit=2)
        store.forget(OTHER)
        store.queue("run-0")
        store.enrol()

        assert ids_of(store.claim(store.live(ME), concurrency_limit=1)) == ["run-1", "run-2"]
        assert ids_of(store.claim(ME, concurrency_limit=3)) == ["run-1", "run-2", "run-3"]

    def test_a_daemon_without_a_lease_that_lasts_claims_nothing(self, store: PersistenceHarness) -> None:
        store.queue("run-1")
        store.enrol()
        store.live(ME)
        store.let_pass(2 * MINUTE)

        with store.units() as unit, pytest.raises(LeaseLost):
            unit.submissions.claim(ME, limit=1, concurrency_limit=1, serving=ALL_DESTINATIONS, destination=destination)

    def test_runs_whose_provider_cannot_be_told_can_be_passed_over(self, store: PersistenceHarness) -> None:
        store.put(ServiceRow(run_id="run-1", tags='{"provider_type": "azure batch"}'))
        store.enrol()

        assert store.claim(serving=all_but(None)) == []
        assert ids_of(store.claim()) == ["run-1"]

    def test_what_nobody_has_sent_goes_where_its_tags_say_now(self, store: PersistenceHarness) -> None:
        store.queue("run-1")
        store.enrol()
        store.put(ServiceRow(run_id="run-1", tags='{"provider_type": "healthomics"}'))

        [claimed] = store.claim()

        assert claimed.destination == ProviderType.HEALTHOMICS
        assert store.queries.get(RunId("run-1")).destination == ProviderType.HEALTHOMICS

    def test_what_may_have_been_sent_stays_with_its_provider(self, store: PersistenceHarness) -> None:
        store.claimed("run-1")
        store.put(ServiceRow(run_id="run-1", tags='{"provider_type": "healthomics"}'))

        [again] = store.claim()

        assert (again.destination, again.claim.resumed) == (ProviderType.LOCAL, True)

    def test_takeovers_count_for_the_limit(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2", "run-3")
        store.enrol()
        store.claim(OTHER, limit=2)
        store.forget(OTHER)

        assert ids_of(store.claim(store.live(ME), limit=1)) == ["run-1"]

    def test_what_was_prepared_is_taken_over_with_its_id_even_when_the_run_is_being_cancelled(
        self, store: PersistenceHarness
    ) -> None:
        claim = store.claimed("run-1", OTHER).claim
        with store.units() as unit:
            unit.submissions.record_drafts({claim: ProviderRunId("draft-1")})
            unit.commit()
        store.move("run-1", RunState.CANCELING)
        store.let_pass(2 * MINUTE)

        [taken] = store.claim(store.live(ME))

        assert (taken.prepared_id, taken.run.state, taken.claim.resumed) == ("draft-1", RunState.CANCELING, True)

    def test_what_is_sent_again_is_what_was_first_sent(self, store: PersistenceHarness) -> None:
        store.put(ServiceRow(run_id="run-1", tags='{"project": "p"}', workflow_params='{"reads": [1, null, "x"]}'))
        store.enrol()
        [first] = store.claim(OTHER)
        changed = ServiceRow(run_id="run-1", state="CANCELING", tags='{"project": "q"}', workflow_params="{}")
        store.put(changed)
        store.let_pass(2 * MINUTE)

        [again] = store.claim(store.live(ME))

        assert (again.run.request, again.run.tags) == (first.run.request, first.run.tags)
        assert again.run.state is RunState.CANCELING

    def test_what_certainly_was_not_sent_goes_out_as_the_row_is_now(self, store: PersistenceHarness) -> None:
        claim = store.claimed("run-1").claim
        with store.units() as unit:
            unit.submissions.defer(claim, wait=0 * SECOND, reason="busy")
            unit.commit()
        store.put(ServiceRow(run_id="run-1", workflow_params='{"reads": 2}'))

        [again] = store.claim()

        assert again.run.request.workflow_params == {"reads": 2}

    def test_doubt_counts_from_the_first_intent(self, store: PersistenceHarness) -> None:
        claim = store.claimed("run-1").claim
        store.let_pass(HOUR)
        with store.units() as unit:
            unit.submissions.mark_in_doubt(claim, wait=0 * SECOND, reason="timeout")
            unit.commit()
        store.let_pass(HOUR)

        [again] = store.claim()

        assert 2 * HOUR <= again.in_doubt_for < 2 * HOUR + MINUTE
        assert HOUR <= again.failing_for < HOUR + MINUTE

    def test_a_run_that_waits_for_a_person_counts_no_attempt_but_the_time(self, store: PersistenceHarness) -> None:
        store.queue("run-1")
        store.enrol()
        for _ in range(2):
            [claimed] = store.claim()
            with store.units() as unit:
                unit.submissions.return_misconfigured(claimed.claim, wait=0 * SECOND, reason="forbidden")
                unit.commit()
            store.let_pass(HOUR)

        [again] = store.claim()

        assert (again.attempts, again.claim.resumed) == (0, False)
        assert 2 * HOUR <= again.failing_for < 2 * HOUR + MINUTE
        assert 2 * HOUR <= again.waiting_for < 2 * HOUR + MINUTE
        assert store.queries.get(RunId("run-1")).last_reason == "forbidden"

    def test_a_run_whose_row_was_deleted_before_it_was_sent_is_passed_over(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2")
        store.enrol()
        store.remove("run-1")

        assert ids_of(store.claim(concurrency_limit=1)) == ["run-2"]

    def test_an_uncommitted_claim_is_none(self, store: PersistenceHarness) -> None:
        store.queue("run-1")
        store.enrol()
        store.live(ME)

        with store.units() as unit:
            unit.submissions.claim(ME, limit=1, concurrency_limit=1, serving=ALL_DESTINATIONS, destination=destination)

        [claimed] = store.claim(store.live(OTHER))
        assert (claimed.claim.run_id, claimed.claim.resumed) == ("run-1", False)

    def test_daemons_that_claim_at_once_never_pass_the_cap_and_share_no_run(self, store: PersistenceHarness) -> None:
        store.queue(*(f"run-{number:03}" for number in range(40)))
        store.enrol()
        race, guard, claimed = Race(4, store.moment), Lock(), list[str]()

        def claim(number: int) -> None:
            owner = store.live(SessionId(f"daemon-{number}"), lasting=10 * MINUTE)
            with store.units() as unit:
                mine = unit.submissions.claim(
                    owner, limit=4, concurrency_limit=10, serving=ALL_DESTINATIONS, destination=destination
                )
                race.together()
                unit.commit()
            with guard:
                claimed.extend(ids_of(mine))

        race.run(claim)

        assert len(claimed) == 10
        assert len(set(claimed)) == 10

    def test_daemons_that_take_over_at_once_share_no_run(self, store: PersistenceHarness) -> None:
        store.queue(*(f"run-{number:02}" for number in range(10)))
        store.enrol()
        store.claim(OTHER)
        store.forget(OTHER)
        race, guard, taken = Race(4, store.moment), Lock(), list[str]()

        def take_over(number: int) -> None:
            owner = store.live(SessionId(f"daemon-{number}"))
            with store.units() as unit:
                mine = unit.submissions.claim(
                    owner, limit=10, concurrency_limit=10, serving=ALL_DESTINATIONS, destination=destination
                )
                race.together()
                unit.commit()
            with guard:
                taken.extend(ids_of(mine))

        race.run(take_over)

        assert sorted(taken) == [f"run-{number:02}" for number in range(10)]

    def test_a_run_waits_for_its_time(self, store: PersistenceHarness) -> None:
        claim = store.claimed("run-1").claim
        with store.units() as unit:
            unit.submissions.defer(claim, wait=MINUTE, reason="busy")
            unit.commit()

        assert store.claim() == []
        store.let_pass(MINUTE + SECOND)
        [again] = store.claim()
        assert (again.attempts, again.claim.resumed) == (1, False)
