"""Processes that share a quota keep within it together; urgent calls go first, and no call is starved."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.memory.quotas import MemoryQuotas
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.resilience.call_gate import QuotaExhausted, RateLimiter
from wes_daemon.adapters.resilience.call_priority import AtPriority, CallPriority
from wes_daemon.adapters.resilience.quotas import QuotaRequest, grant_calls
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS, Allowance
from wes_daemon.application.ports.errors import StorageUnavailable
from wes_daemon.application.ports.quotas import Quota, QuotaChange
from wes_daemon.plugins.rates import Rate, window_rate

T = TypeVar("T")

SECOND = timedelta(seconds=1)
SEVEN_BRIDGES = window_rate(1000, 300 * SECOND)
RATES = [SEVEN_BRIDGES, window_rate(100, 30 * SECOND), Rate(calls=10), Rate(calls=1), Rate(calls=0.1), Rate(calls=40)]


class Quotas:
    """Quotas in memory that count the requests and may be unavailable."""

    def __init__(self, clock: ManualClock) -> None:
        self._inner = MemoryQuotas(clock)
        self.requests = 0
        self.is_unavailable = False

    def apply(self, name: str, change: QuotaChange[T]) -> T:
        self.requests += 1
        if self.is_unavailable:
            raise StorageUnavailable("unavailable")
        return self._inner.apply(name, change)


class Fleet:
    """Daemons that share one quota. No daemon waits: a call that would have to wait is not made."""

    def __init__(self, rate: Rate, *, daemons: int = 1) -> None:
        self.clock = ManualClock()
        self.quotas = Quotas(self.clock)
        self.limiters = [
            RateLimiter(
                {ALL_OPERATIONS: rate},
                quotas=self.quotas,
                account="service",
                clock=self.clock,
                sleep=self.clock.advance,
                longest_wait=timedelta(0),
            )
            for _ in range(daemons)
        ]
        self.made: list[timedelta] = []

    def calls(self, priority: CallPriority = CallPriority.SUBMISSION, *, daemon: int = 0) -> bool:
        """Try to call; return whether the call was made."""
        try:
            with AtPriority(priority):
                self.limiters[daemon].acquire("anything")
        except QuotaExhausted:
            return False
        self.made.append(self.clock.monotonic())
        return True

    def calls_at_once(self, priority: CallPriority = CallPriority.SUBMISSION, *, daemon: int = 0) -> int:
        """Return how many calls can be made now."""
        made = 0
        while self.calls(priority, daemon=daemon):
            made += 1
        return made

    def calls_within(
        self, time: timedelta, priority: CallPriority = CallPriority.SUBMISSION, *, daemon: int = 0
    ) -> int:
        """Return how many calls are made from now on, with ten attempts per second."""
        made, end = 0, self.clock.monotonic() + time
        while self.clock.monotonic() < end:
            made += self.calls_at_once(priority, daemon=daemon)
            self.clock.advance(SECOND / 10)
        return made


def most_in_any(window: timedelta, times: Sequence[timedelta]) -> int:
    """Return the most calls in any window of that length."""
    return max((sum(start <= time < start + window for time in times) for start in times), default=0)


steps = st.lists(
    st.tuples(st.floats(0, 20), st.integers(0, 2), st.sampled_from(CallPriority), st.integers(1, 40)), max_size=40
)


class TestTheLimit:
    @settings(max_examples=150, deadline=None)
    @given(steps=steps, rate=st.sampled_from(RATES), window=st.sampled_from([1, 5, 30, 300]))
    def test_together_all_stay_within_the_limit_and_the_stated_burst(
        self, steps: Sequence[tuple[float, int, CallPriority, int]], rate: Rate, window: int
    ) -> None:
        fleet = Fleet(rate, daemons=3)

        for wait, daemon, priority, times in steps:
            fleet.clock.advance(wait * SECOND)
            for _ in range(times):
                fleet.calls(priority, daemon=daemon)

        allowed = rate.calls_per_second * (window + rate.grant_lifetime.total_seconds()) + rate.capacity
        assert most_in_any(window * SECOND, fleet.made) <= allowed + 1e-2

    @pytest.mark.parametrize("daemons", [1, 2, 5])
    def test_a_window_is_never_exceeded_however_many_daemons_share_it(self, daemons: int) -> None:
        fleet = Fleet(window_rate(100, 30 * SECOND), daemons=daemons)

        for number in range(900):
            fleet.calls(CallPriority(number % 4), daemon=number % daemons)
            fleet.clock.advance(SECOND / 10)

        assert 80 <= most_in_any(30 * SECOND, fleet.made) <= 100

    def test_one_daemon_alone_has_nearly_the_whole_quota(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)

        assert 970 <= fleet.calls_within(300 * SECOND) <= 1000

    def test_two_daemons_that_call_all_the_time_have_nearly_the_whole_quota_together(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES, daemons=2)

        for _ in range(3_000):
            fleet.calls(daemon=0)
            fleet.calls(daemon=1)
            fleet.clock.advance(SECOND / 10)

        assert 970 <= len(fleet.made) <= 1000

    def test_of_two_daemons_that_call_all_the_time_neither_gets_little(self) -> None:
        fleet, made = Fleet(window_rate(300, 10 * SECOND), daemons=2), [0, 0]

        for _ in range(3_000):
            for daemon in (0, 1):
                made[daemon] += fleet.calls(daemon=daemon)
            fleet.clock.advance(SECOND / 100)

        assert min(made) >= max(made) / 3

    def test_the_local_quota_of_a_dead_daemon_is_not_used_by_others(self) -> None:
        fleet = Fleet(Rate(calls=1, per=1000 * SECOND, burst=20), daemons=2)
        for _ in range(4):
            fleet.calls(daemon=0)

        assert fleet.calls_at_once(daemon=1) <= 16

    def test_calls_that_are_not_made_before_the_local_quota_expires_are_lost(self) -> None:
        fleet = Fleet(Rate(calls=1, per=100 * SECOND, burst=20), daemons=2)
        for _ in range(4):
            fleet.calls(daemon=0)
        fleet.clock.advance(3600 * SECOND)

        assert fleet.calls_at_once(daemon=0) + fleet.calls_at_once(daemon=1) <= 20
        assert most_in_any(SECOND, fleet.made) <= 18


class TestTheDatabase:
    def test_a_grant_is_requested_about_once_in_five_seconds(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)

        made = fleet.calls_within(300 * SECOND)

        assert fleet.quotas.requests < made / 2
        fleet.quotas.requests = 0
        for _ in range(100):
            assert fleet.calls()
            fleet.clock.advance(SECOND / 2)
        assert fleet.quotas.requests <= 14

    def test_a_daemon_that_makes_no_calls_requests_no_grant(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        fleet.clock.advance(3600 * SECOND)

        assert fleet.quotas.requests == 0

    def test_while_the_quota_is_empty_a_grant_is_requested_once_a_second_for_each_urgency(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        fleet.calls_at_once()
        fleet.calls_at_once(CallPriority.STATUS)
        fleet.quotas.requests = 0

        for _ in range(1_000):
            fleet.calls()
            fleet.calls(CallPriority.STATUS)
            fleet.clock.advance(SECOND / 100)

        assert fleet.quotas.requests <= 22

    def test_without_the_database_calls_go_on_at_a_tenth_of_the_pace(self) -> None:
        fleet = Fleet(Rate(calls=10, burst=10))
        fleet.calls_at_once()
        fleet.quotas.is_unavailable = True

        assert 18 <= fleet.calls_within(20 * SECOND) <= 22

    def test_when_the_database_is_back_so_is_the_pace(self) -> None:
        fleet = Fleet(Rate(calls=10, burst=10))
        fleet.quotas.is_unavailable = True
        fleet.calls_within(20 * SECOND)

        fleet.quotas.is_unavailable = False
        fleet.clock.advance(6 * SECOND)

        assert fleet.calls_within(20 * SECOND) >= 180

    def test_the_local_quota_may_be_used_without_the_database(self) -> None:
        fleet = Fleet(Rate(calls=10, burst=10))
        for _ in range(6):
            fleet.calls()
        fleet.quotas.is_unavailable = True

        assert fleet.calls_at_once() == 1


class TestTheReserve:
    @settings(max_examples=200, deadline=None)
    @given(
        tokens=st.floats(-5, 120),
        routine_tokens=st.floats(0, 10),
        routine=st.integers(0, 200),
        passed=st.floats(0, 100),
        rate=st.sampled_from(RATES),
    )
    def test_routine_calls_never_use_it(
        self, tokens: float, routine_tokens: float, routine: int, passed: float, rate: Rate
    ) -> None:
        now = ManualClock().now()
        quota = Quota(tokens=tokens, routine_tokens=routine_tokens, counted_at=now - passed * SECOND)
        before, _ = grant_calls(quota, now, rate=rate, request=QuotaRequest())

        left, grant = grant_calls(quota, now, rate=rate, request=QuotaRequest(routine=routine))

        assert grant.urgent_only == 0
        assert left.tokens >= min(rate.urgent_reserve, before.tokens) - 1e-2

    def test_however_many_status_calls_are_made_a_submission_is_sent_at_once(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES, daemons=2)
        fleet.calls_within(60 * SECOND, CallPriority.STATUS)
        fleet.calls_at_once(CallPriority.INVENTORY)

        assert SEVEN_BRIDGES.urgent_reserve == 30
        assert fleet.calls_at_once(CallPriority.SUBMISSION, daemon=1) >= 29

    def test_urgent_calls_may_use_everything_but_the_routine_tokens(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)

        assert fleet.calls_at_once(CallPriority.CANCEL) == SEVEN_BRIDGES.capacity - SEVEN_BRIDGES.routine_capacity

    def test_however_much_is_submitted_status_calls_get_a_tenth(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES, daemons=2)
        followed = 0

        for _ in range(3_000):
            fleet.calls_at_once(CallPriority.SUBMISSION, daemon=0)
            followed += fleet.calls(CallPriority.STATUS, daemon=1)
            fleet.clock.advance(SECOND / 10)

        assert followed >= 85


class TestReportsOfTheService:
    def report(self, fleet: Fleet, *, remaining: int, limit: int = 1000, reset_in: timedelta = 100 * SECOND) -> None:
        """Report an allowance to the first daemon."""
        allowance = Allowance(limit=limit, remaining=remaining, resets_at=fleet.clock.now() + reset_in)
        fleet.limiters[0].observe(allowance)

    def test_calls_that_other_clients_made_are_not_made_again(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        fleet.calls()

        self.report(fleet, remaining=12)

        assert fleet.calls_at_once() == 12

    def test_the_other_daemons_learn_of_it(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES, daemons=2)
        self.report(fleet, remaining=12)
        fleet.calls(daemon=0)

        assert fleet.calls_at_once(daemon=1) <= 11

    def test_routine_calls_leave_the_last_calls_to_urgent_ones(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)

        self.report(fleet, remaining=12)

        assert fleet.calls_at_once(CallPriority.STATUS) == 0
        assert fleet.calls_at_once(CallPriority.SUBMISSION) == 12

    def test_more_remaining_calls_than_expected_change_nothing(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        fleet.calls_at_once()

        self.report(fleet, remaining=900)

        assert fleet.calls_at_once() == 0

    def test_a_report_on_a_window_that_is_over_is_forgotten(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        self.report(fleet, remaining=2, reset_in=20 * SECOND)
        fleet.clock.advance(21 * SECOND)

        assert fleet.calls_at_once() > 2

    def test_a_lower_limit_than_the_configured_one_sets_the_pace(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        fleet.calls_at_once()

        self.report(fleet, remaining=500, limit=500)

        assert 440 <= fleet.calls_within(300 * SECOND) <= 500

    def test_a_higher_limit_does_not(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        fleet.calls_at_once()

        self.report(fleet, remaining=5000, limit=5000)

        assert fleet.calls_within(300 * SECOND) <= 900

    def test_no_daemon_calls_before_the_time_that_the_service_names(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES, daemons=2)
        fleet.limiters[0].block_until(fleet.clock.now() + 40 * SECOND, reason="the service asked for no calls")

        assert [fleet.calls(daemon=daemon) for daemon in (0, 1)] == [False, False]
        fleet.clock.advance(40 * SECOND)
        assert [fleet.calls(daemon=daemon) for daemon in (0, 1)] == [True, True]

    def test_the_same_time_is_stored_once(self) -> None:
        fleet = Fleet(SEVEN_BRIDGES)
        until = fleet.clock.now() + 40 * SECOND

        for _ in range(10):
            fleet.limiters[0].block_until(until, reason="the service asked for no calls")

        assert fleet.quotas.requests == 1


class TestThrottling:
    def pace(self, fleet: Fleet, *, daemon: int = 0) -> float:
        """Return the calls of the next second."""
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

    def test_throttlings_in_the_same_second_count_once(self) -> None:
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
        free = RateLimiter({}, quotas=fleet.quotas, account="service", clock=fleet.clock, sleep=fleet.clock.advance)

        free.throttled("anything")

        for _ in range(100):
            free.acquire("anything")
        assert (fleet.quotas.requests, fleet.clock.monotonic()) == (0, timedelta(0))


def test_times_of_calls_do_not_go_backwards() -> None:
    fleet = Fleet(Rate(calls=3), daemons=2)
    fleet.calls_within(10 * SECOND, daemon=1)

    assert all(earlier <= later for earlier, later in pairwise(fleet.made))
