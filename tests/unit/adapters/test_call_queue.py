"""Which of the waiting threads calls next."""

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest

from tests.builders import a_submission
from tests.memory.quotas import MemoryQuotas
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.resilience.call_gate import QuotaExhausted, RateLimiter
from wes_daemon.adapters.resilience.call_priority import AtPriority, CallPriority, Prioritising, current_priority
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.plugins.rates import Rate

SECOND = timedelta(seconds=1)


class Sleepers:
    """A `sleep` that ends when the clock is advanced, and counts the sleeping threads."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.asleep = 0
        self._changed = threading.Condition()

    def sleep(self, time: timedelta) -> None:
        """Wait until the clock was advanced that far."""
        until = self.clock.monotonic() + time
        with self._changed:
            self.asleep += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.clock.monotonic() >= until)
            self.asleep -= 1
            self._changed.notify_all()

    def wait_until_asleep(self, count: int) -> None:
        """Return when `count` threads sleep."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.asleep == count, timeout=60)

    def advance(self, by: timedelta) -> None:
        """Advance the clock and wake the threads whose sleep has ended."""
        with self._changed:
            self.clock.advance(by)
            self._changed.notify_all()


class Callers:
    """Threads that call, and the order in which they called."""

    def __init__(self, rate: Rate) -> None:
        self.sleepers = Sleepers()
        self.limiter = RateLimiter(
            {ALL_OPERATIONS: rate},
            quotas=MemoryQuotas(self.sleepers.clock),
            account="service",
            clock=self.sleepers.clock,
            sleep=self.sleepers.sleep,
            longest_wait=60 * SECOND,
        )
        self.served: list[CallPriority] = []
        self.waiting = 0
        self._threads: list[threading.Thread] = []

    def join(self, priority: CallPriority, *, times: int = 1) -> None:
        """Let threads wait for a call, and return when they do."""
        for _ in range(times):
            thread = threading.Thread(target=self._call, args=[priority])
            self._threads.append(thread)
            thread.start()
            self.waiting += 1
            self.sleepers.wait_until_asleep(self.waiting)

    def serve(self) -> Sequence[CallPriority]:
        """Let time pass until all have called."""
        while any(thread.is_alive() for thread in self._threads):
            self.sleepers.advance(SECOND / 10)
            for thread in self._threads:
                thread.join(0.001)
        return self.served

    def _call(self, priority: CallPriority) -> None:
        with AtPriority(priority):
            self.limiter.acquire("anything")
        self.served.append(priority)


@pytest.fixture
def callers() -> Callers:
    """Callers of a quota that has just been spent."""
    callers = Callers(Rate(calls=1))
    callers.limiter.acquire("anything")
    return callers


def test_a_submission_does_not_wait_behind_polls_that_came_before_it(callers: Callers) -> None:
    callers.join(CallPriority.STATUS, times=8)
    callers.join(CallPriority.SUBMISSION)

    served = callers.serve()

    assert served[0] is CallPriority.SUBMISSION
    assert served.count(CallPriority.STATUS) == 8


def test_the_highest_priority_goes_first_however_long_the_others_have_waited(callers: Callers) -> None:
    for one in reversed(CallPriority):
        callers.join(one)

    served = callers.serve()

    assert served == list(CallPriority)


def test_every_tenth_call_goes_to_the_lowest_priority(callers: Callers) -> None:
    callers.join(CallPriority.INVENTORY)
    callers.join(CallPriority.SUBMISSION, times=15)

    served = callers.serve()

    assert 5 <= served.index(CallPriority.INVENTORY) <= 10


def test_no_thread_waits_longer_than_the_longest_wait_even_if_others_always_go_first() -> None:
    clock = ManualClock()
    limiter = RateLimiter(
        {ALL_OPERATIONS: Rate(calls=1)}, quotas=MemoryQuotas(clock), account="service", clock=clock, sleep=clock.advance
    )
    limiter.block_until(clock.now() + 11 * SECOND, reason="the service asked for no calls")

    with pytest.raises(QuotaExhausted):
        limiter.acquire("anything")

    assert clock.monotonic() <= 10 * SECOND


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("submit", CallPriority.SUBMISSION),
        ("cancel", CallPriority.CANCEL),
        ("statuses", CallPriority.STATUS),
        ("details", CallPriority.STATUS),
        ("owned_runs", CallPriority.INVENTORY),
        ("delete_draft", CallPriority.INVENTORY),
    ],
)
def test_each_method_of_the_port_has_its_priority(method: str, expected: CallPriority) -> None:
    seen: list[CallPriority] = []

    class Seeing:
        def __getattr__(self, name: str) -> object:
            return lambda *_, **__: seen.append(current_priority())

    provider: WorkflowProvider = Prioritising(Seeing())  # type: ignore[arg-type]
    getattr(provider, method)(a_submission() if method == "submit" else "id-1")

    assert seen == [expected]
    assert current_priority() is CallPriority.SUBMISSION
