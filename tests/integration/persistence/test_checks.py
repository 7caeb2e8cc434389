"""Each check: what violates it, and what a service may do without violating it."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from sqlalchemy import Engine, text

from tests.builders import ALL_PROVIDERS, NOON
from tests.busy_day import CONTEXT, BusyDay
from tests.contracts.persistence_harness import HOUR, ME, MINUTE, SECOND, ServiceRow
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.application.ports.checks import CHECKS, CheckContext, CheckResult
from wes_daemon.application.ports.late_updates import LateUpdate
from wes_daemon.application.ports.leases import DaemonInfo, SessionId
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.reconciling.verify import VerifyReport
from wes_daemon.domain.changes import RunChange
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
IN_A_HUNDRED_YEARS = datetime(2126, 1, 1, tzinfo=UTC)


def result_of(store: SqlHarness, name: str, *, limit: int = 10, shown: int = 5) -> CheckResult:
    """The result of the check with this name."""
    context = CheckContext(
        concurrency_limit=limit, default_provider=ProviderType.LOCAL, known_providers=ALL_PROVIDERS, shown=shown
    )
    [result] = [result for result in store.checks.run(context) if result.check.name == name]
    return result


def violating(store: SqlHarness, name: str, *, limit: int = 10) -> list[str]:
    """The runs that violate the check."""
    return [violation.run_id for violation in result_of(store, name, limit=limit).first]


def found(store: SqlHarness, name: str) -> str:
    """The values of the only run that violates the check."""
    [violation] = result_of(store, name).first
    return violation.found


def add_entry(store: SqlHarness, run_id: str, before: RunState | None, after: RunState) -> None:
    """Add an entry to the run's timeline, and leave its row unchanged."""
    entry = TimelineEntry(at=NOON, before=before, after=after, by="a test", why="test")
    with store.units() as unit:
        run = unit.runs.get(RunId(run_id))
        unit.runs.write([RunUpdate(before=run, after=run, entry=entry)])
        unit.commit()


def ended(
    store: SqlHarness,
    run_id: str,
    state: RunState = RunState.COMPLETE,
    *,
    start: datetime | None = NOON,
    end: datetime | None = NOON,
) -> None:
    """A run that the daemon ended."""
    store.put(ServiceRow(run_id=run_id, state=state, start_time=start, end_time=end))
    add_entry(store, run_id, RunState.RUNNING, state)


def start_daemon(store: SqlHarness, *, since: datetime) -> None:
    """A live daemon that started at this time."""
    info = DaemonInfo(id=SessionId("daemon-1"), host="node-2", pid=8, version="1.0", started_at=since)
    with store.units() as unit:
        unit.leases.open(info, lasting=MINUTE)
        unit.commit()


def test_every_check_has_a_result_and_passes_on_an_empty_database(store: SqlHarness) -> None:
    results = store.checks.run(CheckContext(concurrency_limit=1, default_provider=ProviderType.LOCAL))

    assert [result.check for result in results] == list(CHECKS)
    assert all(result.passed and not result.first for result in results)


def test_all_violations_are_counted_and_the_first_are_returned(store: SqlHarness) -> None:
    for run_id in ("run-c", "run-a", "run-b"):
        ended(store, run_id, end=None)

    result = result_of(store, "ended-in-time", shown=2)

    assert result.count == 3
    assert [violation.run_id for violation in result.first] == ["run-a", "run-b"]


def test_a_provider_run_belongs_to_one_row_rows_that_are_not_enrolled_included(store: SqlHarness) -> None:
    store.accepted("run-1", provider=ProviderType.SEVENBRIDGES)
    tags = '{"provider_type": "sevenbridges", "provider_id": "at-run-1"}'
    store.put(ServiceRow(run_id="run-copy", state="RUNNING", tags=tags))
    for run_id in ("run-x", "run-y"):
        store.put(ServiceRow(run_id=run_id, state="RUNNING", tags='{"provider_id": "left-behind"}'))
    store.put(ServiceRow(run_id="run-odd", state="RUNNING", tags='["provider_id"]'))

    assert violating(store, "one-run-each") == ["run-copy", "run-y"]
    assert "sevenbridges at-run-1" in result_of(store, "one-run-each").first[0].found


@pytest.mark.parametrize("state", ["QUEUED", "CANCELING", "CANCELED", "COMPLETE"])
def test_copied_tags_of_a_queued_or_ended_run_name_no_provider_run(store: SqlHarness, state: str) -> None:
    store.accepted("run-1")
    store.put(ServiceRow(run_id="run-2", state=state, tags='{"provider_id": "at-run-1"}'))

    assert violating(store, "one-run-each") == []


def test_a_run_that_the_daemon_ended_has_an_end_time_that_is_not_before_its_start_time(store: SqlHarness) -> None:
    ended(store, "run-at-once")
    ended(store, "run-never-began", start=None)
    ended(store, "run-endless", end=None)
    ended(store, "run-backwards", end=NOON - MINUTE)

    assert violating(store, "ended-in-time") == ["run-backwards", "run-endless"]


def test_a_run_that_a_service_ended_needs_no_end_time(store: SqlHarness) -> None:
    store.put(ServiceRow(run_id="run-1", state="CANCELED"))
    add_entry(store, "run-1", None, RunState.QUEUED)

    assert violating(store, "ended-in-time") == []


def test_an_accepted_submission_has_a_provider_run_and_is_polled(store: SqlHarness) -> None:
    store.accepted("run-right", "run-nameless", "run-unfollowed")
    store.tamper("submissions", "run-nameless", provider_run_id=None)
    store.delete("polls", "run-unfollowed")

    assert violating(store, "accepted-is-followed") == ["run-nameless", "run-unfollowed"]


@pytest.mark.parametrize(
    "state",
    [SubmissionState.READY, SubmissionState.INTENT, SubmissionState.PREPARED, SubmissionState.REVIEW],
)
def test_a_submission_that_is_not_accepted_has_no_provider_run(store: SqlHarness, state: SubmissionState) -> None:
    store.accepted("run-1")
    store.tamper("submissions", "run-1", state=state)

    assert violating(store, "accepted-is-followed") == ["run-1"]


def test_a_polled_provider_run_is_that_of_an_accepted_submission(store: SqlHarness) -> None:
    store.accepted("run-right", "run-unknown", "run-closed", "run-other")
    store.delete("submissions", "run-unknown")
    store.tamper("submissions", "run-closed", state=SubmissionState.CLOSED)
    store.tamper("polls", "run-other", provider_run_id=ProviderRunId("another"))

    assert violating(store, "followed-is-accepted") == ["run-closed", "run-other", "run-unknown"]


def test_an_ended_run_without_details_is_polled_although_its_submission_is_closed(store: SqlHarness) -> None:
    poll = store.polled("run-1")
    with store.units() as unit:
        unit.polls.record_missing_details(poll, RunState.COMPLETE, delay=HOUR)
        unit.commit()

    assert violating(store, "followed-is-accepted") == []
    assert violating(store, "accepted-is-followed") == []


def test_a_run_that_the_daemon_made_active_has_a_provider_run(store: SqlHarness) -> None:
    for run_id in ("run-held", "run-forgotten", "run-lost"):
        store.accepted(run_id)
        store.move(run_id, RunState.INITIALIZING)
        add_entry(store, run_id, RunState.QUEUED, RunState.INITIALIZING)
    store.tamper("submissions", "run-forgotten", state=SubmissionState.READY, provider_run_id=None)
    store.delete("submissions", "run-lost")

    assert violating(store, "active-is-held") == ["run-forgotten", "run-lost"]


def test_a_run_that_a_service_made_active_needs_no_provider_run(store: SqlHarness) -> None:
    store.queue("run-1")
    store.enrol()
    store.move("run-1", RunState.RUNNING)

    assert violating(store, "active-is-held") == []


def test_a_submission_in_doubt_does_not_wait_while_a_daemon_is_alive(store: SqlHarness) -> None:
    store.claimed("run-1")
    store.let_pass(2 * HOUR)
    start_daemon(store, since=LONG_AGO)

    assert violating(store, "doubt-is-settled") == ["run-1"]
    assert found(store, "doubt-is-settled").startswith("INTENT, waiting since ")


def test_nothing_is_overdue_when_a_daemon_has_just_started(store: SqlHarness) -> None:
    store.claimed("run-1")
    store.accepted("run-2")
    store.let_pass(2 * HOUR)
    start_daemon(store, since=IN_A_HUNDRED_YEARS)

    assert violating(store, "doubt-is-settled") == []
    assert violating(store, "checked-in-time") == []


def test_a_submission_that_was_claimed_late_waits_only_since_its_owners_lease_expired(store: SqlHarness) -> None:
    store.queue("run-1")
    store.enrol()
    store.let_pass(2 * HOUR)
    store.claim(ME)
    store.let_pass(2 * MINUTE)
    start_daemon(store, since=LONG_AGO)

    assert violating(store, "doubt-is-settled") == []


def test_a_submission_with_a_live_owner_is_not_overdue(store: SqlHarness) -> None:
    store.live(ME, 5 * HOUR)
    store.claimed("run-1")
    store.let_pass(2 * HOUR)
    start_daemon(store, since=LONG_AGO)

    assert violating(store, "doubt-is-settled") == []
    assert violating(store, "owners-live") == []


def test_a_deferred_submission_is_not_overdue_before_it_is_due(store: SqlHarness) -> None:
    claim = store.claimed("run-1").claim
    with store.units() as unit:
        unit.submissions.mark_in_doubt(claim, wait=3 * HOUR, reason="test")
        unit.commit()
    store.let_pass(2 * HOUR)
    start_daemon(store, since=LONG_AGO)

    assert violating(store, "doubt-is-settled") == []


def test_a_claimed_submission_has_a_fencing_token(store: SqlHarness) -> None:
    store.queue("run-1", "run-2")
    store.enrol()
    store.claim(ME)
    store.queue("run-3")
    store.enrol()
    store.tamper("submissions", "run-2", claim_seq=0)

    assert violating(store, "claims-are-numbered") == ["run-2"]
    assert found(store, "claims-are-numbered") == f"INTENT, owner {ME}, fencing token 0"


def test_each_timeline_entry_is_an_allowed_transition(store: SqlHarness) -> None:
    store.queue("run-1", "run-2")
    for before, after in [
        (None, "QUEUED"),
        ("QUEUED", "INITIALIZING"),
        ("RUNNING", "RUNNING"),
        ("RUNNING", "COMPLETE"),
    ]:
        add_entry(store, "run-1", RunState(before) if before else None, RunState(after))
    for _ in range(2):
        add_entry(store, "run-2", RunState.RUNNING, RunState.INITIALIZING)

    assert result_of(store, "steps-are-allowed").count == 1
    assert violating(store, "steps-are-allowed") == ["run-2"]
    assert found(store, "steps-are-allowed") == "RUNNING to INITIALIZING on 2026-01-01 12:00:00+00:00"


def test_an_accepted_run_may_end_although_a_service_wrote_queued_over_its_state(store: SqlHarness) -> None:
    store.accepted("run-held")
    store.queue("run-not-held")
    for run_id in ("run-held", "run-not-held"):
        add_entry(store, run_id, RunState.QUEUED, RunState.COMPLETE)

    assert violating(store, "steps-are-allowed") == ["run-not-held"]


def test_no_transition_leads_out_of_an_end_state(store: SqlHarness) -> None:
    for run_id in ("run-1", "run-2"):
        ended(store, run_id)
        add_entry(store, run_id, RunState.COMPLETE, RunState.COMPLETE)
    add_entry(store, "run-2", RunState.COMPLETE, RunState.RUNNING)

    assert violating(store, "endings-are-last") == ["run-2"]
    assert violating(store, "steps-are-allowed") == []


def test_a_run_that_a_service_made_active_again_may_end_again(store: SqlHarness) -> None:
    ended(store, "run-1", RunState.SYSTEM_ERROR)
    store.move("run-1", RunState.COMPLETE)
    add_entry(store, "run-1", RunState.RUNNING, RunState.COMPLETE)

    assert violating(store, "endings-are-last") == []
    assert violating(store, "endings-are-kept") == []


def test_an_end_state_is_kept_unless_a_service_changed_it(store: SqlHarness) -> None:
    for run_id in ("run-1", "run-2", "run-3", "run-4"):
        ended(store, run_id, RunState.SYSTEM_ERROR)
    store.move("run-2", RunState.COMPLETE)
    store.move("run-3", RunState.QUEUED)
    store.move("run-4", RunState.CANCELED)

    assert violating(store, "endings-are-kept") == ["run-2"]
    assert found(store, "endings-are-kept") == "COMPLETE, but the daemon recorded the end state SYSTEM_ERROR"


@pytest.mark.parametrize(("later", "late"), [(MINUTE, []), (2 * HOUR, ["run-1"])])
def test_each_run_is_polled_on_time_while_a_daemon_is_alive(
    store: SqlHarness, later: timedelta, late: list[str]
) -> None:
    store.accepted("run-1")
    store.let_pass(later)
    start_daemon(store, since=LONG_AGO)

    assert violating(store, "checked-in-time") == late


def test_without_a_live_daemon_nothing_is_overdue_but_the_missing_daemon_is_a_notice(store: SqlHarness) -> None:
    store.accepted("run-held", "run-deleted")
    store.remove("run-deleted")
    store.queue("run-queued")
    store.put(ServiceRow(run_id="run-ended", state="COMPLETE"))
    assert violating(store, "a-daemon-lives") == []

    store.let_pass(2 * HOUR)

    assert violating(store, "checked-in-time") == []
    assert violating(store, "a-daemon-lives") == ["run-deleted", "run-held", "run-queued"]


def test_a_run_that_needs_review_is_a_notice_with_its_reason(store: SqlHarness) -> None:
    claim = store.claimed("run-1").claim
    with store.units() as unit:
        unit.submissions.mark_in_doubt(claim, wait=SECOND, reason="the answer was lost")
        unit.commit()
    store.tamper("submissions", "run-1", state=SubmissionState.REVIEW)

    assert found(store, "in-review") == "local: the answer was lost"


@pytest.mark.parametrize(("later", "expired"), [(5 * MINUTE, []), (15 * MINUTE, ["run-1"])])
def test_an_owner_whose_lease_expired_long_ago_is_a_notice(
    store: SqlHarness, later: timedelta, expired: list[str]
) -> None:
    store.claimed("run-1")
    store.let_pass(later)

    assert violating(store, "owners-live") == expired


def test_runs_above_the_concurrency_limit_are_a_notice(store: SqlHarness) -> None:
    store.accepted("run-1", "run-2")
    store.claimed("run-3")

    assert violating(store, "cap-is-kept", limit=3) == []
    assert result_of(store, "cap-is-kept", limit=1).count == 2
    assert violating(store, "cap-is-kept", limit=2) == ["run-3"]
    assert result_of(store, "cap-is-kept", limit=2).first[0].found == "3 runs are active, the limit is 2"


def test_a_busy_day_violates_no_check(store: SqlHarness) -> None:
    changes = count()

    def verify() -> None:
        # To verify after every change would take a minute.
        if next(changes) % 10 == 0:
            assert VerifyReport(store.checks.run(CONTEXT)).broken == []

    BusyDay(store, verify, datetime.now(UTC)).pass_by()

    assert {store.row(run_id).state for run_id in ("goes-well", "set-back", "rejected")} == {RunState.COMPLETE}


@pytest.fixture
def store_without_indexes(empty_engine: Engine) -> SqlHarness:
    """A store in which two submissions may have the same provider run."""
    Schema(empty_engine).upgrade()
    with writing(empty_engine) as connection:
        connection.execute(text("DROP INDEX submissions_held"))
        connection.commit()
    return SqlHarness(empty_engine)


def test_two_submissions_with_the_same_provider_run_violate_a_check(store_without_indexes: SqlHarness) -> None:
    store_without_indexes.accepted("run-1", "run-2", "run-3")
    store_without_indexes.tamper("submissions", "run-2", provider_run_id="at-run-1")

    assert violating(store_without_indexes, "one-run-each") == ["run-2"]


def test_a_run_whose_row_was_deleted_is_a_notice_until_its_cancellation_was_requested(store: SqlHarness) -> None:
    store.accepted("run-1", "run-2")
    store.remove("run-1")

    assert violating(store, "deleted-is-cancelled") == ["run-1"]
    assert found(store, "deleted-is-cancelled") == "local at-run-1, last status INITIALIZING"

    with store.units() as unit:
        unit.polls.cancel_deleted([RunId("run-1")])
        unit.commit()
    assert violating(store, "deleted-is-cancelled") == []


def test_a_row_that_has_been_behind_for_an_hour_is_a_notice(store: SqlHarness) -> None:
    store.accepted("run-1", "run-2")
    late = LateUpdate(run_id=RunId("run-1"), change=RunChange(state=RunState.RUNNING), reason="a trigger refuses it")
    with store.units() as unit:
        unit.late_updates.add([late], wait=MINUTE)
        unit.commit()
    at_first = violating(store, "rows-are-current")

    store.let_pass(2 * HOUR)

    assert at_first == []
    assert violating(store, "rows-are-current") == ["run-1"]
    assert "a trigger refuses it" in result_of(store, "rows-are-current").first[0].found


@pytest.mark.parametrize("state", ["INITIALIZING", "RUNNING", "PAUSED", "UNKNOWN"])
def test_an_active_row_of_another_daemon_without_a_provider_run_is_noticed(store: SqlHarness, state: str) -> None:
    store.put(ServiceRow(run_id="left", state=state, tags='{"project": "genomes"}'))
    store.put(ServiceRow(run_id="elsewhere", state=state, tags='{"provider_type": "arvados", "provider_id": "x"}'))
    store.put(ServiceRow(run_id="followable", state=state, tags='{"provider_id": "task-7"}'))

    result = result_of(store, "active-is-explained")

    assert [violation.run_id for violation in result.first] == ["elsewhere", "left"]
    assert result.count == 2
    assert result.first[0].found == f"{state}, and no provider run is known for it"


def test_an_inherited_run_is_noticed_until_it_is_released_or_ends(store: SqlHarness) -> None:
    for state in ("QUEUED", "RUNNING", "CANCELED"):
        store.put(ServiceRow(run_id=state, state=state))
    with store.units() as unit:
        unit.submissions.inherit()
        unit.commit()

    assert violating(store, "active-is-explained") == ["QUEUED", "RUNNING"]


def test_rows_that_wait_have_ended_or_are_followed_are_explained(store: SqlHarness) -> None:
    store.queue("queued")
    store.put(ServiceRow(run_id="ended", state="COMPLETE"))
    store.put(ServiceRow(run_id="followed", state="UNKNOWN", tags='{"provider_id": "task-7"}'))
    store.enrol()

    assert violating(store, "active-is-explained") == []
