"""Every call to a service waits its turn."""

from datetime import timedelta

import pytest

from wes_daemon.adapters.memory.budgets import MemoryBudgets
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.providers.decorators.rate_limiting import BudgetSpent, RateLimiter
from wes_daemon.adapters.providers.decorators.rates import ALL, Rate, read_rates, read_window

SECOND = timedelta(seconds=1)


class Watched:
    """A limiter whose sleeping moves the clock, and the moments at which turns were given."""

    def __init__(self, **rates: Rate) -> None:
        self.clock = ManualClock()
        self.start = self.clock.now()
        self.limiter = RateLimiter(
            {ALL if name == "all" else name: rate for name, rate in rates.items()},
            budgets=MemoryBudgets(self.clock),
            account="service",
            clock=self.clock,
            sleep=self.clock.advance,
        )

    def take(self, operation: str) -> float:
        """Take a turn; the seconds since the start at which it came."""
        self.limiter.acquire(operation)
        return (self.clock.now() - self.start).total_seconds()


def test_calls_keep_the_pace() -> None:
    watched = Watched(StartRun=Rate(calls=2))

    assert [watched.take("StartRun") for _ in range(4)] == [0, 0.5, 1, 1.5]


def test_after_a_quiet_time_a_burst_may_go_out() -> None:
    watched = Watched(GetRun=Rate(calls=1, burst=3))

    assert [watched.take("GetRun") for _ in range(5)] == [0, 0, 0, 1, 2]


def test_no_window_holds_more_than_rate_and_burst_allow() -> None:
    watched = Watched(all=Rate(calls=10, per=timedelta(seconds=10), burst=5))

    moments = [watched.take("anything") for _ in range(50)]

    assert max(sum(start <= moment < start + 10 for moment in moments) for start in moments) <= 15


def test_operations_without_a_rate_of_their_own_share_one() -> None:
    watched = Watched(all=Rate(calls=1))

    assert [watched.take("one"), watched.take("two")] == [0, 1]


def test_an_operation_with_a_rate_of_its_own_does_not_wait_for_the_others() -> None:
    watched = Watched(StartRun=Rate(calls=1), GetRun=Rate(calls=1))

    assert [watched.take("StartRun"), watched.take("GetRun")] == [0, 0]


def test_without_a_rate_nothing_waits() -> None:
    watched = Watched()

    assert [watched.take("one") for _ in range(3)] == [0, 0, 0]


def test_nobody_calls_before_the_time_that_the_service_named() -> None:
    watched = Watched(all=Rate(calls=100))
    watched.limiter.block_until(watched.start + 7 * SECOND)

    assert watched.take("one") == 7


def test_a_hold_on_one_operation_leaves_the_others_alone() -> None:
    watched = Watched()
    watched.limiter.block_until(watched.start + 7 * SECOND, "StartRun")

    assert [watched.take("GetRun"), watched.take("StartRun")] == [0, 7]


def test_an_earlier_time_does_not_shorten_a_hold() -> None:
    watched = Watched()
    watched.limiter.block_until(watched.start + 7 * SECOND)
    watched.limiter.block_until(watched.start + 3 * SECOND)

    assert watched.take("one") == 7


def test_a_wait_that_is_too_long_is_put_off_and_costs_no_turn() -> None:
    watched = Watched(StartRun=Rate(calls=1, per=60 * SECOND))
    watched.take("StartRun")

    for _ in range(3):
        with pytest.raises(BudgetSpent) as caught:
            watched.limiter.acquire("StartRun")

    assert caught.value.retry_after == 60 * SECOND
    watched.clock.advance(60 * SECOND)
    assert watched.take("StartRun") == 60


def test_a_window_is_never_passed() -> None:
    watched = Watched(all=read_window("100/30"))

    moments = [watched.take("anything") for _ in range(400)]

    assert max(sum(start <= moment < start + 30 for moment in moments) for start in moments) <= 100


def test_operations_have_rates_of_their_own() -> None:
    rates = read_rates("StartRun=0.1, GetRun=10")

    assert rates == {"StartRun": Rate(calls=0.1), "GetRun": Rate(calls=10)}


@pytest.mark.parametrize("text", ["", "1000", "1000/", "many/300", "0/300", "1000/-1", "nan/1", "inf/1"])
def test_what_is_no_window_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 1000/300, or off"):
        read_window(text)


@pytest.mark.parametrize("text", ["StartRun", "StartRun=", "StartRun=often", "StartRun=0"])
def test_what_are_no_rates_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as StartRun=1,GetRun=10, or off"):
        read_rates(text)
