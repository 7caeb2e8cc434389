"""The decorators in the order of the stack."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.builders import a_report, a_submission
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.adapters.memory.telemetry import MemoryTelemetry
from wes_daemon.adapters.resilience.circuit_breaking import CircuitPolicy
from wes_daemon.adapters.resilience.retrying import RetryPolicy
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.application.ports.errors import (
    AnswerLost,
    CircuitOpen,
    Misconfigured,
    NotNow,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unavailable,
    Unprovable,
)
from wes_daemon.application.ports.providers import Accepted, Prepared, Submission, WorkflowProvider
from wes_daemon.application.ports.telemetry import CallOutcome
from wes_daemon.domain.runs import ProviderRunId, ProviderType
from wes_daemon.domain.states import RunState

RETRY_POLICY = RetryPolicy(attempts=3, first_wait=timedelta(seconds=1), longest_wait=timedelta(seconds=5))

CIRCUIT_POLICY = CircuitPolicy(failures=2)


class Noting(MemoryProvider):
    """A provider that remembers which submissions were said to be resumed."""

    def __init__(self) -> None:
        super().__init__(status_batch=2)
        self.resumed: list[bool] = []

    def submit(self, submission: Submission) -> Accepted | Prepared:
        self.resumed.append(submission.resumed)
        return super().submit(submission)


class Stack:
    """A provider inside all decorators, and a record of what these did."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.telemetry = MemoryTelemetry()
        self.inner = Noting()
        self.slept: list[timedelta] = []
        self.outer: WorkflowProvider = decorated(
            self.inner,
            ProviderType.LOCAL,
            telemetry=self.telemetry,
            clock=self.clock,
            sleep=self.slept.append,
            retry_policy=RETRY_POLICY,
            circuit_policy=CIRCUIT_POLICY,
        )


@pytest.fixture
def stack() -> Stack:
    return Stack()


class TestRetrying:
    @pytest.mark.parametrize("error", [NotNow("busy"), Throttled("busy"), OutcomeUnknown("cut")])
    def test_transient_errors_are_retried(self, stack: Stack, error: Exception) -> None:
        stack.inner.fail_next(error)

        answer = stack.outer.submit(a_submission())

        assert answer == Accepted(ProviderRunId("memory-1"))
        assert stack.inner.calls == ["submit", "submit"]
        assert stack.telemetry.retries[0][:3] == (ProviderType.LOCAL, "submit", 1)

    @pytest.mark.parametrize(
        "error",
        [
            Rejected("no"),
            Misconfigured("token"),
            Unprovable("?"),
            CircuitOpen("open", retry_after=timedelta(seconds=1)),
            ZeroDivisionError("a bug"),
        ],
    )
    def test_no_other_error_is_retried(self, stack: Stack, error: Exception) -> None:
        stack.inner.fail_next(error)

        with pytest.raises(type(error)):
            stack.outer.submit(a_submission())

        assert stack.inner.calls == ["submit"]

    def test_the_number_of_attempts_is_limited(self, stack: Stack) -> None:
        stack.inner.fail_next(*[NotNow("busy")] * 10)

        with pytest.raises(NotNow):
            stack.outer.submit(a_submission())

        assert len(stack.inner.calls) == RETRY_POLICY.attempts
        assert len(stack.slept) == RETRY_POLICY.attempts - 1

    def test_no_wait_is_longer_than_its_bound(self, stack: Stack) -> None:
        stack.inner.fail_next(*[NotNow("busy")] * 10)

        with pytest.raises(NotNow):
            stack.outer.submit(a_submission())

        assert all(wait <= RETRY_POLICY.longest_wait for wait in stack.slept)

    def test_a_retry_waits_as_long_as_the_service_asks(self, stack: Stack) -> None:
        stack.inner.fail_next(NotNow("busy", retry_after=timedelta(seconds=4)))

        stack.outer.submit(a_submission())

        assert stack.slept[0] >= timedelta(seconds=4)

    def test_a_call_is_not_retried_if_the_service_asks_for_a_longer_wait(self, stack: Stack) -> None:
        stack.inner.fail_next(NotNow("busy", retry_after=timedelta(minutes=5)))

        with pytest.raises(NotNow):
            stack.outer.submit(a_submission())

        assert stack.slept == []

    @pytest.mark.parametrize("error", [NotNow("busy"), Rejected("busy"), Misconfigured("busy")])
    def test_no_later_error_takes_back_an_earlier_doubt(self, stack: Stack, error: Exception) -> None:
        stack.inner.lose_next_answer()
        stack.inner.fail_next(error, error)

        with pytest.raises(OutcomeUnknown, match="the answer was lost; then busy"):
            stack.outer.submit(a_submission())

        assert stack.inner.started == ["wes-run-1"]

    @pytest.mark.parametrize(
        ("first", "second"),
        [(NotNow("busy"), False), (OutcomeUnknown("cut"), True), (AnswerLost("cut"), True)],
    )
    def test_after_a_doubt_the_next_attempt_says_that_the_run_may_have_been_started(
        self, stack: Stack, first: Exception, second: bool
    ) -> None:
        stack.inner.fail_next(first, NotNow("busy"))

        stack.outer.submit(a_submission())

        assert stack.inner.resumed == [False, second, second]

    @pytest.mark.parametrize(
        ("operation", "call"),
        [
            ("statuses", lambda provider: provider.statuses([ProviderRunId("memory-1")])),
            ("cancel", lambda provider: provider.cancel(ProviderRunId("memory-1"))),
            ("details", lambda provider: provider.details(ProviderRunId("memory-1"))),
        ],
    )
    def test_every_call_is_retried(
        self, stack: Stack, operation: str, call: Callable[[WorkflowProvider], object]
    ) -> None:
        stack.outer.submit(a_submission())
        stack.inner.fail_next(NotNow("busy"), operation=operation)

        call(stack.outer)

        assert stack.inner.calls.count(operation) == 2


class TestCircuitBreaking:
    def test_an_open_circuit_ends_the_attempts_at_once(self, stack: Stack) -> None:
        stack.inner.fail_next(*[Unavailable("down")] * 10, operation="statuses")

        with pytest.raises(CircuitOpen):
            stack.outer.statuses([ProviderRunId("memory-1")])

        assert stack.inner.calls == ["statuses"] * CIRCUIT_POLICY.failures
        assert len(stack.slept) == CIRCUIT_POLICY.failures

    def test_an_open_circuit_does_not_take_back_an_earlier_doubt(self, stack: Stack) -> None:
        stack.inner.lose_next_answer(error=AnswerLost("the answer was lost"))
        stack.inner.fail_next(AnswerLost("cut"))

        with pytest.raises(OutcomeUnknown, match="cut; then local has failed 2 times in a row"):
            stack.outer.submit(a_submission())

        assert stack.inner.started == ["wes-run-1"]

    def test_no_batch_follows_one_that_meets_an_open_circuit(self, stack: Stack) -> None:
        ids = [_submitted(stack, f"wes-{number}") for number in range(6)]
        stack.inner.fail_next(*[Unavailable("down")] * 10, operation="statuses")

        with pytest.raises(CircuitOpen):
            stack.outer.statuses(ids)

        assert stack.inner.calls.count("statuses") == CIRCUIT_POLICY.failures

    def test_telemetry_reports_a_refused_call_as_not_now(self, stack: Stack) -> None:
        stack.inner.fail_next(*[Unavailable("down")] * 10, operation="details")

        with pytest.raises(CircuitOpen):
            stack.outer.details(ProviderRunId("memory-1"))

        assert stack.telemetry.calls == [(ProviderType.LOCAL, "details", CallOutcome.NOT_NOW)]
        assert stack.telemetry.circuits == [(ProviderType.LOCAL, "opened")]


class TestBatching:
    def test_any_number_of_ids_is_requested_in_batches(self, stack: Stack) -> None:
        ids = [_submitted(stack, f"wes-{number}") for number in range(5)]

        reports = stack.outer.statuses(ids)

        assert set(reports) == set(ids)
        assert stack.inner.calls.count("statuses") == 3

    def test_no_ids_need_no_request(self, stack: Stack) -> None:
        assert stack.outer.statuses([]) == {}
        assert stack.inner.calls == []

    def test_only_the_batch_that_fails_is_requested_again(self, stack: Stack) -> None:
        ids = [_submitted(stack, f"wes-{number}") for number in range(4)]
        stack.inner.put(ids[0], a_report(RunState.RUNNING))
        stack.inner.fail_next(NotNow("busy"), operation="statuses")

        stack.outer.statuses(ids)

        assert stack.inner.calls.count("statuses") == 3

    def test_the_limits_are_those_of_the_service(self, stack: Stack) -> None:
        assert stack.outer.limits.status_batch == 2


class TestInstrumenting:
    @pytest.mark.parametrize(
        ("error", "outcome"),
        [
            (Rejected("no"), CallOutcome.REJECTED),
            (NotNow("busy", retry_after=timedelta(hours=1)), CallOutcome.NOT_NOW),
            (Misconfigured("token"), CallOutcome.MISCONFIGURED),
            (ZeroDivisionError("a bug"), CallOutcome.BUG),
        ],
    )
    def test_it_reports_the_outcome_of_a_call(self, stack: Stack, error: Exception, outcome: CallOutcome) -> None:
        stack.inner.fail_next(error)

        with pytest.raises(type(error)):
            stack.outer.submit(a_submission())

        assert stack.telemetry.calls == [(ProviderType.LOCAL, "submit", outcome)]

    def test_it_reports_an_unknown_outcome(self, stack: Stack) -> None:
        stack.inner.fail_next(*[OutcomeUnknown("cut")] * 3)

        with pytest.raises(OutcomeUnknown):
            stack.outer.submit(a_submission())

        assert stack.telemetry.calls == [(ProviderType.LOCAL, "submit", CallOutcome.OUTCOME_UNKNOWN)]

    def test_a_call_with_its_retries_is_reported_once(self, stack: Stack) -> None:
        stack.inner.fail_next(NotNow("busy"))

        stack.outer.submit(a_submission())

        assert stack.telemetry.calls == [(ProviderType.LOCAL, "submit", CallOutcome.ANSWERED)]


def _submitted(stack: Stack, key: str) -> ProviderRunId:
    answer = stack.outer.submit(a_submission(key))
    assert isinstance(answer, Accepted)
    return answer.id
