"""The comparison of the database with the providers, and the repair of discrepancies."""

import logging
from datetime import timedelta

import pytest

from tests.builders import a_report, a_run
from tests.unit.application.reconciling import DAY, HOUR, SEVENBRIDGES, Site
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.application.ports.errors import Misconfigured, NotEnabled, NotNow, Rejected
from wes_daemon.application.ports.providers import as_key, run_id_of
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.reconciling.discrepancies import DiscrepancyKind, Repair
from wes_daemon.application.reconciling.reconcile import Reconcile
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState

RUN = RunId("run-1")


@pytest.fixture
def site() -> Site:
    return Site()


def test_the_key_of_a_run_is_recognised_and_names_the_run() -> None:
    key = a_run("7f3a").idempotency_key

    assert as_key(key) == key
    assert run_id_of(key) == "7f3a"


@pytest.mark.parametrize("text", ["", "wes-", "wes", "my wes-1", "wes-1 of mine", "wes-\x1b", "wes-" + "x" * 80])
def test_other_text_is_not_recognised_as_a_key(text: str) -> None:
    assert as_key(text) is None


# comparison


def test_a_recorded_run_that_is_running_is_no_discrepancy(site: Site) -> None:
    for number in range(5):
        site.accepted(f"run-{number}")
    site.pass_time(HOUR)

    report = site.compare()

    assert report.agrees
    assert report.compared == [SEVENBRIDGES]


def test_a_comparison_changes_nothing(site: Site) -> None:
    site.accepted()
    site.started("run-1")
    site.pass_time(DAY)
    tables, started = site.store.tables, list(site.provider.started)

    site.found()

    assert site.store.tables is tables
    assert (site.provider.started, site.provider.cancelled) == (started, [])


def test_an_unknown_run_of_a_queued_run_is_to_be_adopted(site: Site) -> None:
    site.record()
    id = site.started()
    site.pass_time(HOUR)

    [found] = site.found()

    assert (found.kind, found.repair) == (DiscrepancyKind.UNKNOWN_RUN, Repair.ADOPT)
    assert (found.provider_run_id, found.run_id, found.run_state) == (id, "run-1", RunState.QUEUED)


def test_a_recently_created_run_is_left_to_the_daemon(site: Site) -> None:
    site.record()
    site.started()
    site.pass_time(timedelta(minutes=4))

    assert site.kinds() == []


def test_an_unknown_run_that_a_live_daemon_has_claimed_is_reported_without_a_repair(site: Site) -> None:
    site.record()
    site.started()
    site.pass_time(HOUR)
    site.update(submission=SubmissionState.INTENT, is_claimed=True)

    assert site.kinds() == [(DiscrepancyKind.UNKNOWN_RUN, Repair.NONE)]


def test_a_duplicate_run_is_logged_as_an_error(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    recorded = site.accepted()
    second = site.started()

    [found] = site.found()

    assert (found.kind, found.repair, found.provider_run_id) == (DiscrepancyKind.DUPLICATE_RUN, Repair.CANCEL, second)
    assert recorded in found.explanation
    assert [record.levelno for record in caplog.records if second in record.message] == [logging.ERROR]


def test_a_duplicate_run_that_has_ended_is_reported_without_a_repair(site: Site) -> None:
    site.accepted()
    site.provider.put(site.started(), a_report(RunState.COMPLETE))

    assert site.kinds() == [(DiscrepancyKind.DUPLICATE_RUN, Repair.NONE)]


def test_a_duplicate_run_that_was_cancelled_is_no_discrepancy(site: Site) -> None:
    site.accepted()
    site.provider.put(site.started(), a_report(RunState.CANCELED))

    assert site.kinds() == []


def test_of_two_unknown_runs_of_one_run_the_older_is_adopted_and_the_other_is_a_duplicate(site: Site) -> None:
    site.record()
    older = site.started()
    site.pass_time(HOUR)
    younger = site.started()
    site.pass_time(HOUR)

    found = site.found()

    assert [(each.provider_run_id, each.repair) for each in found] == [(older, Repair.ADOPT), (younger, Repair.CANCEL)]
    assert found[1].kind is DiscrepancyKind.DUPLICATE_RUN


def test_a_provider_run_of_a_run_that_has_ended_without_one_is_orphaned(site: Site) -> None:
    site.record(state=RunState.SYSTEM_ERROR)
    site.started()

    assert site.kinds() == [(DiscrepancyKind.ORPHANED_RUN, Repair.CANCEL)]


def test_a_provider_run_of_a_deleted_run_without_one_is_orphaned(site: Site) -> None:
    site.record()
    site.update(state=None, submission=SubmissionState.CLOSED)
    site.started()

    assert site.kinds() == [(DiscrepancyKind.ORPHANED_RUN, Repair.CANCEL)]


def test_an_unknown_run_of_an_active_run_that_is_not_enrolled_is_reported_without_a_repair(site: Site) -> None:
    site.record(state=RunState.RUNNING)
    site.started()
    site.pass_time(HOUR)

    assert site.kinds() == [(DiscrepancyKind.UNKNOWN_RUN, Repair.NONE)]


def test_a_provider_run_of_no_run_in_this_database_is_foreign_and_has_no_repair(site: Site) -> None:
    site.started("elsewhere")

    assert site.kinds() == [(DiscrepancyKind.FOREIGN_RUN, Repair.NONE)]


def test_a_run_that_was_created_before_the_window_is_not_compared(site: Site) -> None:
    site.started("elsewhere")
    site.pass_time(2 * DAY)

    assert site.compare(window=DAY).agrees
    assert not site.compare(window=3 * DAY).agrees


def test_a_followed_run_that_is_unknown_to_the_provider_is_missing(site: Site) -> None:
    site.provider.forget(site.accepted())

    [found] = site.found()

    assert (found.kind, found.repair) == (DiscrepancyKind.MISSING_AT_PROVIDER, Repair.POLL_NOW)
    assert found.provider_status is None


def test_an_end_that_is_not_recorded_is_a_differing_state(site: Site) -> None:
    ended_at = site.clock.now()
    site.provider.put(site.accepted(), a_report(RunState.COMPLETE, ended_at=ended_at))
    at_once = site.kinds()
    site.pass_time(HOUR)

    assert at_once == []
    assert site.kinds() == [(DiscrepancyKind.STATE_DIFFERS, Repair.POLL_NOW)]


def test_an_unknown_status_is_no_discrepancy(site: Site) -> None:
    site.provider.put(site.accepted(), a_report(RunState.UNKNOWN))

    assert site.kinds() == []


def test_many_runs_are_compared_page_by_page(site: Site) -> None:
    for number in range(7):
        site.provider.forget(site.accepted(f"run-{number}"))
        site.started(f"elsewhere-{number}")

    kinds = [kind for kind, _ in site.kinds()]

    assert kinds.count(DiscrepancyKind.MISSING_AT_PROVIDER) == 7
    assert kinds.count(DiscrepancyKind.FOREIGN_RUN) == 7


# drafts


def test_an_old_draft_of_an_accepted_run_is_a_leftover_draft(site: Site) -> None:
    site.accepted()
    draft = site.drafted()
    site.pass_time(timedelta(hours=23))
    before = site.kinds()
    site.pass_time(HOUR)

    [found] = site.found()

    assert before == []
    assert (found.kind, found.repair, found.provider_run_id) == (
        DiscrepancyKind.LEFTOVER_DRAFT,
        Repair.DELETE_DRAFT,
        draft,
    )


def test_a_draft_that_may_still_be_started_is_no_leftover_draft(site: Site) -> None:
    site.record()
    site.drafted()
    site.pass_time(2 * DAY)

    assert site.kinds() == []


def test_a_draft_of_no_run_in_this_database_is_foreign(site: Site) -> None:
    site.drafted("elsewhere")
    site.pass_time(2 * DAY)

    assert site.kinds() == [(DiscrepancyKind.FOREIGN_RUN, Repair.NONE)]


def test_a_run_that_is_recorded_under_another_name_of_the_same_account_is_no_second_run(site: Site) -> None:
    site.accepted()
    site.directory.providers[ProviderType("same-account")] = site.provider

    report = site.compare()

    assert set(report.compared) == {SEVENBRIDGES, "same-account"}
    assert report.discrepancies == []


# providers that cannot be compared


@pytest.mark.parametrize("error", [NotNow("busy"), Misconfigured("token expired"), Rejected("not set up")])
def test_a_provider_that_has_accepted_runs_and_fails_is_reported(site: Site, error: Exception) -> None:
    site.accepted()
    site.provider.fail_next(error, operation="owned_runs")

    report = site.compare()

    assert report.not_compared == {SEVENBRIDGES: str(error)}
    assert not report.agrees


def test_a_provider_that_is_not_configured_and_was_never_used_is_no_error(site: Site) -> None:
    site.directory.providers[ProviderType.HEALTHOMICS] = Misconfigured("no credentials")
    site.directory.providers[ProviderType.LOCAL] = NotEnabled("no directory")

    report = site.compare()

    assert report.not_configured.keys() == {ProviderType.HEALTHOMICS, ProviderType.LOCAL}
    assert report.agrees


def test_a_transient_error_is_reported_for_a_provider_that_was_never_used(site: Site) -> None:
    site.provider.fail_next(NotNow("busy"), operation="owned_runs")

    assert site.compare().not_compared == {SEVENBRIDGES: "busy"}


def test_an_error_of_one_provider_does_not_hide_discrepancies_of_others(site: Site) -> None:
    site.accepted()
    site.provider.fail_next(NotNow("busy"), operation="owned_runs")
    local = MemoryProvider(clock=site.clock)
    site.directory.providers[ProviderType.LOCAL] = local
    local.start_again(site.provider.submission(ProviderRunId("draft-1")))

    report = site.compare()

    assert [each.provider for each in report.discrepancies] == [ProviderType.LOCAL]
    assert report.not_compared.keys() == {SEVENBRIDGES}


# repair


def test_only_discrepancies_with_a_repair_are_repairable(site: Site) -> None:
    site.accepted()
    duplicate = site.started()
    site.started("elsewhere")

    report = site.compare()

    assert len(report.discrepancies) == 2
    assert [each.provider_run_id for each in report.repairable] == [duplicate]


def test_an_adopted_run_is_recorded_as_accepted(site: Site) -> None:
    site.record()
    id = site.started()
    site.pass_time(HOUR)

    [result] = site.repair()

    assert result.succeeded
    assert site.store.run(RUN).state is RunState.INITIALIZING
    assert site.timeline() == [f"ada@lab: adopted sevenbridges run {id}"]
    submission = site.store.tables.submissions[RUN]
    assert (submission.state, submission.provider_run_id) == (SubmissionState.ACCEPTED, id)


def test_a_run_that_cannot_be_claimed_is_not_adopted(site: Site) -> None:
    site.record()
    site.started()
    site.pass_time(HOUR)
    site.units.refused.add(RUN)

    [result] = site.repair()

    assert (result.succeeded, result.message) == (False, "run run-1: a live daemon has claimed it")
    assert site.store.run(RUN).state is RunState.QUEUED


def test_a_run_whose_row_is_gone_is_not_adopted(site: Site) -> None:
    site.record()
    site.started()
    site.pass_time(HOUR)
    del site.store.tables.runs[RUN]

    [result] = site.repair()

    assert (result.succeeded, result.message) == (False, "run run-1: there is no such run")
    assert RUN not in site.store.tables.submissions


def test_a_duplicate_run_is_cancelled_and_the_recorded_run_continues(site: Site) -> None:
    recorded, second = site.accepted(), site.started()

    [result] = site.repair()

    assert result.succeeded
    assert site.provider.cancelled == [second]
    assert not site.provider.statuses([recorded])[recorded].state.has_ended
    assert any(f"requested cancellation of sevenbridges run {second}" in entry for entry in site.timeline())
    assert site.kinds() == []


def test_a_run_that_the_database_has_recorded_since_is_not_cancelled(site: Site) -> None:
    site.accepted()
    second = site.started()
    found = site.found()
    site.record("run-2", RunState.RUNNING)
    site.update("run-2", provider=SEVENBRIDGES, provider_run_id=second)

    [result] = site.repair(found)

    assert (result.succeeded, site.provider.cancelled) == (False, [])


def test_a_foreign_run_is_cancelled_only_on_request(site: Site) -> None:
    foreign = site.started("elsewhere")
    [left] = site.repair()
    site.cancel_foreign_runs()
    [result] = site.repair()

    assert (left.succeeded, result.succeeded) == (False, True)
    assert site.provider.cancelled == [foreign]


def test_a_foreign_draft_is_deleted_only_on_request(site: Site) -> None:
    draft = site.drafted("elsewhere")
    site.pass_time(2 * DAY)
    [left] = site.repair()
    drafts = list(site.provider.drafts)
    site.cancel_foreign_runs()
    [result] = site.repair()

    assert (left.succeeded, drafts) == (False, [draft])
    assert (result.succeeded, site.provider.drafts) == (True, {})


def test_a_missing_run_is_made_due_and_not_ended(site: Site) -> None:
    id = site.accepted()
    site.provider.forget(id)

    [result] = site.repair()

    assert result.succeeded
    assert site.units.due == [id]
    assert site.store.run(RUN).state is RunState.INITIALIZING
    assert site.timeline() == ["ada@lab: sevenbridges has no run with this id: next poll set to now"]


def test_a_run_that_is_not_followed_any_more_is_not_made_due(site: Site) -> None:
    id = site.accepted()
    site.provider.put(id, a_report(RunState.COMPLETE))
    found = site.found()
    site.units.ended.add(id)

    [result] = site.repair(found)

    assert (result.succeeded, site.timeline()) == (False, [])


def test_a_leftover_draft_is_deleted_and_the_run_continues(site: Site) -> None:
    recorded, draft = site.accepted(), site.drafted()
    site.pass_time(2 * DAY)

    [result] = site.repair()

    assert result.succeeded
    assert draft not in site.provider.drafts
    assert recorded in site.provider.statuses([recorded])
    assert site.timeline()[-1] == f"ada@lab: deleted sevenbridges draft {draft}"


def test_an_error_of_the_provider_fails_one_repair_and_the_next_is_tried(site: Site) -> None:
    for run_id in ("run-1", "run-2"):
        site.accepted(run_id)
        site.started(run_id)
    found = site.found()
    site.provider.fail_next(NotNow("busy"), operation="cancel")

    results = site.repair(found)

    assert [(each.succeeded, each.message == "busy") for each in results] == [(False, True), (True, False)]


def test_a_provider_with_runs_that_is_not_known_here_is_reported(site: Site) -> None:
    gone = ProviderType("gone")
    site.accepted()
    site.update(provider=gone)
    site.reconcile = Reconcile(
        queries=site.queries,
        providers=site.directory,
        repairer=site.repairer,
        clock=site.clock,
        in_use=lambda: [gone],
    )

    report = site.compare()

    assert report.not_compared.keys() == {gone}
    assert not report.agrees


def test_a_provider_that_is_not_configured_any_more_fails_the_repair(site: Site) -> None:
    site.accepted()
    site.started()
    found = site.found()
    site.directory.providers[SEVENBRIDGES] = NotEnabled("not configured")

    [result] = site.repair(found)

    assert (result.succeeded, result.message) == (False, "not configured")


def test_a_discrepancy_of_a_deleted_row_is_repaired_and_stands_in_its_timeline(site: Site) -> None:
    site.accepted()
    second = site.started()
    del site.store.tables.runs[RUN]
    site.update(state=None)

    [result] = site.repair()

    assert result.succeeded
    assert site.provider.cancelled == [second]
    assert site.timeline() == [f"ada@lab: {result.message}"]


def test_the_timeline_of_a_run_that_never_was_in_this_database_stays_empty(site: Site) -> None:
    site.started("elsewhere")
    site.cancel_foreign_runs()

    [result] = site.repair()

    assert result.succeeded
    assert site.timeline("elsewhere") == []


@pytest.mark.parametrize("state", [None, RunState.CANCELED, RunState.SYSTEM_ERROR])
def test_a_provider_that_still_executes_an_ended_or_deleted_run_is_a_discrepancy(
    site: Site, state: RunState | None
) -> None:
    id = site.accepted()
    site.withdraw(state)

    [found] = site.found()

    assert (found.kind, found.repair) == (DiscrepancyKind.STILL_ACTIVE, Repair.CANCEL)
    assert (found.provider_run_id, found.run_state) == (id, state)
    assert ("was deleted" if state is None else f"has ended as {state}") in found.explanation


def test_a_deleted_run_whose_cancellation_was_sent_is_no_discrepancy(site: Site) -> None:
    site.accepted()
    site.withdraw(None, cancel_was_sent=True)

    assert site.kinds() == []


def test_a_deleted_run_that_has_ended_at_its_provider_is_polled(site: Site) -> None:
    site.provider.put(site.accepted(), a_report(RunState.COMPLETE))
    site.withdraw(None)

    assert site.kinds() == [(DiscrepancyKind.STATE_DIFFERS, Repair.POLL_NOW)]


def test_a_deleted_run_is_cancelled_at_its_provider_and_recorded_first(site: Site) -> None:
    id = site.accepted()
    site.withdraw(None)
    site.provider.fail_next(NotNow("busy"), operation="cancel")

    [failed] = site.repair()
    recorded = list(site.units.cancelled)
    [result] = site.repair()

    assert (failed.succeeded, failed.message, recorded) == (False, "busy", [id])
    assert (result.succeeded, site.provider.cancelled) == (True, [id])
    assert site.timeline()[-1] == f"ada@lab: {result.message}"


def test_a_run_whose_row_was_restored_since_is_not_cancelled(site: Site) -> None:
    id = site.accepted()
    site.withdraw(None)
    found = site.found()
    site.units.ended.add(id)

    [result] = site.repair(found)

    assert (result.succeeded, site.provider.cancelled) == (False, [])


def test_every_repair_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.accepted()
    second = site.started()

    site.repair()

    [line] = [record.message for record in caplog.records if record.message.startswith("discrepancy.repaired")]
    assert second in line
    assert "run_id=run-1" in line
