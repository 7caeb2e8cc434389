"""The gates that a client passes before each request: the rate limiter and the lease check."""

from datetime import timedelta

import pytest

from tests.call_gates import AskingGate
from tests.memory.quotas import MemoryQuotas
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.resilience.call_gate import LeaseCheckedGate, QuotaExhausted, RateLimiter
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS, OpenCallGate
from wes_daemon.application.ports.errors import LeaseLost, NotSent
from wes_daemon.plugins.rates import Rate, read_rates, read_window

SECOND = timedelta(seconds=1)
LONGEST_REQUEST = timedelta(seconds=30)


class Timed:
    """A rate limiter whose sleep advances the clock."""

    def __init__(self, **rates: Rate) -> None:
        self.clock = ManualClock()
        self.start = self.clock.now()
        self.limiter = RateLimiter(
            {ALL_OPERATIONS if name == "all" else name: rate for name, rate in rates.items()},
            quotas=MemoryQuotas(self.clock),
            account="service",
            clock=self.clock,
            sleep=self.clock.advance,
        )

    def sharing(self, quotas: MemoryQuotas) -> RateLimiter:
        """A rate limiter of another process on the same clock."""
        rates = {ALL_OPERATIONS: Rate(calls=100)}
        return RateLimiter(rates, quotas=quotas, account="service", clock=self.clock, sleep=self.clock.advance)

    def acquire(self, operation: str) -> float:
        """Acquire a call; return how many seconds after the start it was permitted."""
        self.limiter.acquire(operation)
        return (self.clock.now() - self.start).total_seconds()


def test_calls_keep_the_pace() -> None:
    timed = Timed(StartRun=Rate(calls=2))

    assert [timed.acquire("StartRun") for _ in range(4)] == [0, 0.5, 1, 1.5]


def test_after_a_quiet_time_a_burst_may_go_out() -> None:
    timed = Timed(GetRun=Rate(calls=1, burst=3))

    assert [timed.acquire("GetRun") for _ in range(5)] == [0, 0, 0, 1, 2]


def test_no_window_holds_more_than_rate_and_burst_allow() -> None:
    timed = Timed(all=Rate(calls=10, per=timedelta(seconds=10), burst=5))

    times = [timed.acquire("anything") for _ in range(50)]

    assert max(sum(start <= time < start + 10 for time in times) for start in times) <= 15


def test_operations_without_a_rate_of_their_own_share_one() -> None:
    timed = Timed(all=Rate(calls=1))

    assert [timed.acquire("one"), timed.acquire("two")] == [0, 1]


def test_an_operation_with_a_rate_of_its_own_does_not_wait_for_the_others() -> None:
    timed = Timed(StartRun=Rate(calls=1), GetRun=Rate(calls=1))

    assert [timed.acquire("StartRun"), timed.acquire("GetRun")] == [0, 0]


def test_without_a_rate_nothing_waits() -> None:
    timed = Timed()

    assert [timed.acquire("one") for _ in range(3)] == [0, 0, 0]


def test_no_call_is_permitted_before_the_time_that_the_service_named() -> None:
    timed = Timed(all=Rate(calls=100))
    timed.limiter.block_until(timed.start + 7 * SECOND, reason="the service asked for no calls")

    assert timed.acquire("one") == 7


def test_a_block_of_one_operation_does_not_block_the_others() -> None:
    timed = Timed()
    timed.limiter.block_until(timed.start + 7 * SECOND, "StartRun", reason="the service asked for no calls")

    assert [timed.acquire("GetRun"), timed.acquire("StartRun")] == [0, 7]


def test_an_earlier_time_does_not_shorten_a_block() -> None:
    timed = Timed()
    timed.limiter.block_until(timed.start + 7 * SECOND, reason="the service asked for no calls")
    timed.limiter.block_until(timed.start + 3 * SECOND, reason="the service asked for no calls")

    assert timed.acquire("one") == 7


class TestHeldBack:
    """B4: a provider that is held back says so once, with until when and why."""

    def test_a_refused_call_says_who_asked_for_the_block_and_until_when(self) -> None:
        timed = Timed(all=Rate(calls=100))
        timed.limiter.block_until(timed.start + 60 * SECOND, reason="the service asked for no calls")

        with pytest.raises(QuotaExhausted) as refused:
            timed.limiter.acquire("one")

        assert (
            str(refused.value) == f"the service asked for no calls until {timed.start + 60 * SECOND:%Y-%m-%dT%H:%M:%SZ}"
        )

    def test_without_a_block_the_quota_is_the_reason(self) -> None:
        timed = Timed(StartRun=Rate(calls=1, per=60 * SECOND))
        timed.limiter.block_until(timed.start + 60 * SECOND, "GetRun", reason="the service asked for no calls")
        timed.acquire("StartRun")

        with pytest.raises(QuotaExhausted, match="the quota for StartRun is exhausted"):
            timed.limiter.acquire("StartRun")

    def test_a_block_of_another_daemon_is_no_exhausted_quota(self, caplog: pytest.LogCaptureFixture) -> None:
        timed = Timed()
        shared = MemoryQuotas(timed.clock)
        here, there = timed.sharing(shared), timed.sharing(shared)
        there.block_until(timed.start + 60 * SECOND, reason="the service asked for no calls")
        caplog.clear()

        for _ in range(3):
            with pytest.raises(QuotaExhausted, match="asked another daemon for no calls until"):
                here.acquire("one")

        assert [record.message.split()[0] for record in caplog.records] == ["provider.held_back"]

    def test_a_long_block_is_logged_once_with_its_end_and_reason(self, caplog: pytest.LogCaptureFixture) -> None:
        timed = Timed(all=Rate(calls=100))
        for extra in range(5):
            timed.limiter.block_until(timed.start + (60 + extra) * SECOND, reason="the service asked for no calls")
        for _ in range(3):
            with pytest.raises(QuotaExhausted):
                timed.limiter.acquire("one")

        [line] = [record.message for record in caplog.records]
        until = f"{timed.start + 60 * SECOND:%Y-%m-%dT%H:%M:%SZ}"
        assert line == f'provider.held_back provider=service until={until} reason="the service asked for no calls"'

    def test_a_block_that_begins_after_the_last_one_is_logged_again(self, caplog: pytest.LogCaptureFixture) -> None:
        timed = Timed(all=Rate(calls=100))
        for _ in range(2):
            timed.limiter.block_until(timed.clock.now() + 60 * SECOND, reason="the service asked for no calls")
            timed.clock.advance(61 * SECOND)

        assert len(caplog.records) == 2

    def test_a_short_block_is_not_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        timed = Timed(all=Rate(calls=100))
        timed.limiter.block_until(timed.start + 10 * SECOND, reason="the service asked for no calls")

        assert timed.acquire("one") == 10
        assert caplog.records == []


def test_a_wait_that_is_too_long_is_refused_and_costs_no_call() -> None:
    timed = Timed(StartRun=Rate(calls=1, per=60 * SECOND))
    timed.acquire("StartRun")

    for _ in range(3):
        with pytest.raises(QuotaExhausted) as caught:
            timed.limiter.acquire("StartRun")

    assert caught.value.retry_after == 60 * SECOND
    timed.clock.advance(60 * SECOND)
    assert timed.acquire("StartRun") == 60


def test_a_window_is_never_exceeded() -> None:
    timed = Timed(all=read_window("100/30"))

    times = [timed.acquire("anything") for _ in range(400)]

    assert max(sum(start <= time < start + 30 for time in times) for start in times) <= 100


def test_operations_have_rates_of_their_own() -> None:
    rates = read_rates("StartRun=0.1, GetRun=10")

    assert rates == {"StartRun": Rate(calls=0.1), "GetRun": Rate(calls=10)}


@pytest.mark.parametrize("text", ["", "1000", "1000/", "many/300", "0/300", "1000/-1", "nan/1", "inf/1"])
def test_an_invalid_window_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 1000/300, or off"):
        read_window(text)


@pytest.mark.parametrize("text", ["StartRun", "StartRun=", "StartRun=often", "StartRun=0"])
def test_invalid_rates_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as StartRun=1,GetRun=10, or off"):
        read_rates(text)


def test_the_lease_is_checked_after_the_inner_gate_has_permitted_the_call() -> None:
    seen: list[object] = []
    gate = LeaseCheckedGate(AskingGate(seen.append), require_lease=seen.append, longest_request=LONGEST_REQUEST)

    gate.acquire("StartRun")

    assert seen == ["StartRun", LONGEST_REQUEST]


def test_a_request_that_may_last_longer_than_the_lease_is_not_sent() -> None:
    def require_lease(_: timedelta) -> None:
        raise LeaseLost("it ends soon")

    gate = LeaseCheckedGate(OpenCallGate(), require_lease=require_lease, longest_request=LONGEST_REQUEST)

    with pytest.raises(NotSent, match="StartRun was not sent: it ends soon"):
        gate.acquire("StartRun")
