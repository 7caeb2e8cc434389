"""Leftover drafts are deleted, and no other drafts."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests import fault_points
from tests.builders import a_submission
from tests.unit.application.reconciling import DAY, SEVENBRIDGES, Site
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.application.ports.errors import Misconfigured, NotNow
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.reconciling.delete_drafts import DraftReport
from wes_daemon.domain.states import RunState
from wes_daemon.testing import accept


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


def test_a_draft_that_is_a_day_old_and_not_recorded_is_deleted(site: Site, reached: list[str]) -> None:
    site.accepted()
    site.drafted()
    site.drafted()
    site.pass_time(DAY)

    report = site.delete_drafts()

    assert report == DraftReport(deleted=2)
    assert site.provider.drafts == {}
    assert reached.count("janitor.before_removal") == 2


def test_a_younger_draft_is_kept(site: Site) -> None:
    site.accepted()
    draft = site.drafted()
    site.pass_time(DAY - timedelta(minutes=1))

    assert site.delete_drafts() == DraftReport()
    assert draft in site.provider.drafts


def test_the_recorded_draft_is_kept_however_old_it_is(site: Site) -> None:
    site.record()
    recorded = site.drafted()
    site.update(submission=SubmissionState.PREPARED, prepared_id=recorded)
    further = site.drafted()
    site.pass_time(2 * DAY)

    site.delete_drafts()

    assert recorded in site.provider.drafts
    assert further not in site.provider.drafts


def test_a_draft_of_a_run_that_may_still_be_submitted_is_kept(site: Site) -> None:
    site.record()
    draft = site.drafted()
    site.pass_time(2 * DAY)

    site.delete_drafts()

    assert draft in site.provider.drafts


def test_a_draft_of_a_run_that_ended_without_a_provider_is_deleted(site: Site) -> None:
    site.record(state=RunState.CANCELED)
    site.drafted()
    site.pass_time(2 * DAY)

    assert site.delete_drafts().deleted == 1


def test_a_draft_of_no_run_in_this_database_is_kept(site: Site) -> None:
    draft = site.drafted("elsewhere")
    site.pass_time(2 * DAY)

    site.delete_drafts()

    assert draft in site.provider.drafts


def test_running_provider_runs_are_never_cancelled(site: Site) -> None:
    site.accepted()
    site.started()
    site.pass_time(2 * DAY)

    site.delete_drafts()

    assert site.provider.cancelled == []


def test_a_draft_that_is_recorded_at_the_last_moment_is_kept(site: Site) -> None:
    """The database is read again right before the deletion."""
    site.record()
    first, second = site.drafted(), site.drafted()
    site.update(submission=SubmissionState.PREPARED, prepared_id=first)
    site.pass_time(2 * DAY)

    def record_the_other(_: str) -> None:
        site.update(prepared_id=second)

    fault_points.listen(record_the_other)
    try:
        report = site.delete_drafts()
    finally:
        fault_points.listen(None)

    assert report == DraftReport(kept=1)
    assert second in site.provider.drafts


def test_a_draft_that_is_started_at_the_last_moment_continues(site: Site) -> None:
    site.record(state=RunState.CANCELED)
    draft = site.drafted()
    site.pass_time(2 * DAY)

    def start(_: str) -> None:
        accept(site.provider, a_submission(prepared_id=draft))

    fault_points.listen(start)
    try:
        report = site.delete_drafts()
    finally:
        fault_points.listen(None)

    assert report == DraftReport(kept=1)
    assert not site.provider.statuses([draft])[draft].state.has_ended


def test_one_pass_deletes_a_hundred_drafts_at_most(site: Site) -> None:
    site.accepted()
    for _ in range(101):
        site.drafted()
    site.pass_time(2 * DAY)

    assert [site.delete_drafts().deleted, site.delete_drafts().deleted] == [100, 1]


def test_a_daemon_that_is_stopping_reads_no_drafts(site: Site) -> None:
    site.accepted()
    site.drafted()
    site.pass_time(2 * DAY)
    site.stop.set()

    assert site.delete_drafts() == DraftReport()
    assert "owned_runs" not in site.provider.calls


@pytest.mark.parametrize("error", [NotNow("busy"), Misconfigured("token expired"), ValueError("a bug")])
def test_the_next_pass_retries_a_provider_that_fails(site: Site, error: Exception) -> None:
    site.accepted()
    site.drafted()
    site.pass_time(2 * DAY)
    site.provider.fail_next(error, operation="owned_runs")

    assert [site.delete_drafts().deleted, site.delete_drafts().deleted] == [0, 1]


def test_a_provider_that_submits_in_one_step_is_not_called(site: Site) -> None:
    provider = MemoryProvider()
    site.directory.providers[SEVENBRIDGES] = provider

    site.delete_drafts()

    assert provider.calls == []
