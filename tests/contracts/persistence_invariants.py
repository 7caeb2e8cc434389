"""What is always true of a store, what breaks it, and what a service may do without breaking it."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.builders import NOON
from tests.contracts.persistence_harness import HOUR, ME, MINUTE, SECOND, PersistenceHarness, ServiceRow
from wes_daemon.application.ports.invariants import RULES, Expected, Finding
from wes_daemon.application.ports.leases import DaemonInfo, SessionId
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
IN_A_HUNDRED_YEARS = datetime(2126, 1, 1, tzinfo=UTC)


def finding(store: PersistenceHarness, name: str, *, cap: int = 10, shown: int = 5) -> Finding:
    """What the rule of this name came to."""
    expected = Expected(cap=cap, default_provider=ProviderType.LOCAL, shown=shown)
    [found] = [found for found in store.invariants.check(expected) if found.rule.name == name]
    return found


def breakers(store: PersistenceHarness, name: str, *, cap: int = 10) -> list[str]:
    """The runs for which the rule does not hold."""
    return [breach.run_id for breach in finding(store, name, cap=cap).first]


def said(store: PersistenceHarness, name: str) -> str:
    """What was found of the only run for which the rule does not hold."""
    [breach] = finding(store, name).first
    return breach.found


def note(store: PersistenceHarness, run_id: str, before: RunState | None, after: RunState) -> None:
    """Note a step in the run's timeline, and leave its row."""
    entry = TimelineEntry(at=NOON, before=before, after=after, by="a test", why="test")
    with store.units() as unit:
        run = unit.runs.get(RunId(run_id))
        unit.runs.write([RunUpdate(before=run, after=run, entry=entry)])
        unit.commit()


def ended(
    store: PersistenceHarness,
    run_id: str,
    state: RunState = RunState.COMPLETE,
    *,
    start: datetime | None = NOON,
    end: datetime | None = NOON,
) -> None:
    """A run that the daemon has ended."""
    store.put(ServiceRow(run_id=run_id, state=state, start_time=start, end_time=end))
    note(store, run_id, RunState.RUNNING, state)


def outage_log(store: PersistenceHarness, *, since: datetime) -> None:
    """A daemon is alive that began at this moment."""
    info = DaemonInfo(id=SessionId("daemon-watching"), host="node-2", pid=8, version="1.0", started_at=since)
    with store.units() as unit:
        unit.leases.open(info, lasting=MINUTE)
        unit.commit()


class InvariantRules:
    """`Invariants`."""

    def test_every_rule_is_told_of_and_holds_where_nothing_was_done(self, store: PersistenceHarness) -> None:
        found = store.invariants.check(Expected(cap=1, default_provider=ProviderType.LOCAL))

        assert [each.rule for each in found] == list(RULES)
        assert all(each.holds and not each.first for each in found)

    def test_all_are_counted_and_the_first_are_told_of(self, store: PersistenceHarness) -> None:
        for run_id in ("run-c", "run-a", "run-b"):
            ended(store, run_id, end=None)

        found = finding(store, "ended-in-time", shown=2)

        assert found.count == 3
        assert [breach.run_id for breach in found.first] == ["run-a", "run-b"]

    def test_a_run_at_a_provider_belongs_to_one_row_also_among_those_that_no_daemon_knows(
        self, store: PersistenceHarness
    ) -> None:
        store.accepted("run-1", provider=ProviderType.SEVENBRIDGES)
        tags = '{"provider_type": "sevenbridges", "provider_id": "at-run-1"}'
        store.put(ServiceRow(run_id="run-copy", state="RUNNING", tags=tags))
        for run_id in ("run-x", "run-y"):
            store.put(ServiceRow(run_id=run_id, state="RUNNING", tags='{"provider_id": "left-behind"}'))
        store.put(ServiceRow(run_id="run-odd", state="RUNNING", tags='["provider_id"]'))

        assert breakers(store, "one-run-each") == ["run-copy", "run-y"]
        assert "sevenbridges at-run-1" in finding(store, "one-run-each").first[0].found

    @pytest.mark.parametrize("state", ["QUEUED", "CANCELING", "CANCELED", "COMPLETE"])
    def test_tags_that_were_copied_to_a_run_that_is_to_be_sent_or_has_ended_claim_nothing(
        self, store: PersistenceHarness, state: str
    ) -> None:
        store.accepted("run-1")
        store.put(ServiceRow(run_id="run-2", state=state, tags='{"provider_id": "at-run-1"}'))

        assert breakers(store, "one-run-each") == []

    def test_what_the_daemon_has_ended_has_an_end_that_is_not_before_its_start(self, store: PersistenceHarness) -> None:
        ended(store, "run-at-once")
        ended(store, "run-never-began", start=None)
        ended(store, "run-endless", end=None)
        ended(store, "run-backwards", end=NOON - MINUTE)

        assert breakers(store, "ended-in-time") == ["run-backwards", "run-endless"]

    def test_what_a_service_has_ended_by_itself_needs_no_end(self, store: PersistenceHarness) -> None:
        store.put(ServiceRow(run_id="run-1", state="CANCELED"))
        note(store, "run-1", None, RunState.QUEUED)

        assert breakers(store, "ended-in-time") == []

    def test_an_accepted_submission_names_a_run_and_is_on_the_schedule(self, store: PersistenceHarness) -> None:
        store.accepted("run-right", "run-nameless", "run-unfollowed")
        store.tamper("submissions", "run-nameless", provider_run_id=None)
        store.strike("polls", "run-unfollowed")

        assert breakers(store, "accepted-is-followed") == ["run-nameless", "run-unfollowed"]

    @pytest.mark.parametrize(
        "state",
        [SubmissionState.READY, SubmissionState.INTENT, SubmissionState.PREPARED, SubmissionState.REVIEW],
    )
    def test_a_submission_that_was_not_accepted_names_no_run(
        self, store: PersistenceHarness, state: SubmissionState
    ) -> None:
        store.accepted("run-1")
        store.tamper("submissions", "run-1", state=state)

        assert breakers(store, "accepted-is-followed") == ["run-1"]

    def test_only_what_was_accepted_is_asked_for_and_as_what_it_was_accepted(self, store: PersistenceHarness) -> None:
        store.accepted("run-right", "run-unknown", "run-closed", "run-other")
        store.strike("submissions", "run-unknown")
        store.tamper("submissions", "run-closed", state=SubmissionState.CLOSED)
        store.tamper("polls", "run-other", provider_run_id=ProviderRunId("another"))

        assert breakers(store, "followed-is-accepted") == ["run-closed", "run-other", "run-unknown"]

    def test_a_run_that_has_ended_and_lacks_its_details_is_asked_for_though_it_is_closed(
        self, store: PersistenceHarness
    ) -> None:
        poll = store.polled("run-1")
        with store.units() as unit:
            unit.polls.record_missing_details(poll, RunState.COMPLETE, delay=HOUR)
            unit.commit()

        assert breakers(store, "followed-is-accepted") == []
        assert breakers(store, "accepted-is-followed") == []

    def test_what_the_daemon_has_made_active_is_held_by_a_provider(self, store: PersistenceHarness) -> None:
        for run_id in ("run-held", "run-forgotten", "run-lost"):
            store.accepted(run_id)
            store.move(run_id, RunState.INITIALIZING)
            note(store, run_id, RunState.QUEUED, RunState.INITIALIZING)
        store.tamper("submissions", "run-forgotten", state=SubmissionState.READY, provider_run_id=None)
        store.strike("submissions", "run-lost")

        assert breakers(store, "active-is-held") == ["run-forgotten", "run-lost"]

    def test_what_a_service_has_made_active_may_be_held_by_nobody(self, store: PersistenceHarness) -> None:
        store.queue("run-1")
        store.enrol()
        store.move("run-1", RunState.RUNNING)

        assert breakers(store, "active-is-held") == []

    def test_what_may_have_been_sent_does_not_wait_while_a_daemon_lives(self, store: PersistenceHarness) -> None:
        store.claimed("run-1")
        store.let_pass(2 * HOUR)
        outage_log(store, since=LONG_AGO)

        assert breakers(store, "doubt-is-settled") == ["run-1"]
        assert said(store, "doubt-is-settled").startswith("INTENT, waiting since ")

    def test_a_daemon_that_has_just_begun_is_given_time(self, store: PersistenceHarness) -> None:
        store.claimed("run-1")
        store.accepted("run-2")
        store.let_pass(2 * HOUR)
        outage_log(store, since=IN_A_HUNDRED_YEARS)

        assert breakers(store, "doubt-is-settled") == []
        assert breakers(store, "checked-in-time") == []

    def test_what_was_claimed_late_is_in_doubt_only_since_its_owner_is_gone(self, store: PersistenceHarness) -> None:
        store.queue("run-1")
        store.enrol()
        store.let_pass(2 * HOUR)
        store.claim(ME)
        store.let_pass(2 * MINUTE)
        outage_log(store, since=LONG_AGO)

        assert breakers(store, "doubt-is-settled") == []

    def test_a_living_owner_may_take_its_time(self, store: PersistenceHarness) -> None:
        store.live(ME, 5 * HOUR)
        store.claimed("run-1")
        store.let_pass(2 * HOUR)
        outage_log(store, since=LONG_AGO)

        assert breakers(store, "doubt-is-settled") == []
        assert breakers(store, "owners-live") == []

    def test_what_was_put_off_is_not_waited_for_before_its_time(self, store: PersistenceHarness) -> None:
        claim = store.claimed("run-1").claim
        with store.units() as unit:
            unit.submissions.unresolved(claim, wait=3 * HOUR, reason="test")
            unit.commit()
        store.let_pass(2 * HOUR)
        outage_log(store, since=LONG_AGO)

        assert breakers(store, "doubt-is-settled") == []

    def test_whatever_was_claimed_bears_a_number(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2")
        store.enrol()
        store.claim(ME)
        store.queue("run-3")
        store.enrol()
        store.tamper("submissions", "run-2", claim_seq=0)

        assert breakers(store, "claims-are-numbered") == ["run-2"]
        assert said(store, "claims-are-numbered") == f"INTENT, owner {ME}, claim 0"

    def test_each_step_is_one_that_a_run_can_take(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2")
        for before, after in [
            (None, "QUEUED"),
            ("QUEUED", "INITIALIZING"),
            ("RUNNING", "RUNNING"),
            ("RUNNING", "COMPLETE"),
        ]:
            note(store, "run-1", RunState(before) if before else None, RunState(after))
        for _ in range(2):
            note(store, "run-2", RunState.RUNNING, RunState.INITIALIZING)

        assert finding(store, "steps-are-allowed").count == 1
        assert breakers(store, "steps-are-allowed") == ["run-2"]
        assert said(store, "steps-are-allowed") == "RUNNING to INITIALIZING on 2026-01-01 12:00:00+00:00"

    def test_a_held_run_may_end_although_a_service_wrote_queued_over_it(self, store: PersistenceHarness) -> None:
        store.accepted("run-held")
        store.queue("run-not-held")
        for run_id in ("run-held", "run-not-held"):
            note(store, run_id, RunState.QUEUED, RunState.COMPLETE)

        assert breakers(store, "steps-are-allowed") == ["run-not-held"]

    def test_no_step_leads_out_of_an_ending(self, store: PersistenceHarness) -> None:
        for run_id in ("run-1", "run-2"):
            ended(store, run_id)
            note(store, run_id, RunState.COMPLETE, RunState.COMPLETE)
        note(store, "run-2", RunState.COMPLETE, RunState.RUNNING)

        assert breakers(store, "endings-are-last") == ["run-2"]
        assert breakers(store, "steps-are-allowed") == []

    def test_what_a_service_has_made_active_again_may_end_again(self, store: PersistenceHarness) -> None:
        ended(store, "run-1", RunState.SYSTEM_ERROR)
        store.move("run-1", RunState.COMPLETE)
        note(store, "run-1", RunState.RUNNING, RunState.COMPLETE)

        assert breakers(store, "endings-are-last") == []
        assert breakers(store, "endings-are-kept") == []

    def test_an_ending_is_kept_unless_a_service_has_gone_on_with_the_run(self, store: PersistenceHarness) -> None:
        for run_id in ("run-1", "run-2", "run-3", "run-4"):
            ended(store, run_id, RunState.SYSTEM_ERROR)
        store.move("run-2", RunState.COMPLETE)
        store.move("run-3", RunState.QUEUED)
        store.move("run-4", RunState.CANCELED)

        assert breakers(store, "endings-are-kept") == ["run-2"]
        assert said(store, "endings-are-kept") == "COMPLETE, but the daemon ended it SYSTEM_ERROR"

    @pytest.mark.parametrize(("later", "late"), [(MINUTE, []), (2 * HOUR, ["run-1"])])
    def test_each_run_is_asked_for_in_time_while_a_daemon_lives(
        self, store: PersistenceHarness, later: timedelta, late: list[str]
    ) -> None:
        store.accepted("run-1")
        store.let_pass(later)
        outage_log(store, since=LONG_AGO)

        assert breakers(store, "checked-in-time") == late

    def test_nothing_is_late_where_no_daemon_lives_but_that_is_noticed(self, store: PersistenceHarness) -> None:
        store.accepted("run-held", "run-deleted")
        store.remove("run-deleted")
        store.queue("run-queued")
        store.put(ServiceRow(run_id="run-ended", state="COMPLETE"))
        assert breakers(store, "a-daemon-lives") == []

        store.let_pass(2 * HOUR)

        assert breakers(store, "checked-in-time") == []
        assert breakers(store, "a-daemon-lives") == ["run-deleted", "run-held", "run-queued"]

    def test_a_run_in_review_is_noticed_with_its_reason(self, store: PersistenceHarness) -> None:
        claim = store.claimed("run-1").claim
        with store.units() as unit:
            unit.submissions.unresolved(claim, wait=SECOND, reason="the answer was lost")
            unit.commit()
        store.tamper("submissions", "run-1", state=SubmissionState.REVIEW)

        assert said(store, "in-review") == "local: the answer was lost"

    @pytest.mark.parametrize(("later", "gone"), [(5 * MINUTE, []), (15 * MINUTE, ["run-1"])])
    def test_an_owner_that_is_gone_for_long_is_noticed(
        self, store: PersistenceHarness, later: timedelta, gone: list[str]
    ) -> None:
        store.claimed("run-1")
        store.let_pass(later)

        assert breakers(store, "owners-live") == gone

    def test_what_is_out_beyond_the_cap_is_noticed(self, store: PersistenceHarness) -> None:
        store.accepted("run-1", "run-2")
        store.claimed("run-3")

        assert breakers(store, "cap-is-kept", cap=3) == []
        assert finding(store, "cap-is-kept", cap=1).count == 2
        assert breakers(store, "cap-is-kept", cap=2) == ["run-3"]
        assert finding(store, "cap-is-kept", cap=2).first[0].found == "beyond the cap: 3 are out, the cap is 2"
