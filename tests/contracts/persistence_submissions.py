"""How a claim ends, and which submissions are closed because their run was withdrawn."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from threading import Event

import pytest

from tests.builders import NOON
from tests.contracts.persistence_harness import (
    ME,
    MINUTE,
    OTHER,
    SECOND,
    PersistenceHarness,
    Race,
    ServiceRow,
    acceptance,
    an_entry,
    ids_of,
)
from wes_daemon.application.ports.errors import AlreadyRecorded, ClaimLost
from wes_daemon.application.ports.runs import RunUpdate
from wes_daemon.application.ports.submissions import (
    IN_DOUBT,
    Claim,
    SubmissionQueue,
    SubmissionState,
)
from wes_daemon.domain.runs import ProviderRunId, ProviderType, Run, RunId
from wes_daemon.domain.states import ENDED, RunState

Outcome = Callable[[SubmissionQueue, Claim], Collection[RunId] | None]

OUTCOMES: dict[str, Outcome] = {
    "prepared": lambda queue, claim: queue.record_drafts({claim: ProviderRunId("draft-1")}),
    "accepted": lambda queue, claim: queue.record_acceptances([acceptance(claim, "task-1")], first_poll_after=MINUTE),
    "deferred": lambda queue, claim: queue.defer(claim, wait=MINUTE, reason="busy"),
    "in doubt": lambda queue, claim: queue.mark_in_doubt(claim, wait=MINUTE, reason="timeout"),
    "returned": lambda queue, claim: queue.return_claim(claim, wait=MINUTE, reason="stopped"),
    "misconfigured": lambda queue, claim: queue.return_misconfigured(claim, wait=MINUTE, reason="forbidden"),
    "closed": lambda queue, claim: queue.close(claim, reason="refused"),
}

OF_MANY = ("prepared", "accepted")
"""Those that return the recorded runs."""


def record(store: PersistenceHarness, outcome: str, claim: Claim) -> None:
    """Write one outcome in a unit of work of its own; raise `ClaimLost` also for one of many that is left out."""
    with store.units() as unit:
        recorded = OUTCOMES[outcome](unit.submissions, claim)
        if recorded is not None and claim.run_id not in recorded:
            raise ClaimLost(f"{outcome}: {claim.run_id} is left out")
        unit.commit()


def accept_all(store: PersistenceHarness, claims: Sequence[Claim]) -> Collection[RunId]:
    """Record that a provider has accepted all of these."""
    acceptances = [acceptance(claim, f"task-of-{claim.run_id}") for claim in claims]
    with store.units() as unit:
        recorded = unit.submissions.record_acceptances(acceptances, first_poll_after=0 * SECOND)
        unit.commit()
    return recorded


def state(store: PersistenceHarness, run_id: str = "run-1") -> SubmissionState | None:
    """How far the submission has come."""
    return store.queries.get(RunId(run_id)).submission


class SubmissionRules:
    """The writes that a claim permits, and until when."""

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_whoever_slept_through_a_takeover_records_nothing(self, store: PersistenceHarness, outcome: str) -> None:
        slept = store.claimed("run-1", OTHER).claim
        store.let_pass(2 * MINUTE)
        [taken] = store.claim(store.live(ME))

        with pytest.raises(ClaimLost):
            record(store, outcome, slept)

        assert state(store) is SubmissionState.INTENT
        record(store, outcome, taken.claim)

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_an_older_claim_of_the_same_daemon_records_nothing(self, store: PersistenceHarness, outcome: str) -> None:
        older = store.claimed("run-1").claim
        store.claim(ME)

        with pytest.raises(ClaimLost):
            record(store, outcome, older)

    @pytest.mark.parametrize("left", [each for each in SubmissionState if each not in IN_DOUBT])
    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_a_claim_on_what_is_not_open_any_more_records_nothing(
        self, store: PersistenceHarness, left: SubmissionState, outcome: str
    ) -> None:
        """No daemon ends a submission and keeps the claim; a person who edits the table may."""
        claim = store.claimed("run-1").claim
        store.tamper("submissions", "run-1", state=left)

        with pytest.raises(ClaimLost):
            record(store, outcome, claim)

        assert state(store) is left

    @pytest.mark.parametrize("settled", [name for name in OUTCOMES if name != "prepared"])
    @pytest.mark.parametrize("again", OUTCOMES)
    def test_a_claim_that_was_settled_tells_that_it_was(
        self, store: PersistenceHarness, settled: str, again: str
    ) -> None:
        claim = store.claimed("run-1").claim
        record(store, settled, claim)
        before = store.queries.get(RunId("run-1"))
        # Of many, only the same acceptance tells; others are left out.
        tells = again not in OF_MANY or settled == again

        with pytest.raises(AlreadyRecorded if tells else ClaimLost):
            record(store, again, claim)

        assert store.queries.get(RunId("run-1")) == before

    def test_what_is_prepared_may_be_recorded_again(self, store: PersistenceHarness) -> None:
        claim = store.claimed("run-1").claim
        record(store, "prepared", claim)

        record(store, "prepared", claim)

        assert state(store) is SubmissionState.PREPARED

    @pytest.mark.parametrize("settled", ["deferred", "in doubt", "returned", "misconfigured"])
    def test_a_claim_that_was_settled_is_lost_once_somebody_else_has_the_run(
        self, store: PersistenceHarness, settled: str
    ) -> None:
        claim = store.claimed("run-1", OTHER).claim
        record(store, settled, claim)
        store.let_pass(2 * MINUTE)
        store.claim(ME)

        with pytest.raises(ClaimLost):
            record(store, settled, claim)

    def test_an_accepted_run_is_held_by_its_provider_and_due_after_a_while(self, store: PersistenceHarness) -> None:
        record(store, "accepted", store.claimed("run-1").claim)

        run = store.run("run-1")
        assert (run.provider, run.provider_run_id) == (ProviderType.LOCAL, "task-1")
        assert store.due() == []
        store.let_pass(MINUTE + SECOND)
        assert [poll.provider_run_id for poll in store.due()] == ["task-1"]
        assert store.claim() == []

    def test_whoever_waited_for_a_run_sees_who_holds_it_now(self, store: PersistenceHarness) -> None:
        claim = store.claimed("run-1").claim
        race, reader_may_start, seen = Race(2, store.moment), Event(), list[Run]()

        def accept() -> None:
            with store.units() as unit:
                before = unit.runs.get(claim.run_id)
                OUTCOMES["accepted"](unit.submissions, claim)
                unit.runs.write(
                    [
                        RunUpdate(
                            before=before, after=replace(before, state=RunState.INITIALIZING), entry=an_entry(before)
                        )
                    ]
                )
                reader_may_start.set()
                race.together()
                unit.commit()

        def read() -> None:
            reader_may_start.wait(timeout=60)
            with store.units() as unit:
                seen.append(unit.runs.get(claim.run_id))

        race.run(lambda number: (accept, read)[number]())

        assert (seen[0].state, seen[0].provider_run_id) == (RunState.INITIALIZING, "task-1")

    def test_the_provider_that_accepts_may_be_another_than_the_one_that_was_meant(
        self, store: PersistenceHarness
    ) -> None:
        claim = store.claimed("run-1").claim

        with store.units() as unit:
            accepted = acceptance(claim, "task-1", ProviderType.HEALTHOMICS)
            unit.submissions.record_acceptances([accepted], first_poll_after=0 * SECOND)
            unit.commit()

        assert store.queries.get(RunId("run-1")).destination == ProviderType.HEALTHOMICS

    def test_of_many_that_are_accepted_those_whose_claim_is_gone_are_left_out(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2", "run-3")
        store.enrol()
        claims = [each.claim for each in store.claim(store.live(OTHER))]
        store.let_pass(2 * MINUTE)
        [taken] = store.claim(store.live(ME), limit=1)

        assert accept_all(store, claims) == {"run-2", "run-3"}

        assert [state(store, id) for id in ("run-1", "run-2", "run-3")] == [
            SubmissionState.INTENT,
            SubmissionState.ACCEPTED,
            SubmissionState.ACCEPTED,
        ]
        assert store.run("run-3").provider_run_id == "task-of-run-3"
        assert sorted(poll.provider_run_id for poll in store.due()) == ["task-of-run-2", "task-of-run-3"]
        assert accept_all(store, [taken.claim]) == {"run-1"}

    def test_of_many_that_are_prepared_those_whose_claim_is_gone_are_left_out(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2")
        store.enrol()
        claims = [each.claim for each in store.claim(store.live(OTHER))]
        store.let_pass(2 * MINUTE)
        store.claim(store.live(ME), limit=1)
        drafts = {claim: ProviderRunId(f"draft-of-{claim.run_id}") for claim in claims}

        with store.units() as unit:
            first = unit.submissions.record_drafts(drafts)
            again = unit.submissions.record_drafts(drafts)
            unit.commit()

        assert (set(first), set(again)) == ({"run-2"}, {"run-2"})
        assert [state(store, id) for id in ("run-1", "run-2")] == [SubmissionState.INTENT, SubmissionState.PREPARED]
        store.forget(OTHER)
        [taken] = [each for each in store.claim(ME) if each.run.id == "run-2"]
        assert (taken.prepared_id, taken.claim.resumed) == ("draft-of-run-2", True)

    def test_what_was_accepted_before_under_the_same_claim_is_told_as_recorded(self, store: PersistenceHarness) -> None:
        """As after a commit whose answer was lost."""
        store.queue("run-1", "run-2")
        store.enrol()
        first, second = (each.claim for each in store.claim(store.live(ME)))
        accept_all(store, [first])

        assert accept_all(store, [first, second]) == {"run-1", "run-2"}

        assert len(store.due()) == 2
        with pytest.raises(AlreadyRecorded):
            accept_all(store, [first, second])

    @pytest.mark.parametrize("settled", ["deferred", "in doubt", "returned", "closed"])
    def test_what_was_settled_otherwise_is_not_told_as_accepted(self, store: PersistenceHarness, settled: str) -> None:
        claim = store.claimed("run-1").claim
        record(store, settled, claim)

        assert accept_all(store, [claim]) == set()

        assert state(store) is not SubmissionState.ACCEPTED
        assert store.due() == []

    def test_a_deferred_run_is_ready_again_and_says_why_it_waits(self, store: PersistenceHarness) -> None:
        record(store, "deferred", store.claimed("run-1").claim)

        found = store.queries.get(RunId("run-1"))
        assert (found.submission, found.attempts, found.last_reason) == (SubmissionState.READY, 1, "busy")

    def test_a_deferred_run_frees_its_place_under_the_cap(self, store: PersistenceHarness) -> None:
        record(store, "deferred", store.claimed("run-1").claim)
        store.queue("run-2")
        store.enrol()

        assert ids_of(store.claim(concurrency_limit=1)) == ["run-2"]

    def test_an_unresolved_run_keeps_its_intent_and_is_resumed_by_anybody_in_its_time(
        self, store: PersistenceHarness
    ) -> None:
        record(store, "in doubt", store.claimed("run-1").claim)

        assert store.claim(ME) == []
        store.let_pass(MINUTE + SECOND)
        [resumed] = store.claim(store.live(OTHER))
        assert (resumed.claim.resumed, resumed.attempts) == (True, 1)

    def test_an_unresolved_run_keeps_its_place_under_the_cap(self, store: PersistenceHarness) -> None:
        record(store, "in doubt", store.claimed("run-1").claim)
        store.queue("run-2")
        store.enrol()

        assert store.claim(concurrency_limit=1) == []

    def test_a_released_run_can_be_claimed_later_as_if_nothing_had_been(self, store: PersistenceHarness) -> None:
        record(store, "returned", store.claimed("run-1").claim)

        assert state(store) is SubmissionState.READY
        assert store.claim(ME) == []
        assert store.queries.get(RunId("run-1")).last_reason == "stopped"
        store.let_pass(MINUTE + SECOND)
        [again] = store.claim(store.live(OTHER))
        assert (again.claim.resumed, again.attempts) == (False, 0)

    @pytest.mark.parametrize("outcome", ["deferred", "returned"])
    def test_what_an_earlier_call_may_have_started_stays_an_intent(
        self, store: PersistenceHarness, outcome: str
    ) -> None:
        store.claimed("run-1")
        [resumed] = store.claim(ME)

        record(store, outcome, resumed.claim)

        assert state(store) is SubmissionState.INTENT
        store.let_pass(MINUTE + SECOND)
        [again] = store.claim(store.live(OTHER))
        assert again.claim.resumed

    @pytest.mark.parametrize("outcome", ["deferred", "returned"])
    def test_what_is_prepared_stays_so(self, store: PersistenceHarness, outcome: str) -> None:
        claim = store.claimed("run-1").claim
        record(store, "prepared", claim)

        record(store, outcome, claim)

        assert state(store) is SubmissionState.PREPARED
        store.let_pass(MINUTE + SECOND)
        [again] = store.claim(store.live(OTHER))
        assert (again.prepared_id, again.claim.resumed) == ("draft-1", True)

    def test_a_prepared_run_is_still_claimed_and_held_by_nobody(self, store: PersistenceHarness) -> None:
        claim = store.claimed("run-1").claim

        record(store, "prepared", claim)

        assert store.claim(store.live(OTHER)) == []
        assert store.run("run-1").provider_run_id is None
        record(store, "accepted", claim)

    def test_a_prepared_run_keeps_its_place_under_the_cap(self, store: PersistenceHarness) -> None:
        record(store, "prepared", store.claimed("run-1").claim)
        store.queue("run-2")
        store.enrol()

        assert store.claim(store.live(OTHER), concurrency_limit=1) == []

    def test_a_closed_run_is_never_claimed_again_and_frees_its_place(self, store: PersistenceHarness) -> None:
        record(store, "closed", store.claimed("run-1").claim)
        store.move("run-1", RunState.SYSTEM_ERROR)
        store.queue("run-2")

        assert state(store) is SubmissionState.CLOSED
        assert store.enrol() == 1
        assert ids_of(store.claim(concurrency_limit=1)) == ["run-2"]

    def test_a_run_in_a_claim_is_closed_even_if_its_row_was_deleted(self, store: PersistenceHarness) -> None:
        claim = store.claimed("run-1").claim
        store.remove("run-1")

        record(store, "closed", claim)

        assert store.claim() == []


class WithdrawalRules:
    """`SubmissionQueue.close_withdrawn`."""

    def withdraw(self, store: PersistenceHarness, *, limit: int = 100) -> list[str]:
        with store.units() as unit:
            ids = unit.submissions.close_withdrawn(limit=limit)
            unit.commit()
        return sorted(ids)

    def test_a_run_that_is_cancelled_before_it_was_sent_is_closed_and_has_yet_to_be_ended(
        self, store: PersistenceHarness
    ) -> None:
        store.queue("run-1", "run-2")
        store.enrol()
        store.move("run-1", RunState.CANCELING)

        assert self.withdraw(store) == ["run-1"]
        assert state(store, "run-1") is SubmissionState.CLOSED
        assert state(store, "run-2") is SubmissionState.READY

    def test_a_run_that_others_have_ended_is_closed_and_needs_no_ending(self, store: PersistenceHarness) -> None:
        store.queue("run-1")
        store.enrol()
        store.put(ServiceRow(run_id="run-1", state="CANCELED", end_time=NOON))

        assert self.withdraw(store) == []
        assert state(store) is SubmissionState.CLOSED

    @pytest.mark.parametrize("ended", sorted(ENDED))
    def test_a_run_that_others_have_ended_without_an_end_time_has_yet_to_get_one(
        self, store: PersistenceHarness, ended: RunState
    ) -> None:
        store.queue("run-1", "run-2")
        store.enrol()
        store.move("run-1", ended)

        assert self.withdraw(store) == ["run-1"]
        assert state(store, "run-1") is SubmissionState.CLOSED
        assert self.withdraw(store) == []

    def test_a_run_that_was_cancelled_before_it_was_seen_has_yet_to_be_ended(self, store: PersistenceHarness) -> None:
        store.put(ServiceRow(run_id="run-1", state="CANCELING"))
        store.put(ServiceRow(run_id="run-2", state="CANCELED"))

        assert self.withdraw(store) == ["run-1"]

    def test_a_run_whose_row_was_deleted_leaves_the_queue(self, store: PersistenceHarness) -> None:
        store.queue("run-1")
        store.enrol()
        store.remove("run-1")

        assert self.withdraw(store) == []
        store.queue("run-1")
        assert store.claim() == []

    def test_what_may_have_been_sent_is_not_withdrawn(self, store: PersistenceHarness) -> None:
        store.accepted("run-2")
        store.claimed("run-1")
        store.move("run-1", RunState.CANCELING)
        store.move("run-2", RunState.CANCELING)

        assert self.withdraw(store) == []
        assert state(store, "run-1") is SubmissionState.INTENT

    def test_what_a_provider_had_is_not_withdrawn_though_it_is_settled(self, store: PersistenceHarness) -> None:
        store.accepted("run-1")
        [poll] = store.due()
        with store.units() as unit:
            unit.polls.finish([poll])
            unit.commit()
        store.move("run-1", RunState.CANCELING)

        assert self.withdraw(store) == []

    def test_no_more_than_the_limit_is_withdrawn(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2")
        store.enrol()
        store.move("run-1", RunState.CANCELING)
        store.move("run-2", RunState.CANCELING)
        store.put(ServiceRow(run_id="run-3", state="CANCELING"))

        assert len(self.withdraw(store, limit=1)) == 1
