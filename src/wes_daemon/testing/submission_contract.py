"""The part of the provider contract that keeps a submission single."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from wes_daemon.application.ports.errors import OutcomeUnknown, Rejected, Unprovable
from wes_daemon.application.ports.providers import (
    Accepted,
    Idempotency,
    Prepared,
    WorkflowProvider,
)
from wes_daemon.domain.states import RunState
from wes_daemon.testing.harness import (
    UNFINISHED,
    ProviderFixtures,
    ProviderHarness,
    accept,
    accept_again,
    arranged,
    status,
)


class SubmissionContract(ProviderFixtures):
    """Tests of `submit`."""

    def test_an_accepted_run_is_known_at_once(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission(RunState.RUNNING))

        assert status(provider, id).state in UNFINISHED

    def test_submitting_twice_starts_one_run(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        submission = harness.submission()

        first, second = accept(provider, submission), accept_again(provider, submission)

        assert second in (first, None)
        assert harness.starts(submission.key) == 1

    def test_submitting_a_run_that_has_ended_starts_no_other(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission()
        id = accept(provider, submission)
        harness.reach(id, RunState.COMPLETE)

        assert accept_again(provider, submission) in (id, None)

        assert harness.starts(submission.key) == 1
        assert status(provider, id).state is RunState.COMPLETE

    def test_submitting_from_two_threads_at_once_starts_one_run(self, harness: ProviderHarness) -> None:
        submission = harness.submission()
        providers = [harness.provider(), harness.provider()]
        attempts = [partial(accept, providers[0]), partial(accept_again, providers[1])]

        with ThreadPoolExecutor(2) as threads:
            ids = set(threads.map(lambda attempt: attempt(submission), attempts))

        assert len(ids - {None}) == 1
        assert harness.starts(submission.key) == 1

    def test_submitting_from_another_process_starts_no_other_run(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission()
        with arranged():
            id = harness.submit_in_another_process(submission)

        assert accept_again(provider, submission) in (id, None)

        assert harness.starts(submission.key) == 1

    def test_a_lost_answer_is_resolved_by_submitting_again(self, harness: ProviderHarness) -> None:
        submission = harness.submission()
        with arranged():
            harness.lose_answer(submission)

        id = accept_again(harness.provider(), submission)

        assert harness.starts(submission.key) == 1
        assert id is None or id in harness.provider().statuses([id])

    def test_a_lost_answer_that_is_a_day_old_is_resolved_or_unprovable(self, harness: ProviderHarness) -> None:
        submission = harness.submission()
        with arranged():
            harness.lose_answer(submission)
        harness.let_lists_catch_up()
        provider = harness.provider()
        if provider.limits.idempotency is not Idempotency.AT_MOST_ONCE:
            pytest.skip("this provider may send a key again")

        try:
            id = accept(provider, replace(submission, resumed=True, in_doubt_for=timedelta(days=1)))
        except Unprovable:
            id = None

        assert harness.starts(submission.key) == 1
        assert id is None or id in harness.provider().statuses([id])

    def test_a_further_attempt_starts_nothing_where_the_service_knows_no_key(self, harness: ProviderHarness) -> None:
        provider, submission = harness.provider(), harness.submission()
        if provider.limits.idempotency is not Idempotency.AT_MOST_ONCE:
            pytest.skip("this provider may send a key again")

        with pytest.raises(OutcomeUnknown):
            provider.submit(replace(submission, resumed=True))
        with pytest.raises(Unprovable):
            provider.submit(replace(submission, resumed=True, in_doubt_for=timedelta(days=1)))

        assert harness.starts(submission.key) == 0

    def test_a_draft_is_started_by_submitting_again(self, harness: ProviderHarness) -> None:
        submission = harness.submission()
        with arranged():
            prepared = harness.only_prepare(submission)
        assert harness.starts(submission.key) == 0

        id = accept(harness.provider(), replace(submission, prepared_id=prepared))

        assert id == prepared
        assert harness.starts(submission.key) == 1

    def test_two_keys_are_two_runs(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        one, other = harness.submission(), harness.submission()

        assert accept(provider, one) != accept(provider, other)

        assert (harness.starts(one.key), harness.starts(other.key)) == (1, 1)

    def test_a_rejected_submission_starts_nothing(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        with arranged():
            submission = harness.refused()

        with pytest.raises(Rejected, match=r"\S+"):
            accept(provider, submission)

        assert harness.starts(submission.key) == 0

    def test_a_prepared_run_starts_only_when_it_is_submitted_with_its_id(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission()
        prepared = provider.submit(submission)
        if not isinstance(prepared, Prepared):
            pytest.skip("this provider accepts in one step")
        assert harness.starts(submission.key) == 0

        accepted = provider.submit(replace(submission, prepared_id=prepared.id))

        assert accepted == Accepted(prepared.id)
        assert harness.starts(submission.key) == 1
