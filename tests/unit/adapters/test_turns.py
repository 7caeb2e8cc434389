"""Who of those that wait has the next turn."""

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest

from tests.builders import a_submission
from wes_daemon.adapters.memory.budgets import MemoryBudgets
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.providers.decorators.purposes import OnBehalfOf, Purpose, Purposeful, purpose
from wes_daemon.adapters.providers.decorators.rate_limiting import BudgetSpent, RateLimiter
from wes_daemon.adapters.providers.decorators.rates import ALL, Rate
from wes_daemon.application.ports.providers import WorkflowProvider

SECOND = timedelta(seconds=1)


class Sleepers:
    """Sleep that ends when the clock is moved, and knows who sleeps."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.asleep = 0
        self._changed = threading.Condition()

    def sleep(self, time: timedelta) -> None:
        """Wait until the clock has been moved that far."""
        until = self.clock.monotonic() + time
        with self._changed:
            self.asleep += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.clock.monotonic() >= until)
            self.asleep -= 1
            self._changed.notify_all()

    def wait_until_asleep(self, count: int) -> None:
        """Return when so many sleep."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.asleep == count, timeout=20)

    def advance(self, by: timedelta) -> None:
        """Move the clock and wake whoever is due."""
        with self._changed:
            self.clock.advance(by)
            self._changed.notify_all()


class Line:
    """Callers in threads of their own, and the order in which they had their turns."""

    def __init__(self, rate: Rate) -> None:
        self.sleepers = Sleepers()
        self.limiter = RateLimiter(
            {ALL: rate},
            budgets=MemoryBudgets(self.sleepers.clock),
            account="service",
            clock=self.sleepers.clock,
            sleep=self.sleepers.sleep,
            patience=60 * SECOND,
        )
        self.served: list[Purpose] = []
        self.waiting = 0
        self._threads: list[threading.Thread] = []

    def join(self, purpose: Purpose, *, times: int = 1) -> None:
        """Let somebody wait, and return when it does."""
        for _ in range(times):
            thread = threading.Thread(target=self._call, args=[purpose])
            self._threads.append(thread)
            thread.start()
            self.waiting += 1
            self.sleepers.wait_until_asleep(self.waiting)

    def serve(self) -> Sequence[Purpose]:
        """Let time pass until all have had their turns."""
        while any(thread.is_alive() for thread in self._threads):
            self.sleepers.advance(SECOND / 10)
            for thread in self._threads:
                thread.join(0.001)
        return self.served

    def _call(self, purpose: Purpose) -> None:
        with OnBehalfOf(purpose):
            self.limiter.take("anything")
        self.served.append(purpose)


@pytest.fixture
def line() -> Line:
    """A line behind a budget that has just been spent."""
    line = Line(Rate(calls=1))
    line.limiter.take("anything")
    return line


def test_a_submission_does_not_wait_behind_polls_that_came_before_it(line: Line) -> None:
    line.join(Purpose.FOLLOWING, times=8)
    line.join(Purpose.SUBMISSION)

    served = line.serve()

    assert served[0] is Purpose.SUBMISSION
    assert served.count(Purpose.FOLLOWING) == 8


def test_the_most_urgent_goes_first_whoever_has_come_earlier(line: Line) -> None:
    for one in reversed(Purpose):
        line.join(one)

    served = line.serve()

    assert served == list(Purpose)


def test_the_least_urgent_has_every_tenth_turn(line: Line) -> None:
    line.join(Purpose.INVENTORY)
    line.join(Purpose.SUBMISSION, times=15)

    served = line.serve()

    assert 5 <= served.index(Purpose.INVENTORY) <= 10


def test_nobody_waits_longer_than_its_patience_even_if_others_always_come_first() -> None:
    clock = ManualClock()
    limiter = RateLimiter(
        {ALL: Rate(calls=1)}, budgets=MemoryBudgets(clock), account="service", clock=clock, sleep=clock.advance
    )
    limiter.hold(clock.now() + 11 * SECOND)

    with pytest.raises(BudgetSpent):
        limiter.take("anything")

    assert clock.monotonic() <= 10 * SECOND


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("submit", Purpose.SUBMISSION),
        ("cancel", Purpose.CANCEL),
        ("statuses", Purpose.FOLLOWING),
        ("details", Purpose.FOLLOWING),
        ("owned_runs", Purpose.INVENTORY),
        ("delete_draft", Purpose.INVENTORY),
    ],
)
def test_each_call_across_the_port_says_for_what_it_is(method: str, expected: Purpose) -> None:
    seen: list[Purpose] = []

    class Seeing:
        def __getattr__(self, name: str) -> object:
            return lambda *_, **__: seen.append(purpose())

    provider: WorkflowProvider = Purposeful(Seeing())  # type: ignore[arg-type]
    getattr(provider, method)(a_submission() if method == "submit" else "id-1")

    assert seen == [expected]
    assert purpose() is Purpose.SUBMISSION
