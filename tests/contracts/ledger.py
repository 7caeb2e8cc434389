"""What every ledger owes the core. A child gives a fixture `books` over a fresh store."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.contracts.persistence_harness import ME, OTHER, SECOND, PersistenceHarness, Race
from wes_daemon.application.ports.errors import ClaimLost
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.ledger import Entry, Ledger, Mendings
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState

A_PERSON = SessionId("a-person")
FOUND = ProviderRunId("found-1")
LOCAL = ProviderType.LOCAL


@dataclass(frozen=True)
class Books:
    """A store, and the ledger on it."""

    store: PersistenceHarness
    ledger: Ledger
    mendings: Mendings

    def entry(self, run_id: str = "run-1") -> Entry:
        """What is known of one run."""
        return self.ledger.entries([RunId(run_id)])[RunId(run_id)]

    def adopt(self, run_id: str = "run-1", id: ProviderRunId = FOUND) -> None:
        """Take a run and record who has it."""
        with self.mendings() as work:
            claim = work.take(RunId(run_id), A_PERSON, LOCAL)
            work.submissions.accepted(claim, LOCAL, id, check_after=0 * SECOND)
            work.commit()

    def hasten(self, run_id: str, id: str) -> bool:
        """Make a run due."""
        with self.mendings() as work:
            done = work.hasten(RunId(run_id), ProviderRunId(id))
            work.commit()
        return done

    def followed(self, provider: ProviderType = LOCAL, *, after: str | None = None, limit: int = 10) -> Sequence[str]:
        """Which runs are followed."""
        found = self.ledger.followed(provider, after=RunId(after) if after else None, limit=limit)
        return [run.run_id for run in found]


class LedgerContract:
    """The suite."""

    @pytest.fixture
    def books(self) -> Books:
        """A ledger on a store of its own."""
        raise NotImplementedError

    # what is known of a run

    def test_a_run_of_which_nothing_is_known_is_absent(self, books: Books) -> None:
        assert books.ledger.entries([RunId("run-1"), RunId("ü~ 'x")]) == {}
        assert books.ledger.entries([]) == {}

    def test_a_row_that_no_daemon_has_seen_may_yet_be_sent(self, books: Books) -> None:
        books.store.queue("run-1")

        assert books.entry() == Entry(run_id=RunId("run-1"), state=RunState.QUEUED)
        assert books.entry().is_open

    def test_a_run_that_waits_is_open(self, books: Books) -> None:
        books.store.queue("run-1")
        books.store.enrol()

        assert (books.entry().submission, books.entry().is_claimed) == (SubmissionState.READY, False)
        assert books.entry().is_open

    def test_a_run_is_claimed_as_long_as_its_daemon_lives(self, books: Books) -> None:
        books.store.claimed()
        while_it_lives = books.entry()
        books.store.forget(ME)

        assert while_it_lives.is_claimed
        assert not books.entry().is_claimed
        assert books.entry().is_open

    def test_what_is_prepared_is_told(self, books: Books) -> None:
        claim = books.store.claimed().claim
        with books.store.units() as work:
            work.submissions.prepared(claim, ProviderRunId("draft-1"))
            work.commit()

        assert books.entry().prepared_id == "draft-1"
        assert books.entry().may_start(ProviderRunId("draft-1"))
        assert not books.entry().may_start(ProviderRunId("draft-2"))

    def test_an_accepted_run_is_held_and_not_open(self, books: Books) -> None:
        books.store.accepted("run-1")

        assert (books.entry().provider, books.entry().provider_run_id) == (LOCAL, "at-run-1")
        assert not books.entry().is_open

    def test_a_deleted_row_leaves_what_the_daemon_knows(self, books: Books) -> None:
        books.store.accepted("run-1")
        books.store.remove("run-1")

        assert (books.entry().state, books.entry().provider_run_id) == (None, "at-run-1")

    # who holds what

    def test_holders_are_told_by_the_providers_own_ids(self, books: Books) -> None:
        books.store.accepted("run-1", "run-2")
        ids = [ProviderRunId(id) for id in ("at-run-1", "at-run-2", "at-run-3")]

        assert books.ledger.holders(LOCAL, ids) == {"at-run-1": "run-1", "at-run-2": "run-2"}
        assert books.ledger.holders(ProviderType.HEALTHOMICS, ids) == {}
        assert books.ledger.holders(LOCAL, []) == {}

    def test_a_run_that_has_ended_is_still_held(self, books: Books) -> None:
        poll = books.store.polled()
        with books.store.units() as work:
            work.polls.finish([poll])
            work.commit()

        assert books.ledger.holders(LOCAL, [ProviderRunId("at-run-1")]) == {"at-run-1": "run-1"}

    def test_a_provider_is_used_once_it_has_held_a_run(self, books: Books) -> None:
        books.store.queue("run-0")
        books.store.enrol()
        before = books.ledger.has_used(LOCAL)
        books.store.accepted("run-1")

        assert not before
        assert books.ledger.has_used(LOCAL)
        assert not books.ledger.has_used(ProviderType.SEVENBRIDGES)

    # who is followed

    def test_followed_runs_are_told_in_parts(self, books: Books) -> None:
        books.store.accepted("run-2", "run-1", "run-3")

        assert books.followed(limit=2) == ["run-1", "run-2"]
        assert books.followed(after="run-2") == ["run-3"]
        assert books.followed(ProviderType.HEALTHOMICS) == []

    def test_a_run_that_only_waits_for_its_details_is_followed_no_more(self, books: Books) -> None:
        poll = books.store.polled()
        with books.store.units() as work:
            work.polls.record_missing_details(poll, RunState.COMPLETE, delay=SECOND)
            work.commit()

        assert books.followed() == []

    def test_a_followed_run_tells_both_states(self, books: Books) -> None:
        books.store.accepted("run-1")
        books.store.move("run-1", RunState.CANCELING)

        [run] = books.ledger.followed(LOCAL, after=None, limit=1)

        assert (run.provider_run_id, run.state, run.known_state) == (
            "at-run-1",
            RunState.CANCELING,
            RunState.INITIALIZING,
        )

    # take

    @pytest.mark.parametrize("is_enrolled", [True, False])
    def test_a_waiting_run_can_be_taken_and_recorded(self, books: Books, is_enrolled: bool) -> None:
        books.store.queue("run-1")
        if is_enrolled:
            books.store.enrol()

        books.adopt()

        assert (books.entry().submission, books.entry().provider_run_id) == (SubmissionState.ACCEPTED, FOUND)
        assert [due.provider_run_id for due in books.store.due()] == [FOUND]
        assert books.store.claim() == []

    def test_a_run_whose_daemon_has_died_can_be_taken_and_the_dead_is_fenced_off(self, books: Books) -> None:
        claim = books.store.claimed().claim
        books.store.forget(ME)

        books.adopt()

        with books.store.units() as work, pytest.raises(ClaimLost):
            work.submissions.prepared(claim, ProviderRunId("draft-1"))
        assert books.entry().provider_run_id == FOUND

    def test_a_run_in_review_can_be_taken(self, books: Books) -> None:
        claim = books.store.claimed().claim
        with books.store.units() as work:
            work.submissions.review(claim, reason="nobody can tell")
            work.commit()

        books.adopt()

        assert books.entry().provider_run_id == FOUND

    def test_a_run_that_a_living_daemon_works_on_cannot_be_taken(self, books: Books) -> None:
        books.store.claimed(owner=OTHER)

        with pytest.raises(ClaimLost, match="run-1"):
            books.adopt()

        assert books.entry().is_claimed

    def test_a_run_that_a_provider_has_cannot_be_taken(self, books: Books) -> None:
        books.store.accepted("run-1")

        with pytest.raises(ClaimLost):
            books.adopt()

    def test_what_is_no_run_or_has_ended_cannot_be_taken(self, books: Books) -> None:
        books.store.queue("run-2")
        books.store.move("run-2", RunState.SYSTEM_ERROR)

        for run_id in ("run-1", "run-2"):
            with pytest.raises(ClaimLost):
                books.adopt(run_id)

    def test_a_take_that_is_not_committed_leaves_nothing(self, books: Books) -> None:
        books.store.queue("run-1")

        with books.mendings() as work:
            work.take(RunId("run-1"), A_PERSON, LOCAL)

        assert books.entry().submission is None

    def test_of_two_who_take_at_once_one_has_the_run(self, books: Books) -> None:
        books.store.queue("run-1")
        books.store.enrol()
        race, lost = Race(2, books.store.moment), []

        def take(number: int) -> None:
            try:
                with books.mendings() as work:
                    claim = work.take(RunId("run-1"), SessionId(f"person-{number}"), LOCAL)
                    id = ProviderRunId(f"found-{number}")
                    work.submissions.accepted(claim, LOCAL, id, check_after=0 * SECOND)
                    race.together()
                    work.commit()
            except ClaimLost:
                lost.append(number)

        race.run(take)

        assert len(lost) == 1
        assert books.entry().provider_run_id == f"found-{1 - lost[0]}"

    # hasten

    def test_a_hastened_run_is_due_at_once(self, books: Books) -> None:
        poll = books.store.polled()
        with books.store.units() as work:
            work.polls.record_unchanged([poll], next_poll=lambda _: 3600 * SECOND)
            work.commit()
        before = books.store.due()

        assert books.hasten("run-1", "at-run-1")

        assert before == []
        assert [due.run_id for due in books.store.due()] == ["run-1"]

    def test_what_is_followed_under_another_id_or_not_at_all_is_not_hastened(self, books: Books) -> None:
        books.store.accepted("run-1")

        assert not books.hasten("run-1", "at-run-2")
        assert not books.hasten("run-2", "at-run-2")
