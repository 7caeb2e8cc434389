"""What is put round a provider."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.builders import a_report, a_submission
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.adapters.memory.telemetry import MemoryTelemetry
from wes_daemon.adapters.providers.decorators.breaking import BreakingPolicy
from wes_daemon.adapters.providers.decorators.retrying import RetryPolicy
from wes_daemon.adapters.providers.decorators.stack import decorated
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
from wes_daemon.application.ports.providers import Accepted, WorkflowProvider
from wes_daemon.application.ports.telemetry import CallOutcome
from wes_daemon.domain.runs import ProviderRunId, ProviderType
from wes_daemon.domain.states import RunState

POLICY = RetryPolicy(attempts=3, first_wait=timedelta(seconds=1), longest_wait=timedelta(seconds=5))

BREAKING = BreakingPolicy(failures=2)


class Stack:
    """A provider, everything round it, and what that did."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.telemetry = MemoryTelemetry()
        self.inner = MemoryProvider(status_batch=2)
        self.slept: list[timedelta] = []
        self.outer: WorkflowProvider = decorated(
            self.inner,
            ProviderType.LOCAL,
            telemetry=self.telemetry,
            clock=self.clock,
            sleep=self.slept.append,
            policy=POLICY,
            breaking=BREAKING,
        )


@pytest.fixture
def stack() -> Stack:
    return Stack()


class TestRetrying:
    @pytest.mark.parametrize("error", [NotNow("busy"), Throttled("busy"), OutcomeUnknown("cut")])
    def test_passing_trouble_is_tried_again(self, stack: Stack, error: Exception) -> None:
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
            CircuitOpen("left alone", retry_after=timedelta(seconds=1)),
            ZeroDivisionError("a bug"),
        ],
    )
    def test_nothing_else_is(self, stack: Stack, error: Exception) -> None:
        stack.inner.fail_next(error)

        with pytest.raises(type(error)):
            stack.outer.submit(a_submission())

        assert stack.inner.calls == ["submit"]

    def test_a_few_times_only(self, stack: Stack) -> None:
        stack.inner.fail_next(*[NotNow("busy")] * 10)

        with pytest.raises(NotNow):
            stack.outer.submit(a_submission())

        assert len(stack.inner.calls) == POLICY.attempts
        assert len(stack.slept) == POLICY.attempts - 1

    def test_no_wait_is_longer_than_its_bound(self, stack: Stack) -> None:
        stack.inner.fail_next(*[NotNow("busy")] * 10)

        with pytest.raises(NotNow):
            stack.outer.submit(a_submission())

        assert all(wait <= POLICY.longest_wait for wait in stack.slept)

    def test_the_service_is_given_the_time_that_it_asks_for(self, stack: Stack) -> None:
        stack.inner.fail_next(NotNow("busy", retry_after=timedelta(seconds=4)))

        stack.outer.submit(a_submission())

        assert stack.slept[0] >= timedelta(seconds=4)

    def test_a_service_that_asks_for_longer_is_left_to_the_schedule(self, stack: Stack) -> None:
        stack.inner.fail_next(NotNow("busy", retry_after=timedelta(minutes=5)))

        with pytest.raises(NotNow):
            stack.outer.submit(a_submission())

        assert stack.slept == []

    @pytest.mark.parametrize("error", [NotNow("busy"), Rejected("busy"), Misconfigured("busy")])
    def test_nothing_takes_back_an_earlier_doubt(self, stack: Stack, error: Exception) -> None:
        stack.inner.lose_next_answer()
        stack.inner.fail_next(error, error)

        with pytest.raises(OutcomeUnknown, match="the answer was lost; then busy"):
            stack.outer.submit(a_submission())

        assert stack.inner.started == ["wes-run-1"]

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


class TestBreaking:
    def test_an_open_circuit_ends_the_attempts_at_once(self, stack: Stack) -> None:
        stack.inner.fail_next(*[Unavailable("down")] * 10, operation="statuses")

        with pytest.raises(CircuitOpen):
            stack.outer.statuses([ProviderRunId("memory-1")])

        assert stack.inner.calls == ["statuses"] * BREAKING.failures
        assert len(stack.slept) == BREAKING.failures

    def test_it_does_not_take_back_an_earlier_doubt(self, stack: Stack) -> None:
        stack.inner.lose_next_answer(error=AnswerLost("the answer was lost"))
        stack.inner.fail_next(AnswerLost("cut"))

        with pytest.raises(OutcomeUnknown, match="cut; then local has failed 2 times in a row"):
            stack.outer.submit(a_submission())

        assert stack.inner.started == ["wes-run-1"]

    def test_a_batch_that_meets_it_is_the_last_one(self, stack: Stack) -> None:
        ids = [_submitted(stack, f"wes-{number}") for number in range(6)]
        stack.inner.fail_next(*[Unavailable("down")] * 10, operation="statuses")

        with pytest.raises(CircuitOpen):
            stack.outer.statuses(ids)

        assert stack.inner.calls.count("statuses") == BREAKING.failures

    def test_to_telemetry_it_is_a_call_that_did_not_take_place(self, stack: Stack) -> None:
        stack.inner.fail_next(*[Unavailable("down")] * 10, operation="details")

        with pytest.raises(CircuitOpen):
            stack.outer.details(ProviderRunId("memory-1"))

        assert stack.telemetry.calls == [(ProviderType.LOCAL, "details", CallOutcome.NOT_NOW)]
        assert stack.telemetry.circuits == [(ProviderType.LOCAL, "opened")]


class TestChunking:
    def test_any_number_of_ids_is_asked_for_in_batches(self, stack: Stack) -> None:
        ids = [_submitted(stack, f"wes-{number}") for number in range(5)]

        reports = stack.outer.statuses(ids)

        assert set(reports) == set(ids)
        assert stack.inner.calls.count("statuses") == 3

    def test_nothing_is_asked_for_nothing(self, stack: Stack) -> None:
        assert stack.outer.statuses([]) == {}
        assert stack.inner.calls == []

    def test_a_batch_that_fails_does_not_have_the_others_asked_again(self, stack: Stack) -> None:
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
    def test_it_tells_how_a_call_ended(self, stack: Stack, error: Exception, outcome: CallOutcome) -> None:
        stack.inner.fail_next(error)

        with pytest.raises(type(error)):
            stack.outer.submit(a_submission())

        assert stack.telemetry.calls == [(ProviderType.LOCAL, "submit", outcome)]

    def test_it_tells_a_doubt(self, stack: Stack) -> None:
        stack.inner.fail_next(*[OutcomeUnknown("cut")] * 3)

        with pytest.raises(OutcomeUnknown):
            stack.outer.submit(a_submission())

        assert stack.telemetry.calls == [(ProviderType.LOCAL, "submit", CallOutcome.OUTCOME_UNKNOWN)]

    def test_retries_are_one_call_to_the_caller(self, stack: Stack) -> None:
        stack.inner.fail_next(NotNow("busy"))

        stack.outer.submit(a_submission())

        assert stack.telemetry.calls == [(ProviderType.LOCAL, "submit", CallOutcome.ANSWERED)]


def _submitted(stack: Stack, key: str) -> ProviderRunId:
    answer = stack.outer.submit(a_submission(key))
    assert isinstance(answer, Accepted)
    return answer.id
