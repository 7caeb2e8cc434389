"""What every agenda owes the core. A child gives a fixture `book` over a fresh store."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import pytest

from tests.builders import ALL_PROVIDERS, NOON
from tests.busy_day import BusyDay
from tests.contracts.persistence_harness import (
    HOUR,
    ME,
    MINUTE,
    OTHER,
    SECOND,
    PersistenceHarness,
    ServiceRow,
    destination,
)
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.application.ports.work_probe import WorkProbe
from wes_daemon.domain.runs import ProviderType, RunSummary
from wes_daemon.domain.states import RunState

LOCAL, CLOUD = ProviderType.LOCAL, ProviderType.SEVENBRIDGES
HELD_ELSEWHERE = '{"provider_type": "local", "provider_id": "held-elsewhere"}'


@dataclass(frozen=True)
class Book:
    """A store, and the agenda on it."""

    store: PersistenceHarness
    work_probe: WorkProbe

    def says(self, *, excluding: Collection[ProviderType | None] = (), owner: SessionId = ME) -> set[str]:
        """What there is to do."""
        providers = [provider for provider in excluding if provider is not None]
        looks: Iterable[tuple[str, bool]] = (
            ("queued", self.work_probe.is_queued(destination, excluding=excluding)),
            ("left behind", self.work_probe.has_takeovers(owner, excluding=excluding)),
            ("adoptable", self.work_probe.has_runs_to_adopt()),
            ("cancelling", self.work_probe.has_cancelled_runs(excluding=providers)),
            ("overruled", self.work_probe.has_runs_ended_elsewhere(excluding=providers)),
            ("due", self.work_probe.is_due(excluding=providers)),
        )
        return {what for what, is_there in looks if is_there}

    def must_not_overlook(self) -> None:
        """Whatever a pass would find now, the agenda knows."""
        says = self.says()
        assert {"queued", "adoptable"} & says or not self._would(lambda work: work.submissions.enrol(_local, limit=1))
        assert "left behind" in says or not self._would(lambda work: _claimed(work, cap=0))
        assert {"queued", "adoptable", "left behind"} & says or not self._would(lambda work: _claimed(work, cap=1000))
        assert {"cancelling", "overruled"} & says or not self._would(_cancelled)
        assert "due" in says or not self._would(_due)

    def _would(self, act: Callable[[UnitOfWork], object]) -> object:
        """What it would find, undone."""
        self.store.keep_alive(ME)
        with self.store.units() as work:
            return act(work)


class WorkProbeContract:
    """The suite."""

    @pytest.fixture
    def book(self) -> Book:
        """An agenda on a store of its own."""
        raise NotImplementedError

    def test_whatever_passes_would_find_on_a_busy_day_is_on_it(self, book: Book) -> None:
        BusyDay(book.store, book.must_not_overlook, NOON).pass_by()

    # nothing to do

    def test_an_empty_store_has_nothing_to_do(self, book: Book) -> None:
        assert book.says() == set()

    def test_runs_that_are_followed_and_not_due_are_nothing_to_do(self, book: Book) -> None:
        book.store.accepted("run-1", "run-2")
        book.store.due(lease=HOUR)

        assert book.says() == set()

    def test_runs_that_have_ended_are_nothing_to_do(self, book: Book) -> None:
        _finish(book.store, "run-1")
        book.store.move("run-1", RunState.COMPLETE)

        assert book.says() == set()

    def test_what_a_living_daemon_submits_is_nothing_to_do_for_another(self, book: Book) -> None:
        book.store.claimed("run-1", OTHER)

        assert book.says() == set()

    def test_what_waits_for_its_time_is_nothing_to_do_until_then(self, book: Book) -> None:
        claim = book.store.claimed("run-1").claim
        with book.store.units() as work:
            work.submissions.deferred(claim, wait=MINUTE, reason="throttled")
            work.commit()

        before = book.says()
        book.store.let_pass(2 * MINUTE)

        assert (before, book.says()) == (set(), {"queued"})

    def test_a_run_in_review_is_nothing_to_do(self, book: Book) -> None:
        claim = book.store.claimed("run-1").claim
        with book.store.units() as work:
            work.submissions.review(claim, reason="nobody knows")
            work.commit()

        assert book.says() == set()

    # to submit

    def test_a_row_that_a_service_has_queued_is_seen_by_whoever_serves_its_provider(self, book: Book) -> None:
        book.store.queue("run-1")

        assert book.says(excluding=[CLOUD]) == {"queued"}
        assert book.says(excluding=[LOCAL]) == set()

    def test_many_rows_that_a_service_has_queued_are_seen(self, book: Book) -> None:
        book.store.queue(*(f"run-{number}" for number in range(50)))
        book.store.put(ServiceRow(run_id="run-z", tags='{"provider_type": "sevenbridges"}'))

        assert book.says() == book.says(excluding=[LOCAL]) == {"queued"}
        assert book.says(excluding=[CLOUD]) == {"queued"}

    def test_an_enrolled_run_is_seen_by_whoever_serves_its_provider(self, book: Book) -> None:
        book.store.queue("run-1")
        book.store.enrol()

        assert book.says(excluding=[CLOUD]) == {"queued"}
        assert book.says(excluding=[LOCAL]) == set()

    def test_a_run_whose_provider_cannot_be_told_is_seen_by_whoever_serves_those(self, book: Book) -> None:
        book.store.put(ServiceRow(run_id="run-1", tags='{"provider_type": "nowhere"}'))
        book.store.enrol()

        assert book.says(excluding=[LOCAL]) == {"queued"}
        assert book.says(excluding=[None]) == set()

    def test_a_submission_whose_daemon_has_died_is_left_behind(self, book: Book) -> None:
        book.store.claimed("run-1", OTHER)
        book.store.forget(OTHER)

        assert book.says() == {"left behind"}
        assert book.says(excluding=[LOCAL]) == set()

    def test_a_submission_of_our_own_is_left_behind_between_two_passes(self, book: Book) -> None:
        book.store.claimed("run-1", ME)

        assert book.says(owner=ME) == {"left behind"}
        assert book.says(owner=OTHER) == set()

    def test_a_doubt_is_left_behind_when_its_time_has_come(self, book: Book) -> None:
        claim = book.store.claimed("run-1", ME).claim
        with book.store.units() as work:
            work.submissions.unresolved(claim, wait=MINUTE, reason="no answer")
            work.commit()

        before = book.says()
        book.store.let_pass(2 * MINUTE)

        assert (before, book.says()) == (set(), {"left behind"})

    def test_a_run_that_has_ended_and_is_queued_again_is_seen(self, book: Book) -> None:
        _finish(book.store, "run-1")

        book.store.move("run-1", RunState.QUEUED)

        assert book.says() == {"queued"}

    # to follow

    @pytest.mark.parametrize("state", ["INITIALIZING", "RUNNING", "PAUSED", "CANCELING"])
    def test_a_run_that_another_daemon_has_left_at_a_provider_is_seen(self, book: Book, state: str) -> None:
        book.store.put(ServiceRow(run_id="run-1", state=state, tags=HELD_ELSEWHERE))

        assert book.says() == {"adoptable"}

    @pytest.mark.parametrize("state", [RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED, RunState.CANCELING])
    def test_a_run_that_has_ended_and_is_made_active_again_is_seen(self, book: Book, state: RunState) -> None:
        _finish(book.store, "run-1")

        book.store.move("run-1", state)

        assert book.says() == {"adoptable"}

    def test_a_run_that_is_due_is_seen_by_whoever_serves_its_provider(self, book: Book) -> None:
        book.store.accepted("run-1")

        assert book.says() == {"due"}
        assert book.says(excluding=[LOCAL]) == set()

    def test_a_run_that_somebody_asks_for_is_not_due_as_long_as_it_is_held(self, book: Book) -> None:
        book.store.polled("run-1")

        before = book.says()
        book.store.let_pass(2 * MINUTE)

        assert (before, book.says()) == (set(), {"due"})

    # to cancel

    def test_a_run_that_nobody_had_and_is_cancelled_is_seen(self, book: Book) -> None:
        book.store.queue("run-1", "run-2")
        book.store.enrol()
        book.store.claim(limit=1)
        book.store.put(ServiceRow(run_id="never-seen", state="CANCELING"))
        one = book.says(owner=OTHER)
        book.store.move("run-2", RunState.CANCELING)

        assert (one, book.says(owner=OTHER)) == ({"queued", "cancelling"}, {"cancelling"})

    def test_a_run_that_a_provider_works_on_and_is_cancelled_is_read_until_that_was_told(self, book: Book) -> None:
        book.store.polled("run-1")
        book.store.move("run-1", RunState.CANCELING)

        before = book.says()
        elsewhere = book.says(excluding=[LOCAL])
        with book.store.units() as work:
            work.polls.to_cancel(limit=1, lease=HOUR, serving=ALL_PROVIDERS)
            work.commit()

        assert (before, elsewhere) == ({"cancelling"}, set())
        assert "cancelling" not in book.says()

    def test_a_run_that_waits_and_was_ended_or_deleted_by_its_service_is_seen(self, book: Book) -> None:
        acts: list[Callable[[], None]] = [
            lambda: book.store.move("run-1", RunState.CANCELED),
            lambda: book.store.remove("run-2"),
        ]
        for act in acts:
            book.store.queue("run-1", "run-2")
            book.store.enrol()
            act()

            assert "overruled" in book.says()
            with book.store.units() as work:
                work.submissions.withdrawn(limit=10)
                work.commit()
            assert "overruled" not in book.says()

    def test_a_run_that_a_provider_works_on_and_its_service_has_ended_is_seen(self, book: Book) -> None:
        book.store.polled("run-1")

        book.store.move("run-1", RunState.SYSTEM_ERROR)

        assert book.says() == {"overruled"}
        assert book.says(excluding=[LOCAL]) == set()

    def test_a_run_that_only_waits_for_its_details_is_not_cancelled(self, book: Book) -> None:
        poll = book.store.polled("run-1")
        with book.store.units() as work:
            work.polls.record_missing_details(poll, RunState.COMPLETE, delay=HOUR)
            work.commit()
        book.store.move("run-1", RunState.CANCELING)

        assert book.says() == set()


def _finish(store: PersistenceHarness, run_id: str) -> None:
    poll = store.polled(run_id)
    with store.units() as work:
        work.polls.finish([poll])
        work.commit()


def _local(run: RunSummary) -> ProviderType:
    del run
    return LOCAL


def _claimed(work: UnitOfWork, *, cap: int) -> object:
    return work.submissions.claim(ME, limit=1, cap=cap, excluding=(), destination=_local)


def _cancelled(work: UnitOfWork) -> object:
    return work.submissions.withdrawn(limit=1) or work.polls.to_cancel(limit=1, lease=MINUTE, serving=ALL_PROVIDERS)


def _due(work: UnitOfWork) -> object:
    return work.polls.lease_due(
        limit=1, ahead=0 * SECOND, lease=MINUTE, not_leased_for=0 * SECOND, serving=ALL_PROVIDERS
    )
