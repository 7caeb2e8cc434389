"""Do database and providers agree?"""

import logging
from datetime import timedelta

import pytest

from tests.builders import a_report, a_run
from tests.unit.application.reconciling import DAY, HOUR, SEVENBRIDGES, Site
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.application.discrepancies import Kind, Remedy
from wes_daemon.application.ports.errors import Misconfigured, NotNow, Rejected
from wes_daemon.application.ports.providers import as_key, run_id_of
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_runs_key_is_known_for_one_and_leads_back_to_the_run() -> None:
    key = a_run("7f3a").idempotency_key

    assert as_key(key) == key
    assert run_id_of(key) == "7f3a"


@pytest.mark.parametrize("text", ["", "wes-", "wes", "my wes-1", "wes-1 of mine", "wes-\x1b", "wes-" + "x" * 80])
def test_what_has_not_the_form_of_a_key_is_none(text: str) -> None:
    assert as_key(text) is None


# what is found


def test_what_is_recorded_and_runs_is_no_discrepancy(site: Site) -> None:
    for number in range(5):
        site.accepted(f"run-{number}")
    site.pass_time(HOUR)

    report = site.compare()

    assert report.agrees
    assert report.compared == [SEVENBRIDGES]


def test_a_comparison_changes_nothing(site: Site) -> None:
    site.accepted()
    site.started_unseen("run-1")
    site.pass_time(DAY)
    tables, started = site.world.store.tables, list(site.provider.started)

    site.found()

    assert site.world.store.tables is tables
    assert (site.provider.started, site.provider.cancelled) == (started, [])


def test_a_run_that_waits_here_and_runs_there_is_to_be_adopted(site: Site) -> None:
    site.queue()
    id = site.started_unseen()
    site.pass_time(HOUR)

    [found] = site.found()

    assert (found.kind, found.remedy) == (Kind.UNKNOWN_RUN, Remedy.ADOPT)
    assert (found.provider_run_id, found.run_id, found.run_state) == (id, "run-1", RunState.QUEUED)


def test_what_has_just_begun_is_left_to_the_daemon(site: Site) -> None:
    site.queue()
    site.started_unseen()
    site.pass_time(timedelta(minutes=4))

    assert site.kinds() == []


def test_what_a_daemon_works_on_is_told_and_left_to_it(site: Site) -> None:
    site.queue()
    site.started_unseen()
    site.pass_time(HOUR)
    site.claimed()

    assert site.kinds() == [(Kind.UNKNOWN_RUN, Remedy.NONE)]


def test_a_second_run_is_told_loudly(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    recorded = site.accepted()
    second = site.started_unseen()

    [found] = site.found()

    assert (found.kind, found.remedy, found.provider_run_id) == (Kind.DUPLICATE_RUN, Remedy.CANCEL, second)
    assert recorded in found.explanation
    assert [record.levelno for record in caplog.records if second in record.message] == [logging.ERROR]


def test_a_second_run_that_has_ended_is_told_and_left(site: Site) -> None:
    site.accepted()
    site.provider.put(site.started_unseen(), a_report(RunState.COMPLETE))

    assert site.kinds() == [(Kind.DUPLICATE_RUN, Remedy.NONE)]


def test_a_second_run_that_was_cancelled_is_settled(site: Site) -> None:
    site.accepted()
    site.provider.put(site.started_unseen(), a_report(RunState.CANCELED))

    assert site.kinds() == []


def test_of_two_runs_for_one_that_waits_the_older_is_adopted_and_the_other_is_a_second_run(site: Site) -> None:
    site.queue()
    older = site.started_unseen()
    site.pass_time(HOUR)
    younger = site.started_unseen()
    site.pass_time(HOUR)

    found = site.found()

    assert [(each.provider_run_id, each.remedy) for each in found] == [(older, Remedy.ADOPT), (younger, Remedy.CANCEL)]
    assert found[1].kind is Kind.DUPLICATE_RUN


def test_a_run_for_one_that_has_ended_without_it_is_an_orphan(site: Site) -> None:
    site.world.queue(a_run("run-1", RunState.SYSTEM_ERROR))
    site.started_unseen()

    assert site.kinds() == [(Kind.ORPHANED_RUN, Remedy.CANCEL)]


def test_a_run_for_one_that_is_active_here_without_a_provider_is_told_and_left(site: Site) -> None:
    site.world.queue(a_run("run-1", RunState.RUNNING))
    site.started_unseen()
    site.pass_time(HOUR)

    assert site.kinds() == [(Kind.UNKNOWN_RUN, Remedy.NONE)]


def test_a_run_of_no_run_here_is_a_stranger_and_left_alone(site: Site) -> None:
    site.started_unseen("elsewhere")

    assert site.kinds() == [(Kind.STRANGER, Remedy.NONE)]


def test_what_was_created_before_the_window_is_not_told(site: Site) -> None:
    site.started_unseen("elsewhere")
    site.pass_time(2 * DAY)

    assert site.compare(window=DAY).agrees
    assert not site.compare(window=3 * DAY).agrees


def test_a_run_that_the_provider_does_not_know_is_missing(site: Site) -> None:
    site.provider.forget(site.accepted())

    [found] = site.found()

    assert (found.kind, found.remedy) == (Kind.MISSING_AT_PROVIDER, Remedy.LOOK_AGAIN)
    assert found.provider_status is None


def test_an_end_that_nobody_has_written_down_differs(site: Site) -> None:
    ended_at = site.world.clock.now()
    site.provider.put(site.accepted(), a_report(RunState.COMPLETE, ended_at=ended_at))
    at_once = site.kinds()
    site.pass_time(HOUR)

    assert at_once == []
    assert site.kinds() == [(Kind.STATE_DIFFERS, Remedy.LOOK_AGAIN)]


def test_no_news_is_no_discrepancy(site: Site) -> None:
    site.provider.put(site.accepted(), a_report(RunState.UNKNOWN))

    assert site.kinds() == []


def test_many_runs_are_compared_page_by_page(site: Site) -> None:
    for number in range(7):
        site.provider.forget(site.accepted(f"run-{number}"))
        site.started_unseen(f"stranger-{number}")

    kinds = [kind for kind, _ in site.kinds()]

    assert kinds.count(Kind.MISSING_AT_PROVIDER) == 7
    assert kinds.count(Kind.STRANGER) == 7


# drafts


def test_an_old_draft_beside_the_recorded_run_is_left_behind(site: Site) -> None:
    site.accepted()
    draft = site.drafted()
    site.pass_time(timedelta(hours=23))
    before = site.kinds()
    site.pass_time(HOUR)

    [found] = site.found()

    assert before == []
    assert (found.kind, found.remedy, found.provider_run_id) == (Kind.LEFTOVER_DRAFT, Remedy.REMOVE, draft)


def test_a_draft_that_may_yet_be_started_is_no_leftover(site: Site) -> None:
    site.queue()
    site.drafted()
    site.pass_time(2 * DAY)

    assert site.kinds() == []


def test_a_draft_of_no_run_here_is_a_stranger(site: Site) -> None:
    site.drafted("elsewhere")
    site.pass_time(2 * DAY)

    assert site.kinds() == [(Kind.STRANGER, Remedy.NONE)]


# who could not be asked


@pytest.mark.parametrize("trouble", [NotNow("busy"), Misconfigured("token expired"), Rejected("not set up")])
def test_a_provider_that_holds_runs_and_cannot_be_asked_is_told(site: Site, trouble: Exception) -> None:
    site.accepted()
    site.provider.fail_next(trouble, operation="owned_runs")

    report = site.compare()

    assert report.not_asked == {SEVENBRIDGES: str(trouble)}
    assert not report.agrees


def test_a_provider_that_nobody_has_set_up_or_used_is_no_trouble(site: Site) -> None:
    site.world.directory.providers[ProviderType.HEALTHOMICS] = Misconfigured("no credentials")

    report = site.compare()

    assert report.not_set_up.keys() == {ProviderType.HEALTHOMICS, ProviderType.LOCAL}
    assert report.agrees


def test_trouble_that_passes_is_told_also_where_nobody_has_used_the_provider(site: Site) -> None:
    site.provider.fail_next(NotNow("busy"), operation="owned_runs")

    assert site.compare().not_asked == {SEVENBRIDGES: "busy"}


def test_one_provider_in_trouble_hides_nothing_of_the_others(site: Site) -> None:
    site.accepted()
    site.provider.fail_next(NotNow("busy"), operation="owned_runs")
    local = MemoryProvider(clock=site.world.clock)
    site.world.directory.providers[ProviderType.LOCAL] = local
    local.start_again(site.provider.submission(ProviderRunId("draft-1")))

    report = site.compare()

    assert [each.provider for each in report.discrepancies] == [ProviderType.LOCAL]
    assert report.not_asked.keys() == {SEVENBRIDGES}


# what is mended


def test_an_adopted_run_is_followed_from_then_on(site: Site) -> None:
    site.queue()
    id = site.started_unseen()
    site.provider.put(id, a_report(RunState.RUNNING))
    site.pass_time(HOUR)

    [mended] = site.mend()

    assert mended.done
    assert site.world.run().state is RunState.INITIALIZING
    assert site.whys()[-1] == f"ada@lab: adopted sevenbridges run {id}"
    assert site.kinds() == []
    site.daemon.refresh()
    assert site.world.run().state is RunState.RUNNING
    site.daemon.submit()
    assert site.provider.started == ["wes-run-1"]


def test_a_run_that_the_daemon_has_sent_meanwhile_is_not_adopted(site: Site) -> None:
    site.queue()
    site.started_unseen()
    site.pass_time(HOUR)
    found = site.found()
    site.daemon.submit()

    [mended] = site.mend_what_was(found)

    assert not mended.done
    assert "settled" in mended.words
    assert [kind for kind, _ in site.kinds()] == [Kind.DUPLICATE_RUN]


def test_a_run_whose_daemon_has_died_is_adopted(site: Site) -> None:
    site.queue()
    site.started_unseen()
    site.claimed()
    site.pass_time(HOUR)

    [mended] = site.mend()

    assert mended.done
    assert site.world.store.tables.submissions[RunId("run-1")].state is SubmissionState.ACCEPTED


def test_a_second_run_is_cancelled_and_the_recorded_one_goes_on(site: Site) -> None:
    recorded, second = site.accepted(), site.started_unseen()

    [mended] = site.mend()

    assert mended.done
    assert site.provider.cancelled == [second]
    assert not site.provider.statuses([recorded])[recorded].state.has_ended
    assert any("told sevenbridges to cancel" in why for why in site.whys())
    assert site.kinds() == []


def test_both_of_two_runs_for_one_are_put_right_at_once(site: Site) -> None:
    site.queue()
    older = site.started_unseen()
    site.pass_time(HOUR)
    younger = site.started_unseen()
    site.pass_time(HOUR)

    mended = site.mend()

    assert [each.done for each in mended] == [True, True]
    assert site.provider.cancelled == [younger]
    assert site.ledger.holders(SEVENBRIDGES, [older, younger]) == {older: "run-1"}


def test_what_the_database_has_come_to_know_since_is_not_cancelled(site: Site) -> None:
    site.accepted()
    second = site.started_unseen()
    found = site.found()
    site.world.queue(a_run("run-2", RunState.RUNNING, tags={"provider_type": SEVENBRIDGES, "provider_id": second}))
    site.daemon.submit()

    [mended] = site.mend_what_was(found)

    assert (mended.done, site.provider.cancelled) == (False, [])


def test_a_stranger_is_cancelled_only_where_that_is_wanted(site: Site) -> None:
    stranger = site.started_unseen("elsewhere")
    [left] = site.mend()
    site.cancel_strangers()
    [mended] = site.mend()

    assert (left.done, mended.done) == (False, True)
    assert site.provider.cancelled == [stranger]


def test_a_missing_run_is_made_due_and_ended_by_the_daemons_own_rule_alone(site: Site) -> None:
    site.provider.forget(site.accepted())

    [mended] = site.mend()

    assert mended.done
    assert site.world.run().state is RunState.INITIALIZING
    assert any("to be asked for at once" in why for why in site.whys())
    site.daemon.refresh()
    assert site.world.run().state is RunState.INITIALIZING
    site.pass_time(2 * HOUR)
    site.daemon.refresh()
    assert site.world.run().state is RunState.SYSTEM_ERROR


def test_an_end_is_written_down_by_the_daemon_at_once(site: Site) -> None:
    site.provider.put(site.accepted(), a_report(RunState.COMPLETE))

    site.mend()
    site.daemon.refresh()

    assert site.world.run().state is RunState.COMPLETE


def test_a_run_that_has_ended_meanwhile_is_not_made_due(site: Site) -> None:
    site.provider.put(site.accepted(), a_report(RunState.COMPLETE))
    found = site.found()
    site.pass_time(HOUR)
    site.daemon.refresh()

    [mended] = site.mend_what_was(found)

    assert not mended.done


def test_a_leftover_draft_is_removed_and_the_run_goes_on(site: Site) -> None:
    recorded, draft = site.accepted(), site.drafted()
    site.pass_time(2 * DAY)

    [mended] = site.mend()

    assert mended.done
    assert draft not in site.provider.drafts
    assert recorded in site.provider.statuses([recorded])
    assert site.whys()[-1] == f"ada@lab: removed sevenbridges draft {draft}"


def test_a_provider_that_fails_leaves_that_one_and_the_next_is_tried(site: Site) -> None:
    for run_id in ("run-1", "run-2"):
        site.accepted(run_id)
        site.started_unseen(run_id)
    found = site.found()
    site.provider.fail_next(NotNow("busy"), operation="cancel")

    mended = site.mend_what_was(found)

    assert [(each.done, each.words == "busy") for each in mended] == [(False, True), (True, False)]


def test_what_is_of_a_deleted_row_is_mended_without_a_timeline(site: Site) -> None:
    site.accepted()
    second = site.started_unseen()
    del site.world.store.tables.runs[RunId("run-1")]

    [mended] = site.mend()

    assert mended.done
    assert site.provider.cancelled == [second]


def test_every_mending_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.accepted()
    second = site.started_unseen()

    site.mend()

    [line] = [record.message for record in caplog.records if record.message.startswith("discrepancy.mended")]
    assert second in line
    assert "run_id=run-1" in line
