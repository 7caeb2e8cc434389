"""Runs that need review: no daemon claims them, they count towards the limits, and a person resolves them."""

from collections.abc import Callable

import pytest

from tests.contracts.persistence_harness import HOUR, ME, MINUTE, OTHER, SECOND, PersistenceHarness, ids_of
from wes_daemon.application.ports.errors import ClaimLost, NotInReview
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId

RUN = RunId("run-1")
THERE = ProviderRunId("at-run-1")


class ReviewRules:
    """`SubmissionQueue.require_review`, and the three decisions that end a review."""

    def in_review(self, store: PersistenceHarness, *, prepared: str | None = None) -> None:
        claim = store.claimed("run-1").claim
        with store.units() as unit:
            if prepared:
                unit.submissions.record_drafts({claim: ProviderRunId(prepared)})
            unit.submissions.require_review(claim, reason="nobody can tell")
            unit.commit()

    def test_a_run_that_needs_review_has_its_reason_and_is_not_claimed(self, store: PersistenceHarness) -> None:
        self.in_review(store)
        store.let_pass(HOUR)

        record = store.queries.get(RUN)

        assert (record.submission, record.last_reason) == (SubmissionState.REVIEW, "nobody can tell")
        assert store.claim(ME) == store.claim(OTHER) == []

    def test_a_run_that_needs_review_counts_for_the_limit_because_it_may_be_running(
        self, store: PersistenceHarness
    ) -> None:
        self.in_review(store)
        store.queue("run-2")
        store.enrol()

        assert store.claim(concurrency_limit=1) == []
        assert ids_of(store.claim(concurrency_limit=2)) == ["run-2"]

    def test_only_the_owner_of_the_claim_can_put_a_run_in_review(self, store: PersistenceHarness) -> None:
        claim = store.claimed("run-1", OTHER).claim
        store.let_pass(2 * MINUTE)
        store.claim(ME)

        with store.units() as unit, pytest.raises(ClaimLost):
            unit.submissions.require_review(claim, reason="nobody can tell")

    def test_an_adopted_run_is_followed(self, store: PersistenceHarness) -> None:
        self.in_review(store)

        with store.units() as unit:
            provider = unit.submissions.adopt(RUN, THERE, first_poll_after=0 * SECOND)
            unit.commit()

        [due] = store.due()
        assert provider == ProviderType.LOCAL
        assert (due.run_id, due.provider, due.provider_run_id) == (RUN, ProviderType.LOCAL, THERE)
        assert store.queries.get(RUN).submission is SubmissionState.ACCEPTED

    def test_the_provider_run_of_another_run_is_not_adopted(self, store: PersistenceHarness) -> None:
        store.accepted("run-2")
        self.in_review(store)

        with store.units() as unit, pytest.raises(NotInReview, match="belongs to"):
            unit.submissions.adopt(RUN, ProviderRunId("at-run-2"), first_poll_after=0 * SECOND)

    def test_a_run_that_is_sent_again_is_in_doubt_from_now_on(self, store: PersistenceHarness) -> None:
        self.in_review(store)
        store.let_pass(HOUR)

        with store.units() as unit:
            unit.submissions.send_again(RUN)
            unit.commit()

        [claimed] = store.claim()
        assert (claimed.claim.resumed, claimed.attempts, claimed.failing_for) == (True, 0, 0 * SECOND)
        assert claimed.in_doubt_for < MINUTE

    def test_a_prepared_run_is_sent_again_with_its_draft(self, store: PersistenceHarness) -> None:
        self.in_review(store, prepared="draft-1")

        with store.units() as unit:
            unit.submissions.send_again(RUN)
            unit.commit()

        [claimed] = store.claim()
        assert (claimed.prepared_id, claimed.claim.resumed) == ("draft-1", True)

    def test_a_run_that_is_given_up_is_closed_and_does_not_count_for_the_limit(self, store: PersistenceHarness) -> None:
        self.in_review(store)
        store.queue("run-2")
        store.enrol()

        with store.units() as unit:
            unit.submissions.give_up(RUN, reason="it is not there")
            unit.commit()

        record = store.queries.get(RUN)
        assert (record.submission, record.last_reason) == (SubmissionState.CLOSED, "it is not there")
        assert ids_of(store.claim(concurrency_limit=1)) == ["run-2"]

    @pytest.mark.parametrize(
        "resolve",
        [
            lambda unit: unit.submissions.adopt(RUN, THERE, first_poll_after=0 * SECOND),
            lambda unit: unit.submissions.send_again(RUN),
            lambda unit: unit.submissions.give_up(RUN, reason="it is not there"),
        ],
        ids=["adopt", "send again", "give up"],
    )
    def test_a_run_that_does_not_need_review_takes_no_decision(
        self, store: PersistenceHarness, resolve: Callable[[UnitOfWork], object]
    ) -> None:
        store.claimed("run-1")

        with store.units() as unit, pytest.raises(NotInReview, match="does not need review"):
            resolve(unit)

    def test_a_run_whose_row_was_deleted_while_in_doubt_needs_review(self, store: PersistenceHarness) -> None:
        store.claimed("run-1", OTHER)
        store.remove("run-1")
        store.let_pass(2 * MINUTE)

        assert store.claim(ME) == []
        with store.units() as unit:
            unit.submissions.give_up(RUN, reason="it is not there")
            unit.commit()
