"""A service that fails several times in a row is not called for a cool-down; then one trial call is sent."""

import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from tests.builders import a_submission
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.adapters.memory.telemetry import MemoryTelemetry
from wes_daemon.adapters.providers.local.errors import translate_os_errors
from wes_daemon.adapters.resilience.call_gate import QuotaExhausted
from wes_daemon.adapters.resilience.circuit_breaking import CircuitBreaking, CircuitPolicy
from wes_daemon.adapters.telemetry import LoggingTelemetry
from wes_daemon.application.ports.errors import (
    AnswerLost,
    CircuitOpen,
    Misconfigured,
    NotNow,
    OutcomeUnknown,
    ProviderError,
    Rejected,
    Throttled,
    Unavailable,
)
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.telemetry import Telemetry
from wes_daemon.domain.runs import ProviderRunId, ProviderType

POLICY = CircuitPolicy()
A_MOMENT = timedelta(seconds=1)
RACERS = 16
BOUND = 60.0
ID = ProviderRunId("memory-1")

ANSWERS = [None, Rejected("no"), Misconfigured("token"), Throttled("too many")]
FAILURES = [Unavailable("connection refused"), AnswerLost("timeout")]
INCONCLUSIVE = [
    NotNow("import under way"),
    OutcomeUnknown("not listed yet"),
    QuotaExhausted("the quota is exhausted"),
    ZeroDivisionError("a bug"),
]


class SlowService(MemoryProvider):
    """A service whose `details` last until a test lets them end.

    Attributes:
        outcome: the error that they raise then, if any.
        entered: released by each call of `details`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outcome: Exception | None = None
        self.entered = threading.Semaphore(0)
        self.may_end = threading.Event()

    def details(self, id: ProviderRunId) -> RunDetails:
        self.entered.release()
        assert self.may_end.wait(BOUND)
        if self.outcome:
            raise self.outcome
        return RunDetails()


class Wire:
    """A service behind a circuit breaker, and a record of the calls that reached it."""

    def __init__(self, *, chance: float = 0.5, telemetry: Telemetry | None = None) -> None:
        self.clock = ManualClock()
        self.telemetry = MemoryTelemetry()
        self.service = SlowService()
        self.provider = CircuitBreaking(
            self.service,
            ProviderType.SEVENBRIDGES,
            telemetry=telemetry or self.telemetry,
            clock=self.clock,
            policy=POLICY,
            chance=lambda: chance,
        )

    def call(self, outcome: Exception | None = None) -> None:
        """Make one call that ends with `outcome` if it is permitted; ignore how it ends."""
        if outcome:
            self.service.fail_next(outcome, operation="cancel")
        with suppress(ProviderError, ZeroDivisionError):
            self.provider.cancel(ID)

    def open(self) -> None:
        """Let the service fail until the circuit opens."""
        for _ in range(POLICY.failures):
            self.call(FAILURES[0])

    def refusal(self) -> CircuitOpen:
        """Make one call that is refused, and return the error."""
        with pytest.raises(CircuitOpen) as caught:
            self.provider.cancel(ID)
        return caught.value

    @property
    def reached(self) -> int:
        """How many calls reached the service."""
        return len(self.service.calls)

    @property
    def events(self) -> list[str]:
        """The events that were reported to telemetry."""
        return [event for _, event in self.telemetry.circuits]


@pytest.fixture
def wire() -> Wire:
    return Wire()


class TestClosed:
    @pytest.mark.parametrize("failure", FAILURES, ids=repr)
    def test_five_failures_in_a_row_open_it(self, wire: Wire, failure: Exception) -> None:
        for _ in range(POLICY.failures):
            wire.call(failure)

        wire.refusal()

        assert wire.reached == POLICY.failures
        assert wire.events == ["opened"]

    def test_it_counts_over_all_operations(self, wire: Wire) -> None:
        wire.service.fail_next(*FAILURES, operation="submit")
        wire.service.fail_next(*FAILURES, operation="statuses")
        wire.service.fail_next(FAILURES[0], operation="cancel")
        calls = (
            lambda: wire.provider.submit(a_submission()),
            lambda: wire.provider.statuses([ID]),
            lambda: wire.provider.cancel(ID),
        )

        for number in (0, 0, 1, 1, 2):
            with pytest.raises(tuple(type(failure) for failure in FAILURES)):
                calls[number]()

        for call in calls:
            with pytest.raises(CircuitOpen):
                call()

    @pytest.mark.parametrize("answer", ANSWERS, ids=repr)
    def test_any_answer_of_the_service_resets_the_count(self, wire: Wire, answer: Exception | None) -> None:
        for outcome in [*FAILURES * 2, answer] * 3:
            wire.call(outcome)

        assert wire.reached == 15
        assert wire.events == []

    @pytest.mark.parametrize("outcome", INCONCLUSIVE, ids=repr)
    def test_inconclusive_outcomes_are_not_counted(self, wire: Wire, outcome: Exception) -> None:
        for _ in range(20):
            wire.call(outcome)

        assert wire.reached == 20

    @pytest.mark.parametrize("outcome", INCONCLUSIVE, ids=repr)
    def test_inconclusive_outcomes_do_not_reset_the_count(self, wire: Wire, outcome: Exception) -> None:
        for _ in range(POLICY.failures):
            wire.call(outcome)
            wire.call(FAILURES[0])

        wire.refusal()

    def test_errors_of_the_provider_pass_unchanged(self, wire: Wire) -> None:
        for outcome in [*FAILURES, *INCONCLUSIVE, *ANSWERS[1:]]:
            assert outcome is not None
            wire.service.fail_next(outcome, operation="cancel")
            with pytest.raises(type(outcome)) as caught:
                wire.provider.cancel(ID)
            assert caught.value is outcome


def test_a_full_disk_opens_no_circuit(wire: Wire) -> None:
    """The local provider has no service that could be down."""
    with pytest.raises(NotNow) as full, translate_os_errors(Path("runs")):
        raise OSError(errno.ENOSPC, "No space left on device")

    for _ in range(20):
        wire.call(full.value)

    assert wire.events == []


class TestOpen:
    def test_nothing_reaches_the_service_for_a_minute(self, wire: Wire) -> None:
        wire.open()
        for _ in range(60):
            wire.refusal()
            wire.clock.advance(A_MOMENT)

        assert wire.reached == POLICY.failures

    def test_a_refusal_says_for_how_long_and_why(self, wire: Wire) -> None:
        wire.open()
        wire.clock.advance(timedelta(seconds=20))

        refusal = wire.refusal()

        assert refusal.retry_after == timedelta(seconds=40)
        assert str(refusal) == (
            "sevenbridges has failed 5 times in a row and is not called until 2026-01-01T00:01:00+00:00: "
            "connection refused"
        )

    @pytest.mark.parametrize(("chance", "seconds"), [(0.0, 54), (0.5, 60), (1.0, 66)])
    def test_the_minute_is_a_tenth_shorter_or_longer_by_chance(self, chance: float, seconds: int) -> None:
        wire = Wire(chance=chance)

        wire.open()

        assert wire.refusal().retry_after == timedelta(seconds=seconds)

    def test_a_clock_that_was_set_back_does_not_keep_it_open(self, wire: Wire) -> None:
        wire.open()
        wire.clock.set_back(timedelta(days=1))

        wire.clock.advance(POLICY.cool_down)
        wire.call()

        assert wire.events == ["opened", "closed"]

    @pytest.mark.parametrize("outcome", [None, *FAILURES], ids=repr)
    def test_calls_that_were_under_way_when_it_opened_change_nothing(
        self, wire: Wire, outcome: Exception | None
    ) -> None:
        slow = _SlowCall(wire, outcome)
        wire.open()

        slow.end()

        assert wire.refusal().retry_after == POLICY.cool_down
        assert wire.events == ["opened"]


class TestHalfOpen:
    def test_one_trial_call_is_sent_while_the_others_wait(self, wire: Wire) -> None:
        wire.open()
        wire.clock.advance(POLICY.cool_down)
        trial = _SlowCall(wire, None)

        refusal = wire.refusal()
        trial.end()

        assert refusal.retry_after == POLICY.trial_wait
        assert wire.events == ["opened", "closed"]

    def test_of_threads_that_race_for_the_trial_call_exactly_one_is_permitted(self, wire: Wire) -> None:
        wire.open()
        wire.clock.advance(POLICY.cool_down)
        refused, start = threading.Semaphore(0), threading.Barrier(RACERS)

        def race() -> None:
            start.wait(BOUND)
            try:
                wire.provider.details(ID)
            except CircuitOpen:
                refused.release()

        with ThreadPoolExecutor(RACERS) as pool:
            racing = [pool.submit(race) for _ in range(RACERS)]
            refusals = [refused.acquire(timeout=BOUND) for _ in range(RACERS - 1)]
            wire.service.may_end.set()

        assert all(refusals)
        assert [future.result() for future in racing] == [None] * RACERS
        assert wire.service.entered.acquire(blocking=False)
        assert not wire.service.entered.acquire(blocking=False)

    @pytest.mark.parametrize("answer", ANSWERS, ids=repr)
    def test_an_answer_closes_it(self, wire: Wire, answer: Exception | None) -> None:
        wire.open()
        wire.clock.advance(POLICY.cool_down)

        wire.call(answer)
        for _ in range(POLICY.failures - 1):
            wire.call(FAILURES[0])
        wire.call()

        assert wire.reached == 2 * POLICY.failures + 1
        assert wire.events == ["opened", "closed"]

    @pytest.mark.parametrize("failure", FAILURES, ids=repr)
    def test_a_failure_opens_it_for_as_long_again(self, wire: Wire, failure: Exception) -> None:
        wire.open()
        wire.clock.advance(POLICY.cool_down)

        wire.call(failure)

        assert wire.refusal().retry_after == POLICY.cool_down
        assert wire.events == ["opened", "trial_failed"]

    @pytest.mark.parametrize("outcome", INCONCLUSIVE, ids=repr)
    def test_after_an_inconclusive_trial_call_the_next_call_is_the_trial(self, wire: Wire, outcome: Exception) -> None:
        wire.open()
        wire.clock.advance(POLICY.cool_down)

        wire.call(outcome)
        wire.call()

        assert wire.reached == POLICY.failures + 2
        assert wire.events == ["opened", "closed"]

    def test_an_outage_costs_the_service_a_call_a_minute(self, wire: Wire) -> None:
        wire.open()
        for _ in range(3600):
            wire.clock.advance(A_MOMENT)
            wire.call(FAILURES[0])

        assert wire.reached == POLICY.failures + 60


def test_an_outage_is_logged_as_an_error_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire(telemetry=LoggingTelemetry())
    caplog.set_level("INFO")

    wire.open()
    wire.clock.advance(POLICY.cool_down)
    wire.call(FAILURES[1])
    wire.clock.advance(POLICY.cool_down)
    wire.call()

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "ERROR",
            'provider.circuit_opened provider=sevenbridges until=2026-01-01T00:01:00+00:00 reason="connection refused"',
        ),
        ("INFO", "provider.circuit_trial_failed provider=sevenbridges until=2026-01-01T00:02:00+00:00 reason=timeout"),
        ("INFO", "provider.circuit_closed provider=sevenbridges"),
    ]


class _SlowCall:
    """A call that is in progress until `end` is called."""

    def __init__(self, wire: Wire, outcome: Exception | None) -> None:
        self._service = wire.service
        self._service.outcome = outcome
        self._thread = threading.Thread(target=self._call, args=(wire.provider,))
        self._thread.start()
        assert self._service.entered.acquire(timeout=BOUND)

    def end(self) -> None:
        self._service.may_end.set()
        self._thread.join(BOUND)

    def _call(self, provider: CircuitBreaking) -> None:
        with suppress(ProviderError):
            provider.details(ID)
