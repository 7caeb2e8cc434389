"""The provider contract on the memory adapters, bare and with everything round them."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count

import pytest

from tests.builders import a_report, a_submission
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory, PreparingMemoryProvider
from wes_daemon.adapters.memory.telemetry import MemoryTelemetry
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.application.ports.errors import Misconfigured, NotEnabled, OutcomeUnknown, Rejected
from wes_daemon.application.ports.providers import Prepared, ProviderTask, RunDetails, Submission, WorkflowProvider
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, ProviderType, RunId, StatusReport
from wes_daemon.domain.states import RunState
from wes_daemon.testing import ProviderContract, ProviderHarness, accept

DETAILS = RunDetails(outputs={"answer": 42}, tasks=[ProviderTask(id="t1", name="step")])


class MemoryHarness(ProviderHarness):
    """The memory provider is the service itself; `wrap` is what stands between it and the caller."""

    def __init__(
        self, service: MemoryProvider, wrap: Callable[[MemoryProvider], WorkflowProvider] = lambda service: service
    ) -> None:
        self._service = service
        self._wrap = wrap
        self._numbers = count(1)

    def provider(self) -> WorkflowProvider:
        return self._wrap(self._service)

    def submission(self, fate: RunState = RunState.COMPLETE) -> Submission:
        return a_submission(f"wes-run-{next(self._numbers)}")

    def reach(self, id: ProviderRunId, state: RunState) -> None:
        clock = ManualClock()
        started = None if state is RunState.INITIALIZING else clock.now()
        ended = clock.now() + timedelta(minutes=1) if state.has_ended else None
        message = "exit 1" if state is RunState.EXECUTOR_ERROR else ""
        self._service.put(id, a_report(state, started_at=started, ended_at=ended, message=message), DETAILS)

    def starts(self, key: IdempotencyKey) -> int:
        return self._service.started.count(key)

    def lose_answer(self, submission: Submission) -> None:
        self._service.lose_next_answer()
        with suppress(OutcomeUnknown):
            self._service.submit(submission)

    def start_former(self, run_id: RunId) -> str:
        return self._service.start_former(run_id)

    def refused(self) -> Submission:
        self._service.fail_next(Rejected("it can never work"))
        return self.submission()


class PreparingHarness(MemoryHarness):
    """As above, for a service that needs two steps."""

    def only_prepare(self, submission: Submission) -> ProviderRunId:
        answer = self.provider().submit(submission)
        assert isinstance(answer, Prepared)
        return answer.id


def with_everything(service: MemoryProvider) -> WorkflowProvider:
    return decorated(
        service,
        ProviderType.LOCAL,
        telemetry=MemoryTelemetry(),
        clock=ManualClock(),
        sleep=lambda _: None,
    )


class TestMemoryProvider(ProviderContract):
    @pytest.fixture
    def harness(self) -> ProviderHarness:
        return MemoryHarness(MemoryProvider())


class TestDecoratedMemoryProvider(ProviderContract):
    @pytest.fixture
    def harness(self) -> ProviderHarness:
        return MemoryHarness(MemoryProvider(status_batch=1), with_everything)


class TestPreparingMemoryProvider(ProviderContract):
    @pytest.fixture
    def harness(self) -> ProviderHarness:
        return PreparingHarness(PreparingMemoryProvider())


class TestDecoratedPreparingMemoryProvider(ProviderContract):
    @pytest.fixture
    def harness(self) -> ProviderHarness:
        return PreparingHarness(PreparingMemoryProvider(status_batch=1), with_everything)


def test_more_ids_than_a_call_may_carry_are_a_bug_of_the_caller() -> None:
    provider = MemoryProvider(status_batch=1)

    with pytest.raises(ValueError, match="1 are allowed"):
        provider.statuses([ProviderRunId("a"), ProviderRunId("b")])


def test_a_run_can_be_forgotten_as_by_a_service_that_deletes_old_ones() -> None:
    provider = MemoryProvider()
    id = accept(provider, a_submission())

    provider.forget(id)

    assert provider.statuses([id]) == {}


def test_a_draft_that_a_search_misses_leaves_a_surplus_but_starts_nothing() -> None:
    provider = PreparingMemoryProvider()
    provider.submit(a_submission())
    provider.search_misses = True

    provider.submit(a_submission())

    assert len(provider.drafts) == 2
    assert provider.started == []


def test_a_draft_that_is_gone_cannot_be_started() -> None:
    with pytest.raises(Rejected, match="draft-9 is gone"):
        PreparingMemoryProvider().submit(a_submission(prepared_id=ProviderRunId("draft-9")))


def test_a_directory_gives_providers_and_raises_errors() -> None:
    provider = MemoryProvider()
    directory = MemoryProviderDirectory(
        {ProviderType.LOCAL: provider, ProviderType.HEALTHOMICS: Misconfigured("token expired")}
    )

    assert directory.provider(ProviderType.LOCAL) is provider
    with pytest.raises(Misconfigured, match="token expired"):
        directory.provider(ProviderType.HEALTHOMICS)
    with pytest.raises(NotEnabled, match="not set up"):
        directory.provider(ProviderType.SEVENBRIDGES)


def test_what_does_not_bear_our_mark_is_not_told() -> None:
    provider = MemoryProvider()
    accept(provider, a_submission("nightly-7"))

    assert provider.owned_runs(ManualClock().now()).runs == []


def test_a_run_stays_where_it_was_put() -> None:
    provider = MemoryProvider()
    id = accept(provider, a_submission())
    report: StatusReport = a_report(RunState.RUNNING)

    provider.put(id, report)

    assert provider.statuses([id]) == {id: report}
