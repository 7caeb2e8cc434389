"""The public suite accepts services without idempotency keys, and finds providers that break the contract."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.adapters.test_memory_providers import MemoryHarness
from wes_daemon.plugins import (
    Accepted,
    Idempotency,
    OutcomeUnknown,
    Prepared,
    ProviderRunId,
    Submission,
    Unprovable,
    key_of,
)
from wes_daemon.testing import MemoryProvider, ProviderContract, ProviderHarness, a_request, a_submission

_LONGEST_DOUBT = timedelta(hours=1)


class KeylessProvider(MemoryProvider):
    """A provider of a service that starts a run for each request, whatever its key is.

    Attributes:
        finds_markers: whether the service can be searched for the key of a run.
    """

    idempotency = Idempotency.AT_MOST_ONCE
    finds_markers = True

    def submit(self, submission: Submission) -> Accepted | Prepared:
        if submission.resumed:
            return self._found(submission)
        with self._call("submit"):
            id = ProviderRunId(f"run-{len(self._provider_runs) + 1}")
            self._ids[submission.key] = self._create_run(id, submission, self._clock.now())
            return Accepted(id)

    def _found(self, submission: Submission) -> Accepted:
        if self.finds_markers and submission.key in self._ids:
            return Accepted(self._ids[submission.key])
        kind = OutcomeUnknown if submission.in_doubt_for < _LONGEST_DOUBT else Unprovable
        raise kind(f"no run with the key {submission.key} was found")


class SilentProvider(KeylessProvider):
    """A provider of a service that cannot even be searched."""

    finds_markers = False


class SendingAgain(KeylessProvider):
    """A provider that sends a request again after a lost answer, although the service knows no keys."""

    def submit(self, submission: Submission) -> Accepted | Prepared:
        return super().submit(replace(submission, resumed=False))


class ForgettingKeys(SendingAgain):
    """A provider that claims to have keys."""

    idempotency = Idempotency.KEY


class NeverSure(MemoryProvider):
    """A provider that has keys, and leaves each lost answer in doubt."""

    def submit(self, submission: Submission) -> Accepted | Prepared:
        if submission.key in self._ids:
            raise OutcomeUnknown("the search found nothing")
        return super().submit(submission)


class TestKeylessProvider(ProviderContract):
    @pytest.fixture
    def harness(self) -> ProviderHarness:
        return MemoryHarness(KeylessProvider())


class TestSilentProvider(ProviderContract):
    @pytest.fixture
    def harness(self) -> ProviderHarness:
        return MemoryHarness(SilentProvider())


@pytest.mark.parametrize(
    ("service", "rule"),
    [
        (SendingAgain, "test_a_lost_answer_is_resolved_by_submitting_again"),
        (SendingAgain, "test_a_lost_answer_that_is_a_day_old_is_resolved_or_unprovable"),
        (SendingAgain, "test_a_further_attempt_starts_nothing_where_the_service_knows_no_key"),
        (ForgettingKeys, "test_a_lost_answer_is_resolved_by_submitting_again"),
        (ForgettingKeys, "test_submitting_from_two_threads_at_once_starts_one_run"),
        (NeverSure, "test_a_lost_answer_is_resolved_by_submitting_again"),
    ],
)
def test_the_suite_finds_a_provider_that_breaks_the_contract(service: Callable[[], MemoryProvider], rule: str) -> None:
    test: Any = getattr(ProviderContract(), rule)

    with pytest.raises((AssertionError, OutcomeUnknown, pytest.fail.Exception)):
        test(MemoryHarness(service()))


def test_a_submission_has_the_key_that_the_daemon_derives() -> None:
    submission = a_submission("7f3", request=a_request(workflow_type="WDL"), tags={"project": "trio-7"})

    assert (submission.key, submission.run_id) == (key_of(submission.run_id), "7f3")
    assert (submission.request.workflow_type, submission.tags) == ("WDL", {"project": "trio-7"})
    assert not submission.resumed


def test_what_a_harness_does_not_arrange_is_skipped_with_the_reason() -> None:
    class Smallest(MemoryHarness):
        lose_answer = ProviderHarness.lose_answer

    with pytest.raises(pytest.skip.Exception, match="Smallest cannot lose the answer to wes-run-1"):
        ProviderContract().test_a_lost_answer_is_resolved_by_submitting_again(Smallest(MemoryProvider()))
