"""Drafts left behind are taken away, and no other ones."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.builders import a_run, a_submission
from tests.contracts.provider import accept
from tests.unit.application.reconciling import DAY, SEVENBRIDGES, Site
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.application.ports.errors import Misconfigured, NotNow
from wes_daemon.application.runtime import fault_points
from wes_daemon.application.use_cases.remove_leftover_drafts import RemovalReport
from wes_daemon.domain.runs import RunId
from wes_daemon.domain.states import RunState


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def reached() -> Iterator[list[str]]:
    """The fault points that were reached."""
    points: list[str] = []
    fault_points.listen(points.append)
    yield points
    fault_points.listen(None)


def test_a_draft_that_is_a_day_old_and_not_the_recorded_one_is_removed(site: Site, reached: list[str]) -> None:
    site.accepted()
    site.drafted()
    site.drafted()
    site.pass_time(DAY)

    report = site.remove_drafts()

    assert report == RemovalReport(removed=2)
    assert site.provider.drafts == {}
    assert reached.count("janitor.before_removal") == 2


def test_a_younger_draft_stays(site: Site) -> None:
    site.accepted()
    draft = site.drafted()
    site.pass_time(DAY - timedelta(minutes=1))

    assert site.remove_drafts() == RemovalReport()
    assert draft in site.provider.drafts


def test_the_recorded_draft_stays_however_old_it_is(site: Site) -> None:
    site.queue()
    recorded = site.drafted()
    site.prepared(recorded)
    further = site.drafted()
    site.pass_time(2 * DAY)

    site.remove_drafts()

    assert recorded in site.provider.drafts
    assert further not in site.provider.drafts


def test_a_draft_whose_run_may_yet_be_sent_stays(site: Site) -> None:
    site.queue()
    draft = site.drafted()
    site.pass_time(2 * DAY)

    site.remove_drafts()

    assert draft in site.provider.drafts


def test_a_draft_of_a_run_that_ended_without_a_provider_is_removed(site: Site) -> None:
    site.world.queue(a_run("run-1", RunState.CANCELED))
    site.drafted()
    site.pass_time(2 * DAY)

    assert site.remove_drafts().removed == 1


def test_a_draft_of_no_run_in_this_database_stays_for_it_may_be_anothers(site: Site) -> None:
    draft = site.drafted("elsewhere")
    site.pass_time(2 * DAY)

    site.remove_drafts()

    assert draft in site.provider.drafts


def test_what_runs_is_never_touched(site: Site) -> None:
    site.accepted()
    site.started_unseen()
    site.pass_time(2 * DAY)

    site.remove_drafts()

    assert site.provider.cancelled == []


def test_a_draft_that_is_recorded_at_the_last_moment_stays(site: Site) -> None:
    """The row is read again right before the removal."""
    site.queue()
    first, second = site.drafted(), site.drafted()
    site.prepared(first)
    site.pass_time(2 * DAY)

    def record_the_other(_: str) -> None:
        rows = site.world.store.tables.submissions
        rows[RunId("run-1")] = replace(rows[RunId("run-1")], prepared_id=second)

    fault_points.listen(record_the_other)
    try:
        report = site.remove_drafts()
    finally:
        fault_points.listen(None)

    assert report == RemovalReport(left=1)
    assert second in site.provider.drafts


def test_a_draft_that_is_started_at_the_last_moment_runs_on(site: Site) -> None:
    site.world.queue(a_run("run-1", RunState.CANCELED))
    draft = site.drafted()
    site.pass_time(2 * DAY)

    def start(_: str) -> None:
        accept(site.provider, a_submission(prepared_id=draft))

    fault_points.listen(start)
    try:
        report = site.remove_drafts()
    finally:
        fault_points.listen(None)

    assert report == RemovalReport(left=1)
    assert not site.provider.statuses([draft])[draft].state.has_ended


def test_one_pass_removes_a_hundred_at_most(site: Site) -> None:
    site.accepted()
    for _ in range(101):
        site.drafted()
    site.pass_time(2 * DAY)

    assert [site.remove_drafts().removed, site.remove_drafts().removed] == [100, 1]


def test_a_daemon_that_is_to_stop_begins_no_removal(site: Site) -> None:
    site.accepted()
    site.drafted()
    site.pass_time(2 * DAY)
    site.stop.set()

    assert site.remove_drafts() == RemovalReport()
    assert "owned_runs" not in site.provider.calls


@pytest.mark.parametrize("trouble", [NotNow("busy"), Misconfigured("token expired"), ValueError("a bug")])
def test_a_provider_that_cannot_be_asked_is_left_to_the_next_pass(site: Site, trouble: Exception) -> None:
    site.accepted()
    site.drafted()
    site.pass_time(2 * DAY)
    site.provider.fail_next(trouble, operation="owned_runs")

    assert [site.remove_drafts().removed, site.remove_drafts().removed] == [0, 1]


def test_a_provider_that_accepts_in_one_step_is_not_asked(site: Site) -> None:
    provider = MemoryProvider()
    site.world.directory.providers[SEVENBRIDGES] = provider

    site.remove_drafts()

    assert provider.calls == []
