"""Since when the queue is watched: which runs cannot be much older than their enrolment."""

from datetime import timedelta

import pytest

from tests.builders import a_run
from tests.contracts.persistence_harness import HOUR, ME, MINUTE, OTHER, SECOND, PersistenceHarness, ServiceRow
from wes_daemon.application.ports.leases import LONGEST_GAP
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.domain.runs import RunId
from wes_daemon.domain.states import RunState


class WatchRules:
    """`SubmissionQueue.watch`, and `ClaimedRun.is_watched`."""

    def test_a_run_that_was_enrolled_while_the_queue_was_watched_is_watched(self, store: PersistenceHarness) -> None:
        store.live(ME)
        assert self._watch(store)
        store.queue("run-1")
        store.enrol()

        [claimed] = store.claim()

        assert claimed.is_watched

    def test_a_run_is_not_watched_unless_the_queue_was(self, store: PersistenceHarness) -> None:
        store.live(ME)
        store.queue("run-1")
        store.enrol()

        [claimed] = store.claim()

        assert not claimed.is_watched

    def test_a_row_that_no_session_has_seen_yet_may_be_old(self, store: PersistenceHarness) -> None:
        store.queue("run-1")
        store.live(ME)

        assert not self._watch(store)

        store.enrol()
        store.let_pass(SECOND)
        assert self._watch(store)
        assert not store.claim()[0].is_watched

    def test_a_run_that_was_enrolled_a_moment_before_the_watch_is_not_watched(self, store: PersistenceHarness) -> None:
        store.live(ME)
        store.queue("before")
        store.enrol()

        assert self._watch(store)

        store.let_pass(SECOND)
        store.queue("after")
        store.enrol()
        assert [claimed.is_watched for claimed in store.claim()] == [False, True]

    def test_new_rows_do_not_end_the_watch(self, store: PersistenceHarness) -> None:
        store.live(ME)
        self._watch(store)
        store.queue("run-1")

        assert self._watch(store)

    @pytest.mark.parametrize(("gap", "is_watched"), [(LONGEST_GAP - MINUTE, True), (LONGEST_GAP + MINUTE, False)])
    def test_a_long_time_without_a_session_ends_the_watch(
        self, store: PersistenceHarness, gap: timedelta, is_watched: bool
    ) -> None:
        store.live(ME, lasting=MINUTE)
        self._watch(store)
        store.queue("enrolled")
        store.enrol()
        store.let_pass(MINUTE + gap)
        store.queue("not-enrolled")

        store.live(OTHER)

        assert self._watch(store) is is_watched
        store.enrol()
        assert [claimed.is_watched for claimed in store.claim(OTHER)] == [is_watched, is_watched]

    def test_the_watch_goes_on_from_session_to_session(self, store: PersistenceHarness) -> None:
        store.live(ME, lasting=HOUR)
        self._watch(store)
        store.let_pass(HOUR / 2)
        store.live(OTHER, lasting=3 * HOUR)
        store.forget(ME)
        store.let_pass(2 * HOUR)
        store.queue("run-1")

        store.enrol()

        assert store.claim(OTHER)[0].is_watched

    def test_a_session_that_was_closed_lately_leaves_no_gap(self, store: PersistenceHarness) -> None:
        store.live(ME)
        self._watch(store)
        store.forget(ME)
        store.let_pass(LONGEST_GAP / 2)
        store.queue("run-1")

        store.live(OTHER)

        assert self._watch(store)

    @pytest.mark.parametrize(("age", "is_watched"), [(MINUTE, True), (LONGEST_GAP + MINUTE, False)])
    def test_a_row_that_was_queued_through_this_package_is_as_old_as_its_timeline(
        self, store: PersistenceHarness, age: timedelta, is_watched: bool
    ) -> None:
        run = a_run("run-1")
        entry = TimelineEntry(at=store.now() - age, before=None, after=run.state, by="ada", why="queued")
        with store.units() as unit:
            unit.runs.add(run, attachments=(), entry=entry)
            unit.commit()
        store.live(ME)

        assert self._watch(store) is is_watched

    def test_a_run_that_is_queued_again_keeps_the_time_of_its_first_enrolment(self, store: PersistenceHarness) -> None:
        store.live(ME, lasting=24 * HOUR)
        claim = store.claimed("run-1").claim
        with store.units() as unit:
            unit.submissions.close(claim, reason="given up")
            unit.commit()
        store.put(ServiceRow(run_id="run-1", state="SYSTEM_ERROR"))
        store.let_pass(HOUR)
        self._watch(store)
        store.move("run-1", RunState.QUEUED)
        store.enrol()

        [again] = store.claim()

        assert not again.is_watched
        assert HOUR <= again.waiting_for < 2 * HOUR
        assert again.run.id == RunId("run-1")

    def _watch(self, store: PersistenceHarness) -> bool:
        with store.units() as unit:
            is_watched = unit.submissions.watch()
            unit.commit()
        return is_watched
