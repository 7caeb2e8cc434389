"""D4: a run whose directory was deleted says so, and its processes end when it is cancelled."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.providers.local_harness import LocalHarness, runners_of, wait_until
from wes_daemon.adapters.providers.local.cleanup import end_processes, find_processes
from wes_daemon.adapters.providers.local.work_directory import remove_stale_markers
from wes_daemon.application.ports.errors import OutcomeUnknown
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.states import RunState
from wes_daemon.testing import status

pytest.importorskip("cwltool")


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[LocalHarness]:
    harness = LocalHarness(tmp_path)
    yield harness
    harness.close()


@pytest.fixture
def deleted(harness: LocalHarness) -> Iterator[Submission]:
    """A running run whose directory was deleted."""
    submission = harness.of("sleep.cwl")
    provider = harness.provider()
    id = provider.submit(submission).id
    wait_until(lambda: provider.details(id).tasks, "the step to begin")
    run = harness.run(id)
    shutil.rmtree(run.path)
    yield submission
    end_processes(run, grace=timedelta())


def test_a_run_whose_directory_was_deleted_says_so_while_it_goes_on(harness: LocalHarness, deleted: Submission) -> None:
    run = harness.run(deleted.key)

    report = status(harness.provider(), harness.id(deleted))

    assert (report.state, report.provider_status) == (RunState.RUNNING, "deleted")
    assert f"the run's directory {run.path} was deleted; its processes go on until the run is canc" in report.message
    assert find_processes(run)


def test_a_cancellation_ends_the_processes_of_a_run_whose_directory_was_deleted(
    harness: LocalHarness, deleted: Submission
) -> None:
    id = harness.id(deleted)

    harness.provider().cancel(id)

    assert find_processes(harness.run(id)) == []
    assert status(harness.provider(), id).state is RunState.CANCELED


def test_a_run_that_ended_after_its_directory_was_deleted_has_a_reason(
    harness: LocalHarness, deleted: Submission
) -> None:
    id, provider = harness.id(deleted), harness.provider()
    end_processes(harness.run(id), grace=timedelta())
    wait_until(lambda: not runners_of(harness.run(id)), "the runner to end")

    report = status(provider, id)

    assert report.state is RunState.SYSTEM_ERROR
    assert "was deleted before the run ended, with its outputs and logs" in report.message
    assert list(provider.details(id).system_logs) == [report.message]


def test_a_run_is_not_started_again_beside_the_processes_of_its_deleted_directory(
    harness: LocalHarness, deleted: Submission
) -> None:
    with pytest.raises(OutcomeUnknown, match="its directory was deleted while it was running"):
        harness.provider().submit(deleted)


def test_an_ended_run_whose_directory_was_deleted_is_unknown(harness: LocalHarness) -> None:
    provider = harness.provider()
    id = provider.submit(harness.submission()).id
    harness.reach(id, RunState.COMPLETE)

    shutil.rmtree(harness.run(id).path)

    assert provider.statuses([id]) == {}
    assert list(harness.workdir.iterdir()) == []


def test_the_marker_of_a_deleted_directory_is_removed_after_months(harness: LocalHarness) -> None:
    kept, deleted = (harness.run(harness.only_prepare(harness.submission())) for _ in range(2))
    shutil.rmtree(deleted.path)
    now = datetime.now(UTC)

    found = []
    for days in (89, 91):
        remove_stale_markers(harness.workdir, now + timedelta(days=days))
        found.append((kept.active_marker.exists(), deleted.was_deleted))

    assert found == [(True, True), (True, False)]
