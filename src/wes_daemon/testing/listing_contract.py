"""The part of the provider contract that reconciliation depends on."""

from datetime import timedelta

import pytest

from wes_daemon.application.ports.providers import (
    Idempotency,
    Prepared,
    WorkflowProvider,
)
from wes_daemon.domain.runs import ProviderRunId, RunId
from wes_daemon.domain.states import RunState
from wes_daemon.testing.harness import (
    UNFINISHED,
    ProviderFixtures,
    ProviderHarness,
    accept,
    all_former_runs,
    all_owned_runs,
    arranged,
    owned_run,
    status,
)


class ListingContract(ProviderFixtures):
    """Tests of `owned_runs`, `former_runs` and `delete_draft`."""

    def test_an_accepted_run_is_an_owned_run(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        submission = harness.submission(RunState.RUNNING)
        id = accept(provider, submission)

        run = owned_run(all_owned_runs(harness, harness.provider()), id)

        assert (run.key, run.run_id) == (submission.key, submission.run_id)
        assert run.created_at.utcoffset() is not None
        assert run.state in UNFINISHED
        assert run.provider_status
        assert not run.is_draft

    def test_each_of_several_owned_runs_is_listed(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        submissions = [harness.submission(RunState.RUNNING) for _ in range(2)]
        ids = {accept(provider, submission): submission.key for submission in submissions}

        found = all_owned_runs(harness, provider)

        assert {run.id: run.key for run in found if run.id in ids} == ids

    def test_an_ended_run_is_listed_as_ended(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission())
        harness.reach(id, RunState.COMPLETE)

        assert owned_run(all_owned_runs(harness, provider), id).state is RunState.COMPLETE

    def test_owned_runs_that_are_older_are_not_listed(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        id = accept(provider, harness.submission(RunState.RUNNING))
        created_at = owned_run(all_owned_runs(harness, provider), id).created_at

        since_then = all_owned_runs(harness, provider, since=created_at)
        later = all_owned_runs(harness, provider, since=created_at + timedelta(days=1))

        assert owned_run(since_then, id)
        assert id not in {run.id for run in later}

    def test_a_recorded_run_is_listed_under_the_recorded_id(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission(RunState.RUNNING)
        id = accept(provider, submission)

        found = all_owned_runs(harness, provider, recorded=lambda _: {submission.key: id})

        assert owned_run(found, id).key == submission.key

    def test_a_prepared_run_is_listed_as_a_draft(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        answer = provider.submit(harness.submission())
        assert isinstance(answer, Prepared) is (provider.limits.idempotency is Idempotency.DRAFT)
        if not isinstance(answer, Prepared):
            pytest.skip("this provider accepts in one step")

        assert owned_run(all_owned_runs(harness, provider), answer.id).is_draft

    def test_a_draft_of_another_process_is_listed_as_a_draft(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission()
        with arranged():
            id = harness.only_prepare(submission)

        draft = owned_run(all_owned_runs(harness, provider), id)

        assert draft.is_draft
        assert draft.key == submission.key

    def test_a_run_that_was_cancelled_before_it_started_is_no_draft(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission()
        with arranged():
            id = harness.only_prepare(submission)
        provider.cancel(id)

        found = all_owned_runs(harness, provider)

        assert not [run for run in found if run.id == id and run.is_draft]

    def test_a_run_of_the_former_daemon_is_listed_by_its_name(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        with arranged():
            id = harness.start_former(RunId("run-of-old"))
        own = accept(provider, harness.submission(RunState.RUNNING))

        [former] = all_former_runs(harness, provider, since=harness.beginning)

        assert former.id.partition("/")[0] == id
        assert (former.run_id, former.is_former, former.is_draft) == ("run-of-old", True, False)
        assert former.state in UNFINISHED
        assert provider.statuses([former.id])[former.id].state in UNFINISHED
        assert [run.id for run in all_owned_runs(harness, provider)] == [own]

    def test_only_active_runs_of_the_former_daemon_are_listed_on_request(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        with arranged():
            ended, active = (harness.start_former(RunId(run_id)) for run_id in ("ended", "active"))
        harness.reach(ProviderRunId(ended), RunState.COMPLETE)

        everything = all_former_runs(harness, provider, since=harness.beginning)
        only_active = all_former_runs(harness, provider, since=None)

        assert {run.run_id: run.state.has_ended for run in everything} == {"ended": True, "active": False}
        assert {run.id.partition("/")[0] for run in only_active} == {active}

    def test_a_recorded_run_of_the_former_daemon_is_listed_under_the_recorded_id(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        with arranged():
            id = ProviderRunId(harness.start_former(RunId("run-of-old")))

        found = all_former_runs(
            harness, provider, since=harness.beginning, recorded=lambda keys: dict.fromkeys(keys, id)
        )

        assert [run.id for run in found] == [id]

    def test_an_owned_run_is_not_listed_as_one_of_the_former_daemon(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        accept(provider, harness.submission(RunState.RUNNING))

        assert all_former_runs(harness, provider, since=harness.beginning) == []
        assert all_former_runs(harness, provider, since=None) == []

    def test_a_draft_is_deleted_once(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        submission = harness.submission()
        with arranged():
            id = harness.only_prepare(submission)

        deleted = [provider.delete_draft(id), harness.provider().delete_draft(id)]

        assert deleted == [True, False]
        assert provider.statuses([id]) == {}
        assert harness.starts(submission.key) == 0

    def test_a_run_can_be_submitted_again_after_its_draft_was_deleted(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission()
        with arranged():
            provider.delete_draft(harness.only_prepare(submission))

        accept(provider, submission)

        assert harness.starts(submission.key) == 1

    def test_a_started_run_is_not_deleted_as_a_draft(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        id = accept(provider, harness.submission(RunState.RUNNING))
        harness.reach(id, RunState.RUNNING)

        assert provider.delete_draft(id) is False

        assert status(provider, id).state is RunState.RUNNING

    @pytest.mark.parametrize("id", ["3f2a0c1e-0000-4000-8000-000000000000", "../.."])
    def test_an_unknown_id_is_not_deleted_as_a_draft(self, provider: WorkflowProvider, id: str) -> None:
        assert provider.delete_draft(ProviderRunId(id)) is False
