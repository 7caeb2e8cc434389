"""What every work probe promises. A child gives a fixture `probed` over a fresh store."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import pytest

from tests.builders import ALL_DESTINATIONS, ALL_PROVIDERS, NOON
from tests.busy_day import BusyDay
from tests.contracts.persistence_harness import (
    HOUR,
    ME,
    MINUTE,
    OTHER,
    SECOND,
    PersistenceHarness,
    ServiceRow,
    all_but,
    destination,
)
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.application.ports.work_probe import WorkProbe
from wes_daemon.domain.runs import ProviderType, RunId, RunSummary
from wes_daemon.domain.states import RunState

LOCAL, CLOUD = ProviderType.LOCAL, ProviderType.SEVENBRIDGES
HELD_ELSEWHERE = '{"provider_type": "local", "provider_id": "held-elsewhere"}'


@dataclass(frozen=True)
class ProbedStore:
    """A store, and the work probe on it."""

    store: PersistenceHarness
    work_probe: WorkProbe

    def found(self, *, serving: Collection[ProviderType | None] = ALL_DESTINATIONS, owner: SessionId = ME) -> set[str]:
        """The kinds of work that the probe finds."""
        providers = [provider for provider in serving if provider is not None]
        answers: Iterable[tuple[str, bool]] = (
            ("queued", self.work_probe.has_queued_runs(destination, serving=serving)),
            ("takeover", self.work_probe.has_takeovers(owner, serving=serving)),
            ("adoptable", self.work_probe.has_runs_to_adopt()),
            ("cancelling", self.work_probe.has_cancelled_runs(serving=providers)),
            ("overruled", self.work_probe.has_runs_ended_elsewhere(serving=providers)),
            ("due", self.work_probe.has_due_polls(serving=providers)),
        )
        return {kind for kind, is_there in answers if is_there}

    def must_not_overlook(self) -> None:
        """The probe finds all work that a pass would find now."""
        self.store.keep_alive(ME)
        found = self.found()
        passes: Sequence[tuple[set[str], Callable[[UnitOfWork], object]]] = (
            ({"queued", "adoptable"}, lambda work: work.submissions.enrol(_local, limit=1)),
            ({"takeover"}, lambda work: _claimed(work, concurrency_limit=0)),
            ({"queued", "adoptable", "takeover"}, lambda work: _claimed(work, concurrency_limit=1000)),
            ({"cancelling", "overruled"}, _cancelled),
            ({"due"}, _due),
        )
        for kinds, act in passes:
            if not kinds & found and self._would(act):
                # A row may have become due after the probe. It stays due, so a second probe has to find it.
                assert kinds & self.found()

    def _would(self, act: Callable[[UnitOfWork], object]) -> object:
        """What it would find, undone."""
        with self.store.units() as work:
            return act(work)


class WorkProbeContract:
    """The rules of every work probe."""

    @pytest.fixture
    def probed(self) -> ProbedStore:
        """A work probe on a store of its own."""
        raise NotImplementedError

    def test_whatever_passes_would_find_on_a_busy_day_is_on_it(self, probed: ProbedStore) -> None:
        BusyDay(probed.store, probed.must_not_overlook, NOON).pass_by()

    # nothing to do

    def test_an_empty_store_has_nothing_to_do(self, probed: ProbedStore) -> None:
        assert probed.found() == set()

    def test_runs_that_are_followed_and_not_due_are_nothing_to_do(self, probed: ProbedStore) -> None:
        probed.store.accepted("run-1", "run-2")
        probed.store.due(lease=HOUR)

        assert probed.found() == set()

    def test_runs_that_have_ended_are_nothing_to_do(self, probed: ProbedStore) -> None:
        _finish(probed.store, "run-1")
        probed.store.move("run-1", RunState.COMPLETE)

        assert probed.found() == set()

    def test_what_a_living_daemon_submits_is_nothing_to_do_for_another(self, probed: ProbedStore) -> None:
        probed.store.claimed("run-1", OTHER)

        assert probed.found() == set()

    def test_what_waits_for_its_time_is_nothing_to_do_until_then(self, probed: ProbedStore) -> None:
        claim = probed.store.claimed("run-1").claim
        with probed.store.units() as work:
            work.submissions.defer(claim, wait=MINUTE, reason="throttled")
            work.commit()

        before = probed.found()
        probed.store.let_pass(2 * MINUTE)

        assert (before, probed.found()) == (set(), {"queued"})

    def test_a_run_in_review_is_nothing_to_do(self, probed: ProbedStore) -> None:
        claim = probed.store.claimed("run-1").claim
        with probed.store.units() as work:
            work.submissions.require_review(claim, reason="nobody knows")
            work.commit()

        assert probed.found() == set()

    # to submit

    def test_a_row_that_a_service_has_queued_is_seen_by_whoever_serves_its_provider(self, probed: ProbedStore) -> None:
        probed.store.queue("run-1")

        assert probed.found(serving=all_but(CLOUD)) == {"queued"}
        assert probed.found(serving=all_but(LOCAL)) == set()

    def test_many_rows_that_a_service_has_queued_are_seen(self, probed: ProbedStore) -> None:
        probed.store.queue(*(f"run-{number}" for number in range(50)))
        probed.store.put(ServiceRow(run_id="run-z", tags='{"provider_type": "sevenbridges"}'))

        assert probed.found() == probed.found(serving=all_but(LOCAL)) == {"queued"}
        assert probed.found(serving=all_but(CLOUD)) == {"queued"}

    def test_an_enrolled_run_is_seen_by_whoever_serves_its_provider(self, probed: ProbedStore) -> None:
        probed.store.queue("run-1")
        probed.store.enrol()

        assert probed.found(serving=all_but(CLOUD)) == {"queued"}
        assert probed.found(serving=all_but(LOCAL)) == set()

    def test_a_run_whose_provider_cannot_be_told_is_seen_by_whoever_serves_those(self, probed: ProbedStore) -> None:
        probed.store.put(ServiceRow(run_id="run-1", tags='{"provider_type": "no where"}'))
        probed.store.enrol()

        assert probed.found(serving=all_but(LOCAL)) == {"queued"}
        assert probed.found(serving=all_but(None)) == set()

    def test_a_submission_whose_daemon_has_died_is_left_behind(self, probed: ProbedStore) -> None:
        probed.store.claimed("run-1", OTHER)
        probed.store.forget(OTHER)

        assert probed.found() == {"takeover"}
        assert probed.found(serving=all_but(LOCAL)) == set()

    def test_a_submission_of_our_own_is_left_behind_between_two_passes(self, probed: ProbedStore) -> None:
        probed.store.claimed("run-1", ME)

        assert probed.found(owner=ME) == {"takeover"}
        assert probed.found(owner=OTHER) == set()

    def test_a_doubt_is_left_behind_when_its_time_has_come(self, probed: ProbedStore) -> None:
        claim = probed.store.claimed("run-1", ME).claim
        with probed.store.units() as work:
            work.submissions.mark_in_doubt(claim, wait=MINUTE, reason="no answer")
            work.commit()

        before = probed.found()
        probed.store.let_pass(2 * MINUTE)

        assert (before, probed.found()) == (set(), {"takeover"})

    def test_a_run_that_has_ended_and_is_queued_again_is_seen(self, probed: ProbedStore) -> None:
        _finish(probed.store, "run-1")

        probed.store.move("run-1", RunState.QUEUED)

        assert probed.found() == {"queued"}

    # to follow

    @pytest.mark.parametrize("state", ["INITIALIZING", "RUNNING", "PAUSED", "CANCELING"])
    def test_a_run_that_another_daemon_has_left_at_a_provider_is_seen(self, probed: ProbedStore, state: str) -> None:
        probed.store.put(ServiceRow(run_id="run-1", state=state, tags=HELD_ELSEWHERE))

        assert probed.found() == {"adoptable"}

    @pytest.mark.parametrize("state", [RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED, RunState.CANCELING])
    def test_a_run_that_has_ended_and_is_made_active_again_is_seen(self, probed: ProbedStore, state: RunState) -> None:
        _finish(probed.store, "run-1")

        probed.store.move("run-1", state)

        assert probed.found() == {"adoptable"}

    def test_a_run_that_is_due_is_seen_by_whoever_serves_its_provider(self, probed: ProbedStore) -> None:
        probed.store.accepted("run-1")

        assert probed.found() == {"due"}
        assert probed.found(serving=all_but(LOCAL)) == set()

    def test_a_run_that_somebody_asks_for_is_not_due_as_long_as_it_is_held(self, probed: ProbedStore) -> None:
        probed.store.polled("run-1")

        before = probed.found()
        probed.store.let_pass(2 * MINUTE)

        assert (before, probed.found()) == (set(), {"due"})

    # to cancel

    def test_a_run_that_nobody_had_and_is_cancelled_is_seen(self, probed: ProbedStore) -> None:
        probed.store.queue("run-1", "run-2")
        probed.store.enrol()
        probed.store.claim(limit=1)
        probed.store.put(ServiceRow(run_id="never-seen", state="CANCELING"))
        one = probed.found(owner=OTHER)
        probed.store.move("run-2", RunState.CANCELING)

        assert (one, probed.found(owner=OTHER)) == ({"queued", "cancelling"}, {"cancelling"})

    def test_a_run_that_a_provider_works_on_and_is_cancelled_is_seen_until_that_was_told(
        self, probed: ProbedStore
    ) -> None:
        probed.store.polled("run-1")
        probed.store.move("run-1", RunState.CANCELING)

        before = probed.found()
        elsewhere = probed.found(serving=all_but(LOCAL))
        with probed.store.units() as work:
            work.polls.to_cancel(limit=1, lease=HOUR, serving=ALL_PROVIDERS)
            work.commit()

        assert (before, elsewhere) == ({"cancelling"}, set())
        assert "cancelling" not in probed.found()

    def test_a_run_that_waits_and_was_ended_or_deleted_by_its_service_is_seen(self, probed: ProbedStore) -> None:
        acts: list[Callable[[], None]] = [
            lambda: probed.store.move("run-1", RunState.CANCELED),
            lambda: probed.store.remove("run-2"),
        ]
        for act in acts:
            probed.store.queue("run-1", "run-2")
            probed.store.enrol()
            act()

            assert "overruled" in probed.found()
            with probed.store.units() as work:
                work.submissions.close_withdrawn(limit=10)
                work.commit()
            assert "overruled" not in probed.found()

    def test_a_run_that_a_provider_works_on_and_its_service_has_ended_is_seen(self, probed: ProbedStore) -> None:
        probed.store.polled("run-1")

        probed.store.move("run-1", RunState.SYSTEM_ERROR)

        assert probed.found() == {"overruled"}
        assert probed.found(serving=all_but(LOCAL)) == set()

    @pytest.mark.parametrize("act", ["end", "delete"])
    def test_a_followed_run_that_its_service_has_ended_or_deleted_is_found_without_reading_those_that_wait(
        self, probed: ProbedStore, act: str
    ) -> None:
        probed.store.polled("run-1")
        probed.store.queue("run-2")
        probed.store.enrol()
        probed.store.remove("run-2")
        before = probed.work_probe.has_interrupted_runs(serving=ALL_PROVIDERS)

        if act == "end":
            probed.store.move("run-1", RunState.CANCELED)
        else:
            probed.store.remove("run-1")

        assert not before
        assert probed.work_probe.has_interrupted_runs(serving=[LOCAL])
        assert not probed.work_probe.has_interrupted_runs(serving=[CLOUD])

    def test_a_followed_run_that_its_service_has_deleted_is_seen_until_its_provider_was_told(
        self, probed: ProbedStore
    ) -> None:
        probed.store.polled("run-1")
        probed.store.remove("run-1")

        before = probed.found()
        with probed.store.units() as work:
            work.polls.cancel_deleted([RunId("run-1")])
            work.commit()
        decided = probed.found()
        with probed.store.units() as work:
            work.polls.to_cancel(limit=1, lease=HOUR, serving=ALL_PROVIDERS)
            work.commit()

        assert before == decided == {"overruled"}
        assert "overruled" not in probed.found()

    def test_a_kept_run_is_nothing_to_do_until_its_row_exists_again(self, probed: ProbedStore) -> None:
        probed.store.polled("run-1")
        row = probed.store.row("run-1")
        probed.store.remove("run-1")
        with probed.store.units() as work:
            work.polls.keep_deleted([RunId("run-1")])
            work.commit()

        kept = probed.found()
        probed.store.put(row)

        assert (kept, probed.found()) == (set(), {"overruled"})

    def test_a_run_that_only_waits_for_its_details_is_not_cancelled(self, probed: ProbedStore) -> None:
        poll = probed.store.polled("run-1")
        with probed.store.units() as work:
            work.polls.record_missing_details(poll, RunState.COMPLETE, delay=HOUR)
            work.commit()
        probed.store.move("run-1", RunState.CANCELING)

        assert probed.found() == set()


def _finish(store: PersistenceHarness, run_id: str) -> None:
    poll = store.polled(run_id)
    with store.units() as work:
        work.polls.finish([poll])
        work.commit()


def _local(run: RunSummary) -> ProviderType:
    del run
    return LOCAL


def _claimed(work: UnitOfWork, *, concurrency_limit: int) -> object:
    return work.submissions.claim(
        ME, limit=1, concurrency_limit=concurrency_limit, serving=ALL_DESTINATIONS, destination=_local
    )


def _cancelled(work: UnitOfWork) -> object:
    return (
        work.submissions.close_withdrawn(limit=1)
        or work.polls.to_cancel(limit=1, lease=MINUTE, serving=ALL_PROVIDERS)
        or work.polls.deleted()
    )


def _due(work: UnitOfWork) -> object:
    return work.polls.lease_due(
        limit=1, ahead=0 * SECOND, lease=MINUTE, not_leased_for=0 * SECOND, serving=ALL_PROVIDERS
    )
