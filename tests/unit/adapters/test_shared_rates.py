"""However many share a budget, together they keep to it; what is urgent goes first, and nobody is starved."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wes_daemon.adapters.memory.budgets import MemoryBudgets
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.providers.decorators.purposes import OnBehalfOf, Purpose
from wes_daemon.adapters.providers.decorators.rate_limiting import BudgetSpent, RateLimiter
from wes_daemon.adapters.providers.decorators.rates import ALL, Rate, window_rate
from wes_daemon.adapters.providers.decorators.shares import Wish, take_share
from wes_daemon.application.ports.budgets import Budget, Revision
from wes_daemon.application.ports.call_gate import Allowance
from wes_daemon.application.ports.errors import StorageUnavailable

T = TypeVar("T")

SECOND = timedelta(seconds=1)
SEVEN_BRIDGES = window_rate(1000, 300 * SECOND)
RATES = [SEVEN_BRIDGES, window_rate(100, 30 * SECOND), Rate(calls=10), Rate(calls=1), Rate(calls=0.1), Rate(calls=40)]


class Budgets:
    """Budgets in memory that count how often they are asked, and may be away."""

    def __init__(self, clock: ManualClock) -> None:
        self._inner = MemoryBudgets(clock)
        self.asked = 0
        self.is_away = False

    def revise(self, name: str, revision: Revision[T]) -> T:
        self.asked += 1
        if self.is_away:
            raise StorageUnavailable("away")
        return self._inner.revise(name, revision)


class Fleet:
    """Daemons that share one budget; nobody waits, and whoever would have to makes no call."""

    def __init__(self, rate: Rate, *, daemons: int = 1) -> None:
        self.clock = ManualClock()
        self.budgets = Budgets(self.clock)
        self.limiters = [
            RateLimiter(
                {ALL: rate},
                budgets=self.budgets,
                account="service",
                clock=self.clock,
                sleep=self.clock.advance,
                patience=timedelta(0),
            )
            for _ in range(daemons)
        ]
        self.made: list[timedelta] = []

    def calls(self, purpose: Purpose = Purpose.SUBMISSION, *, daemon: int = 0) -> bool:
        """Whether a call goes out now."""
        try:
            with OnBehalfOf(purpose):
                self.limiters[daemon].acquire("anything")
        except BudgetSpent:
            return False
        self.made.append(self.clock.monotonic())
        return True

    def calls_at_once(self, purpose: Purpose = Purpose.SUBMISSION, *, daemon: int = 0) -> int:
        """How many calls go out now."""
        made = 0
        while self.calls(purpose, daemon=daemon):
            made += 1
        return made

    def calls_within(self, time: timedelta, purpose: Purpose = Purpose.SUBMISSION, *, daemon: int = 0) -> int:
        """How many calls go out from now on if somebody tries all the time."""
        made, end = 0, self.clock.monotonic() + time
        while self.clock.monotonic() < end:
            made += self.calls_at_once(purpose, daemon=daemon)
            self.clock.advance(SECOND / 10)
        return made


def most_in_any(window: timedelta, moments: Sequence[timedelta]) -> int:
    """The most calls in any time of that length."""
    return max((sum(start <= moment < start + window for moment in moments) for start in moments), default=0)


steps = st.lists(
    st.tuples(st.floats(0, 20), st.integers(0, 2), st.sampled_from(Purpose), st.integers(1, 40)), max_size=40
)


class TestTheLimit:
    @settings(max_examples=150, deadline=None)
    @given(steps=steps, rate=st.sampled_from(RATES), window=st.sampled_from([1, 5, 30, 300]))
    def test_together_all_stay_within_the_limit_and_the_stated_burst(
        self, steps: Sequence[tuple[float, int, Purpose, int]], rate: Rate, window: int
    ) -> None:
        fleet = Fleet(rate, daemons=3)

        for wait, daemon, purpose, times in steps:
            fleet.clock.advance(wait * SECOND)
            for _ in range(times):
                fleet.calls(purpose, daemon=daemon)

        allowed = rate.per_second * (window + rate.lasting.total_seconds()) + rate.stock
        assert most_in_any(window * SECOND, fleet.made) <= allowed + 1e-2

    @pytest.mark.parametrize("daemons", [1, 2, 5])
    def test_a_window_is_never_passed_however_many_spend_it(self, daemons: int) -> None:
        fleet = Fleet(window_rate(100, 30 * SECOND), daemons=daemons)

        for number in range(900):
            fleet.calls(Purpose(number % 4), daemon=number % daemons)
            fleet.clock.advance(SECOND / 10)

        assert 80 <= most_in_any(30 * SECOND, fleet.made) <= 100

    def test_one_daemon_alone_has_nearly_the_whole_budget(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)

        assert 970 <= fleet.calls_within(300 * SECOND) <= 1000

    def test_two_daemons_that_want_everything_have_nearly_the_whole_budget_together(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES, daemons=2)

        for _ in range(3_000):
            fleet.calls(daemon=0)
            fleet.calls(daemon=1)
            fleet.clock.advance(SECOND / 10)

        assert 970 <= len(fleet.made) <= 1000

    def test_of_two_daemons_that_want_everything_neither_gets_little(self) -> None:
        fleet, made = Fleet(window_rate(300, 10 * SECOND), daemons=2), [0, 0]

        for _ in range(3_000):
            for daemon in (0, 1):
                made[daemon] += fleet.calls(daemon=daemon)
            fleet.clock.advance(SECOND / 100)

        assert min(made) >= max(made) / 3

    def test_what_a_dead_daemon_had_in_hand_is_not_made_by_others(self) -> None:
        fleet = Fleet(Rate(calls=1, per=1000 * SECOND, burst=20), daemons=2)
        for _ in range(4):
            fleet.calls(daemon=0)

        assert fleet.calls_at_once(daemon=1) <= 16

    def test_what_a_daemon_has_not_called_for_in_time_is_lost(self) -> None:
        fleet = Fleet(Rate(calls=1, per=100 * SECOND, burst=20), daemons=2)
        for _ in range(4):
            fleet.calls(daemon=0)
        fleet.clock.advance(3600 * SECOND)

        assert fleet.calls_at_once(daemon=0) + fleet.calls_at_once(daemon=1) <= 20
        assert most_in_any(SECOND, fleet.made) <= 18


class TestTheDatabase:
    def test_it_is_asked_about_once_in_five_seconds(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)

        made = fleet.calls_within(300 * SECOND)

        assert fleet.budgets.asked < made / 2
        fleet.budgets.asked = 0
        for _ in range(100):
            assert fleet.calls()
            fleet.clock.advance(SECOND / 2)
        assert fleet.budgets.asked <= 14

    def test_it_is_not_asked_by_those_who_call_nobody(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        fleet.clock.advance(3600 * SECOND)

        assert fleet.budgets.asked == 0

    def test_while_the_budget_is_empty_it_is_asked_once_a_second_for_each_kind_of_purpose(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        fleet.calls_at_once()
        fleet.calls_at_once(Purpose.FOLLOWING)
        fleet.budgets.asked = 0

        for _ in range(1_000):
            fleet.calls()
            fleet.calls(Purpose.FOLLOWING)
            fleet.clock.advance(SECOND / 100)

        assert fleet.budgets.asked <= 22

    def test_without_it_a_tenth_of_the_pace_is_kept(self) -> None:
        fleet = Fleet(Rate(calls=10, burst=10))
        fleet.calls_at_once()
        fleet.budgets.is_away = True

        assert 18 <= fleet.calls_within(20 * SECOND) <= 22

    def test_when_it_is_back_so_is_the_pace(self) -> None:
        fleet = Fleet(Rate(calls=10, burst=10))
        fleet.budgets.is_away = True
        fleet.calls_within(20 * SECOND)

        fleet.budgets.is_away = False
        fleet.clock.advance(6 * SECOND)

        assert fleet.calls_within(20 * SECOND) >= 180

    def test_what_is_in_hand_may_be_made_without_it(self) -> None:
        fleet = Fleet(Rate(calls=10, burst=10))
        for _ in range(6):
            fleet.calls()
        fleet.budgets.is_away = True

        assert fleet.calls_at_once() == 1


class TestTheReserve:
    @settings(max_examples=200, deadline=None)
    @given(
        tokens=st.floats(-5, 120),
        kept=st.floats(0, 10),
        wished=st.integers(0, 200),
        passed=st.floats(0, 100),
        rate=st.sampled_from(RATES),
    )
    def test_following_never_touches_it(
        self, tokens: float, kept: float, wished: int, passed: float, rate: Rate
    ) -> None:
        now = ManualClock().now()
        budget = Budget(tokens=tokens, kept=kept, counted_at=now - passed * SECOND)
        before, _ = take_share(budget, now, rate=rate, wish=Wish())

        left, share = take_share(budget, now, rate=rate, wish=Wish(following=wished))

        assert share.reserved == 0
        assert left.tokens >= min(rate.reserve, before.tokens) - 1e-2

    def test_however_much_is_followed_a_submission_goes_out_at_once(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES, daemons=2)
        fleet.calls_within(60 * SECOND, Purpose.FOLLOWING)
        fleet.calls_at_once(Purpose.INVENTORY)

        assert SEVEN_BRIDGES.reserve == 30
        assert fleet.calls_at_once(Purpose.SUBMISSION, daemon=1) >= 29

    def test_what_is_urgent_may_spend_everything_but_what_is_kept(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)

        assert fleet.calls_at_once(Purpose.CANCEL) == SEVEN_BRIDGES.stock - SEVEN_BRIDGES.kept

    def test_however_much_is_submitted_following_gets_a_tenth(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES, daemons=2)
        followed = 0

        for _ in range(3_000):
            fleet.calls_at_once(Purpose.SUBMISSION, daemon=0)
            followed += fleet.calls(Purpose.FOLLOWING, daemon=1)
            fleet.clock.advance(SECOND / 10)

        assert followed >= 85


class TestWhatTheServiceSays:
    def said(self, fleet: Fleet, *, remaining: int, limit: int = 1000, reset_in: timedelta = 100 * SECOND) -> None:
        """An answer to the first daemon."""
        said = Allowance(limit=limit, remaining=remaining, resets_at=fleet.clock.now() + reset_in)
        fleet.limiters[0].observe(said)

    def test_calls_that_others_have_made_are_not_made_again(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        fleet.calls()

        self.said(fleet, remaining=12)

        assert fleet.calls_at_once() == 12

    def test_the_other_daemons_learn_of_it(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES, daemons=2)
        self.said(fleet, remaining=12)
        fleet.calls(daemon=0)

        assert fleet.calls_at_once(daemon=1) <= 11

    def test_following_leaves_alone_what_is_left_at_last(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)

        self.said(fleet, remaining=12)

        assert fleet.calls_at_once(Purpose.FOLLOWING) == 0
        assert fleet.calls_at_once(Purpose.SUBMISSION) == 12

    def test_more_than_was_thought_is_no_news(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        fleet.calls_at_once()

        self.said(fleet, remaining=900)

        assert fleet.calls_at_once() == 0

    def test_what_it_said_of_a_window_that_is_over_is_forgotten(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        self.said(fleet, remaining=2, reset_in=20 * SECOND)
        fleet.clock.advance(21 * SECOND)

        assert fleet.calls_at_once() > 2

    def test_a_lower_limit_than_the_configured_one_sets_the_pace(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        fleet.calls_at_once()

        self.said(fleet, remaining=500, limit=500)

        assert 440 <= fleet.calls_within(300 * SECOND) <= 500

    def test_a_higher_limit_does_not(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        fleet.calls_at_once()

        self.said(fleet, remaining=5000, limit=5000)

        assert fleet.calls_within(300 * SECOND) <= 900

    def test_nobody_calls_before_the_time_that_it_names_in_whichever_daemon(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES, daemons=2)
        fleet.limiters[0].block_until(fleet.clock.now() + 40 * SECOND)

        assert [fleet.calls(daemon=daemon) for daemon in (0, 1)] == [False, False]
        fleet.clock.advance(40 * SECOND)
        assert [fleet.calls(daemon=daemon) for daemon in (0, 1)] == [True, True]

    def test_the_same_time_is_written_down_once(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        until = fleet.clock.now() + 40 * SECOND

        for _ in range(10):
            fleet.limiters[0].block_until(until)

        assert fleet.budgets.asked == 1


class TestThrottling:
    def pace(self, fleet: Fleet, *, daemon: int = 0) -> float:
        """Calls a second, over the next second."""
        return fleet.calls_within(SECOND, daemon=daemon)

    def test_it_slows_an_operation_down_and_it_grows_back(self) -> None:
        fleet = Fleet(Rate(calls=100, burst=100))
        fleet.calls_within(SECOND)
        fleet.limiters[0].throttled("anything")

        paces = [self.pace(fleet) for _ in range(12)]

        assert 60 <= max(paces[:3]) < 95
        assert 95 <= sum(paces[-4:]) / 4 <= 101

    def test_the_other_daemons_slow_down_as_well(self) -> None:
        fleet = Fleet(Rate(calls=100, burst=100), daemons=2)
        fleet.limiters[0].throttled("anything")

        assert self.pace(fleet, daemon=1) < 95

    def test_calls_that_were_under_way_together_count_once(self) -> None:
        one, ten = Fleet(Rate(calls=100, burst=100)), Fleet(Rate(calls=100, burst=100))
        one.limiters[0].throttled("anything")
        for _ in range(10):
            ten.limiters[0].throttled("anything")

        assert one.calls_within(2 * SECOND) == ten.calls_within(2 * SECOND)

    @pytest.mark.parametrize(("calls", "slowest"), [(10, 0.5), (0.1, 0.1)])
    def test_it_never_goes_below_half_a_call_a_second_or_the_rate(self, calls: float, slowest: float) -> None:
        fleet = Fleet(Rate(calls=calls))
        for _ in range(30):
            fleet.limiters[0].throttled("anything")
            fleet.clock.advance(SECOND)

        fleet.limiters[0].throttled("anything")

        assert fleet.calls_within(2 / slowest * SECOND) >= 1

    def test_an_operation_without_a_rate_is_not_slowed_down(self) -> None:
        fleet = Fleet(Rate(calls=1))
        free = RateLimiter({}, budgets=fleet.budgets, account="service", clock=fleet.clock, sleep=fleet.clock.advance)

        free.slow_down("anything")

        for _ in range(100):
            free.take("anything")
        assert (fleet.budgets.asked, fleet.clock.monotonic()) == (0, timedelta(0))


def test_moments_of_turns_do_not_go_backwards() -> None:
    fleet = Fleet(Rate(calls=3), daemons=2)
    fleet.calls_within(10 * SECOND, daemon=1)

    assert all(earlier <= later for earlier, later in pairwise(fleet.made))
