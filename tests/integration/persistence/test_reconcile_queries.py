"""`ReconcileQueries` and `RepairUnit` on SQLite files and on PostgreSQL."""

from collections.abc import Sequence

import pytest

from tests.builders import ALL_PROVIDERS, NOON
from tests.contracts.persistence_harness import HOUR, ME, OTHER, SECOND, Race, ServiceRow
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.reconcile_queries import SqlReconcileQueries, SqlRepairUnits
from wes_daemon.application.ports.errors import ClaimLost
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.reconcile_queries import RecordedRun
from wes_daemon.application.ports.submissions import Acceptance, SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState

A_PERSON = SessionId("a-person")
FOUND = ProviderRunId("found-1")
LOCAL = ProviderType.LOCAL


class Reconciling:
    """A store, with the reads and writes of reconciliation on it."""

    def __init__(self, store: SqlHarness) -> None:
        self.store = store
        self.queries = SqlReconcileQueries(store.engine, known_providers=ALL_PROVIDERS)
        self.repair_units = SqlRepairUnits(store.engine)

    def record(self, run_id: str = "run-1") -> RecordedRun:
        """The record of one run."""
        return self.queries.recorded_runs([RunId(run_id)])[RunId(run_id)]

    def adopt(self, run_id: str = "run-1", id: ProviderRunId = FOUND) -> None:
        """Claim a run for repair, and record its provider run."""
        with self.repair_units() as work:
            claim = work.claim_for_repair(RunId(run_id), A_PERSON, LOCAL)
            work.submissions.record_acceptances(
                [Acceptance(claim=claim, provider=LOCAL, provider_run_id=id)], first_poll_after=0 * SECOND
            )
            work.commit()

    def make_due(self, run_id: str, id: str) -> bool:
        """Make a run due."""
        with self.repair_units() as work:
            done = work.make_due(RunId(run_id), ProviderRunId(id))
            work.commit()
        return done

    def inherit(self) -> None:
        """Let the first session of the database inherit what there is."""
        with self.store.units() as work:
            work.submissions.inherit()
            work.commit()

    def release(self, *run_ids: str) -> int:
        """Release inherited runs."""
        with self.repair_units() as work:
            released = work.release([RunId(id) for id in run_ids])
            work.commit()
        return released

    def release_ended(self) -> int:
        """Release the inherited runs that have ended."""
        with self.repair_units() as work:
            released = work.release_ended()
            work.commit()
        return released

    def unexplained(self) -> Sequence[tuple[str, bool]]:
        """The unexplained runs, and whether each was inherited."""
        return [(each.run.id, each.is_inherited) for each in self.queries.unexplained_runs()]

    def followed(self, provider: ProviderType = LOCAL, *, after: str | None = None, limit: int = 10) -> Sequence[str]:
        """The ids of followed runs."""
        runs = self.queries.followed_runs(provider, after=RunId(after) if after else None, limit=limit)
        return [run.run_id for run in runs]


@pytest.fixture
def on(store: SqlHarness) -> Reconciling:
    """Reconciliation on a store of its own."""
    return Reconciling(store)


class TestRecordedRuns:
    def test_an_unknown_run_is_absent(self, on: Reconciling) -> None:
        assert on.queries.recorded_runs([RunId("run-1"), RunId("ü~ 'x")]) == {}
        assert on.queries.recorded_runs([]) == {}

    def test_a_queued_run_that_is_not_enrolled_awaits_acceptance(self, on: Reconciling) -> None:
        on.store.queue("run-1")

        assert on.record() == RecordedRun(run_id=RunId("run-1"), state=RunState.QUEUED)
        assert on.record().awaits_acceptance

    def test_a_ready_run_awaits_acceptance(self, on: Reconciling) -> None:
        on.store.queue("run-1")
        on.store.enrol()

        assert (on.record().submission, on.record().is_claimed) == (SubmissionState.READY, False)
        assert on.record().awaits_acceptance

    def test_a_run_is_claimed_as_long_as_its_daemon_is_alive(self, on: Reconciling) -> None:
        on.store.claimed()
        while_alive = on.record()
        on.store.forget(ME)

        assert while_alive.is_claimed
        assert not on.record().is_claimed
        assert on.record().awaits_acceptance

    def test_only_the_recorded_draft_may_be_started(self, on: Reconciling) -> None:
        claim = on.store.claimed().claim
        with on.store.units() as work:
            work.submissions.record_drafts({claim: ProviderRunId("draft-1")})
            work.commit()

        assert on.record().prepared_id == "draft-1"
        assert on.record().may_start(ProviderRunId("draft-1"))
        assert not on.record().may_start(ProviderRunId("draft-2"))

    def test_an_accepted_run_has_its_provider_run_and_awaits_nothing(self, on: Reconciling) -> None:
        on.store.accepted("run-1")

        assert (on.record().provider, on.record().provider_run_id) == (LOCAL, "at-run-1")
        assert not on.record().awaits_acceptance

    def test_a_deleted_row_leaves_the_record_of_its_submission(self, on: Reconciling) -> None:
        on.store.accepted("run-1")
        on.store.remove("run-1")

        assert (on.record().state, on.record().provider_run_id) == (None, "at-run-1")


class TestProviderRuns:
    def test_provider_runs_are_found_by_provider_and_id(self, on: Reconciling) -> None:
        on.store.accepted("run-1", "run-2")
        ids = [ProviderRunId(id) for id in ("at-run-1", "at-run-2", "at-run-3")]

        assert on.queries.run_ids_of(LOCAL, ids) == {"at-run-1": "run-1", "at-run-2": "run-2"}
        assert on.queries.run_ids_of(ProviderType.HEALTHOMICS, ids) == {}
        assert on.queries.run_ids_of(LOCAL, []) == {}

    def test_the_provider_run_of_an_ended_run_is_found(self, on: Reconciling) -> None:
        poll = on.store.polled()
        with on.store.units() as work:
            work.polls.finish([poll])
            work.commit()

        assert on.queries.run_ids_of(LOCAL, [ProviderRunId("at-run-1")]) == {"at-run-1": "run-1"}

    def test_a_provider_has_accepted_once_it_has_a_provider_run(self, on: Reconciling) -> None:
        on.store.queue("run-0")
        on.store.enrol()
        before = on.queries.has_accepted(LOCAL)
        on.store.accepted("run-1")

        assert not before
        assert on.queries.has_accepted(LOCAL)
        assert not on.queries.has_accepted(ProviderType.SEVENBRIDGES)


class TestFollowedRuns:
    def test_followed_runs_are_read_in_pages(self, on: Reconciling) -> None:
        on.store.accepted("run-2", "run-1", "run-3")

        assert on.followed(limit=2) == ["run-1", "run-2"]
        assert on.followed(after="run-2") == ["run-3"]
        assert on.followed(ProviderType.HEALTHOMICS) == []

    def test_an_ended_run_that_only_lacks_its_details_is_not_followed(self, on: Reconciling) -> None:
        poll = on.store.polled()
        with on.store.units() as work:
            work.polls.record_missing_details(poll, RunState.COMPLETE, delay=SECOND)
            work.commit()

        assert on.followed() == []

    def test_a_followed_run_has_both_states(self, on: Reconciling) -> None:
        on.store.accepted("run-1")
        on.store.move("run-1", RunState.CANCELING)

        [run] = on.queries.followed_runs(LOCAL, after=None, limit=1)

        assert (run.provider_run_id, run.state, run.known_state) == (
            "at-run-1",
            RunState.CANCELING,
            RunState.INITIALIZING,
        )


class TestClaimForRepair:
    @pytest.mark.parametrize("is_enrolled", [True, False])
    def test_a_queued_run_can_be_claimed_and_recorded(self, on: Reconciling, is_enrolled: bool) -> None:
        on.store.queue("run-1")
        if is_enrolled:
            on.store.enrol()

        on.adopt()

        assert (on.record().submission, on.record().provider_run_id) == (SubmissionState.ACCEPTED, FOUND)
        assert [due.provider_run_id for due in on.store.due()] == [FOUND]
        assert on.store.claim() == []

    def test_a_run_of_a_dead_daemon_can_be_claimed_and_the_dead_daemons_claim_is_lost(self, on: Reconciling) -> None:
        claim = on.store.claimed().claim
        on.store.forget(ME)

        on.adopt()

        with on.store.units() as work:
            recorded = work.submissions.record_drafts({claim: ProviderRunId("draft-1")})
        assert not recorded
        assert on.record().provider_run_id == FOUND

    def test_a_run_that_needs_review_can_be_claimed(self, on: Reconciling) -> None:
        claim = on.store.claimed().claim
        with on.store.units() as work:
            work.submissions.require_review(claim, reason="nobody can tell")
            work.commit()

        on.adopt()

        assert on.record().provider_run_id == FOUND

    def test_a_run_that_a_live_daemon_has_claimed_cannot_be_claimed(self, on: Reconciling) -> None:
        on.store.claimed(owner=OTHER)

        with pytest.raises(ClaimLost, match="run-1"):
            on.adopt()

        assert on.record().is_claimed

    def test_an_accepted_run_cannot_be_claimed(self, on: Reconciling) -> None:
        on.store.accepted("run-1")

        with pytest.raises(ClaimLost):
            on.adopt()

    def test_an_unknown_run_and_an_ended_run_cannot_be_claimed(self, on: Reconciling) -> None:
        on.store.queue("run-2")
        on.store.move("run-2", RunState.SYSTEM_ERROR)

        for run_id in ("run-1", "run-2"):
            with pytest.raises(ClaimLost):
                on.adopt(run_id)

    def test_a_claim_that_is_not_committed_leaves_nothing(self, on: Reconciling) -> None:
        on.store.queue("run-1")

        with on.repair_units() as work:
            work.claim_for_repair(RunId("run-1"), A_PERSON, LOCAL)

        assert on.record().submission is None

    def test_of_two_concurrent_claims_one_gets_the_run(self, on: Reconciling) -> None:
        on.store.queue("run-1")
        on.store.enrol()
        race, lost = Race(2, on.store.moment), []

        def adopt(number: int) -> None:
            try:
                with on.repair_units() as work:
                    claim = work.claim_for_repair(RunId("run-1"), SessionId(f"person-{number}"), LOCAL)
                    id = ProviderRunId(f"found-{number}")
                    work.submissions.record_acceptances(
                        [Acceptance(claim=claim, provider=LOCAL, provider_run_id=id)], first_poll_after=0 * SECOND
                    )
                    race.together()
                    work.commit()
            except ClaimLost:
                lost.append(number)

        race.run(adopt)

        assert len(lost) == 1
        assert on.record().provider_run_id == f"found-{1 - lost[0]}"


class TestMakeDue:
    def test_a_run_that_is_made_due_is_due_at_once(self, on: Reconciling) -> None:
        poll = on.store.polled()
        with on.store.units() as work:
            work.polls.record_unchanged([poll], next_poll=lambda _: 3600 * SECOND)
            work.commit()
        before = on.store.due()

        assert on.make_due("run-1", "at-run-1")

        assert before == []
        assert [due.run_id for due in on.store.due()] == ["run-1"]

    def test_a_run_that_is_followed_under_another_id_or_not_at_all_is_not_made_due(self, on: Reconciling) -> None:
        on.store.accepted("run-1")

        assert not on.make_due("run-1", "at-run-2")
        assert not on.make_due("run-2", "at-run-2")


def test_unexplained_runs_are_inherited_or_active_without_a_provider_run(on: Reconciling) -> None:
    for state in ("QUEUED", "CANCELING", "CANCELED", "RUNNING"):
        on.store.put(ServiceRow(run_id=f"inherited-{state}", state=state))
    on.inherit()
    for state in ("QUEUED", "CANCELING", "CANCELED", "INITIALIZING", "UNKNOWN"):
        on.store.put(ServiceRow(run_id=f"later-{state}", state=state))
    on.store.put(ServiceRow(run_id="followable", state="RUNNING", tags='{"provider_id": "task-7"}'))
    on.store.put(ServiceRow(run_id="arvados", state="PAUSED", tags='{"provider_type": "arvados", "provider_id": "x"}'))

    assert on.unexplained() == [
        ("arvados", False),
        ("inherited-CANCELING", True),
        ("inherited-QUEUED", True),
        ("inherited-RUNNING", True),
        ("later-INITIALIZING", False),
        ("later-UNKNOWN", False),
    ]


def test_queued_and_cancelled_runs_are_released_and_active_ones_stay(on: Reconciling) -> None:
    for state in ("QUEUED", "CANCELING", "RUNNING"):
        on.store.put(ServiceRow(run_id=state, state=state))
    on.inherit()

    released = on.release("QUEUED", "CANCELING", "RUNNING")

    assert released == 2
    assert on.unexplained() == [("RUNNING", True)]
    assert on.store.enrol() == 1
    assert on.record("QUEUED").submission is SubmissionState.READY


def test_a_run_that_was_adopted_meanwhile_is_not_released(on: Reconciling) -> None:
    on.store.queue("run-1")
    on.inherit()
    on.adopt()

    assert on.release("run-1") == 0
    assert on.record().provider_run_id == FOUND


def test_inherited_runs_wait_while_they_are_queued_cancelled_ended_or_deleted(on: Reconciling) -> None:
    on.store.put(ServiceRow(run_id="run-1", state="RUNNING"))
    on.inherit()
    waiting = []
    for state in ("RUNNING", "UNKNOWN", "QUEUED", "CANCELING", "CANCELED", "COMPLETE"):
        on.store.put(ServiceRow(run_id="run-1", state=state))
        waiting.append((on.queries.has_inherited_runs(), on.queries.has_inherited_ended_runs()))
    on.store.remove("run-1")

    assert waiting == [(False, False)] * 2 + [(True, False)] * 2 + [(True, True)] * 2
    assert on.queries.has_inherited_ended_runs()
    assert on.release_ended() == 1
    assert not on.queries.has_inherited_runs()


def test_an_inherited_run_in_a_state_that_is_none_does_not_wait(on: Reconciling) -> None:
    on.store.put(ServiceRow(run_id="run-1", state="QUEUED"))
    on.inherit()
    on.store.put(ServiceRow(run_id="run-1", state="NONSENSE"))

    assert not on.queries.has_inherited_runs()
    assert not on.queries.has_inherited_ended_runs()


@pytest.mark.parametrize("state", ["INITIALIZING", "RUNNING", "PAUSED", "UNKNOWN", "CANCELING"])
def test_an_active_run_that_is_not_enrolled_can_be_adopted(on: Reconciling, state: str) -> None:
    on.store.put(ServiceRow(run_id="run-1", state=state))

    on.adopt()

    assert on.record().provider_run_id == FOUND
    assert on.followed() == ["run-1"]


def test_an_ended_run_that_is_not_enrolled_cannot_be_adopted(on: Reconciling) -> None:
    on.store.put(ServiceRow(run_id="run-1", state="CANCELED"))

    with pytest.raises(ClaimLost):
        on.adopt()


def test_an_ended_row_names_the_provider_run_that_may_go_on(on: Reconciling) -> None:
    def named(id: str) -> str:
        return f'{{"provider_type": "local", "provider_id": "{id}"}}'

    on.store.put(ServiceRow(run_id="cancelled", state="CANCELED", tags=named("task-1"), start_time=NOON))
    on.store.put(ServiceRow(run_id="no-time", state="CANCELED", tags=named("task-2")))
    on.store.put(ServiceRow(run_id="old", state="CANCELED", tags=named("task-3"), start_time=NOON - HOUR))
    on.store.put(ServiceRow(run_id="copy", state="CANCELED", tags=named("task-4"), start_time=NOON))
    on.store.put(ServiceRow(run_id="original", state="RUNNING", tags=named("task-4"), start_time=NOON))
    on.store.put(ServiceRow(run_id="nothing-named", state="CANCELED", start_time=NOON))

    found = on.queries.ended_runs_naming(LOCAL, since=NOON)

    assert {run.run_id: run.provider_run_id for run in found} == {"cancelled": "task-1", "no-time": "task-2"}
    assert on.queries.ended_runs_naming(ProviderType.SEVENBRIDGES, since=NOON) == []
