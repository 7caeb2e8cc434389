"""The part of the provider contract that following a run depends on."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from wes_daemon.application.ports.errors import Rejected
from wes_daemon.application.ports.providers import (
    ProviderTask,
    WorkflowProvider,
)
from wes_daemon.domain.runs import ProviderRunId
from wes_daemon.domain.states import RunState
from wes_daemon.testing.harness import (
    ProviderFixtures,
    ProviderHarness,
    accept,
    all_ended_runs,
    arranged,
    status,
)


class FollowingContract(ProviderFixtures):
    """Tests of `limits`, `statuses`, `cancel`, `ended` and `details`."""

    def test_a_call_takes_at_least_one_id(self, provider: WorkflowProvider) -> None:
        assert provider.limits.status_batch >= 1

    def test_all_objects_of_one_provider_have_the_same_limits(self, harness: ProviderHarness) -> None:
        assert harness.provider().limits == harness.provider().limits

    def test_statuses_of_nothing_is_nothing(self, provider: WorkflowProvider) -> None:
        assert provider.statuses([]) == {}

    @pytest.mark.parametrize("id", ["3f2a0c1e-0000-4000-8000-000000000000", "../..", "", "a b/ü\0"])
    def test_an_unknown_id_is_absent(self, provider: WorkflowProvider, id: str) -> None:
        assert provider.statuses([ProviderRunId(id)]) == {}

    def test_known_ids_are_reported_beside_unknown_ones(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        ids = {accept(provider, harness.submission(RunState.RUNNING)) for _ in range(2)}

        reports = provider.statuses([*ids, ProviderRunId("unknown")])

        assert reports.keys() == ids

    def test_a_completed_run_has_a_start_and_an_end(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission())
        harness.reach(id, RunState.COMPLETE)

        report = status(provider, id)

        assert report.state is RunState.COMPLETE
        assert report.provider_status
        assert report.started_at is not None
        assert report.ended_at is not None
        assert report.started_at.utcoffset() is not None
        assert report.ended_at - report.started_at >= timedelta()

    def test_a_failed_run_has_a_message(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission(RunState.EXECUTOR_ERROR))
        harness.reach(id, RunState.EXECUTOR_ERROR)

        report = status(provider, id)

        assert report.state is RunState.EXECUTOR_ERROR
        assert report.message

    def test_a_cancelled_run_ends_cancelled(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission(RunState.RUNNING))
        harness.reach(id, RunState.RUNNING)

        provider.cancel(id)

        harness.reach(id, RunState.CANCELED)
        assert status(provider, id).state is RunState.CANCELED

    def test_cancelling_twice_has_the_effect_of_cancelling_once(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        id = accept(provider, harness.submission(RunState.RUNNING))

        provider.cancel(id)
        harness.provider().cancel(id)

        harness.reach(id, RunState.CANCELED)
        provider.cancel(id)
        assert status(provider, id).state is RunState.CANCELED

    def test_cancelling_an_ended_run_changes_nothing(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        id = accept(provider, harness.submission())
        harness.reach(id, RunState.COMPLETE)
        before = status(provider, id)

        provider.cancel(id)

        assert status(provider, id) == before

    def test_cancelling_an_unknown_run_does_nothing(self, provider: WorkflowProvider) -> None:
        provider.cancel(ProviderRunId("3f2a0c1e-0000-4000-8000-000000000000"))

        assert provider.statuses([ProviderRunId("3f2a0c1e-0000-4000-8000-000000000000")]) == {}

    def test_a_cancelled_draft_never_starts(self, harness: ProviderHarness) -> None:
        submission = harness.submission()
        with arranged():
            id = harness.only_prepare(submission)
        provider = harness.provider()

        provider.cancel(id)

        assert id not in (known := provider.statuses([id])) or known[id].state is RunState.CANCELED
        assert harness.starts(submission.key) == 0

    def test_an_ended_run_is_in_the_list_of_ended_runs_if_there_is_one(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        ended, running = accept(provider, harness.submission()), accept(provider, harness.submission(RunState.RUNNING))
        harness.reach(ended, RunState.COMPLETE)

        told = all_ended_runs(harness, harness.provider(), since=harness.beginning)

        assert running not in told
        assert (ended in told) is (provider.limits.ended_list is not None)

    def test_runs_that_ended_before_are_not_in_the_list_of_ended_runs(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        id = accept(provider, harness.submission())
        harness.reach(id, RunState.COMPLETE)
        ended_at = status(provider, id).ended_at
        assert ended_at is not None

        assert id not in all_ended_runs(harness, provider, since=ended_at + timedelta(days=1))

    def test_an_ended_run_has_outputs(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission())
        harness.reach(id, RunState.COMPLETE)

        assert provider.details(id).outputs

    def test_an_ended_run_has_tasks_if_the_service_reports_them(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        id = accept(provider, harness.submission())
        harness.reach(id, RunState.COMPLETE)

        tasks = provider.details(id).tasks

        assert bool(tasks) is harness.has_tasks
        assert all(task.name and task.id for task in tasks)
        assert len({task.id for task in tasks}) == len(tasks)
        assert all(time.utcoffset() is not None for task in tasks for time in _times(task))

    def test_tasks_have_the_same_ids_at_every_call(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission())
        harness.reach(id, RunState.COMPLETE)

        first, second = provider.details(id), harness.provider().details(id)

        assert [task.id for task in first.tasks] == [task.id for task in second.tasks]

    def test_details_of_a_running_run_have_no_exit_code(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        id = accept(provider, harness.submission(RunState.RUNNING))

        details = provider.details(id)

        assert details.exit_code is None

    @pytest.mark.parametrize("id", ["3f2a0c1e-0000-4000-8000-000000000000", "../.."])
    def test_details_of_an_unknown_run_are_refused(self, provider: WorkflowProvider, id: str) -> None:
        with pytest.raises(Rejected):
            provider.details(ProviderRunId(id))


def _times(task: ProviderTask) -> Sequence[datetime]:
    return [time for time in (task.started_at, task.ended_at) if time is not None]
