"""Quotas that are shared through SQLite files and through PostgreSQL."""

from collections import Counter
from datetime import timedelta
from threading import Thread
from typing import TypeVar

import pytest
from sqlalchemy import Engine, event, select

from tests.contracts.quotas import Shared, SharedQuotasContract
from tests.integration.conftest import Database
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.quotas import SqlQuotas
from wes_daemon.adapters.persistence.tables import provider_budgets
from wes_daemon.adapters.persistence.transactions import reading
from wes_daemon.adapters.resilience.call_gate import QuotaExhausted, RateLimiter
from wes_daemon.adapters.system import SystemClock, sleep
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS
from wes_daemon.application.ports.quotas import QuotaChange
from wes_daemon.plugins.accounts import account_name
from wes_daemon.plugins.rates import Rate, read_window

T = TypeVar("T")

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
NO_WAIT = timedelta(0)


class TestSqlQuotas(SharedQuotasContract):
    @pytest.fixture
    def shared(self, store: SqlHarness) -> Shared:
        return Shared(SqlQuotas(store.engine), store.let_pass)

    def test_unused_quotas_are_forgotten_when_another_one_begins(self, shared: Shared) -> None:
        shared.put("old")
        shared.let_pass(timedelta(days=8))

        shared.put("new")

        assert shared.read("old")[0] is None


def limiter(engine: Engine, rate: Rate, *, longest_wait: timedelta = NO_WAIT) -> RateLimiter:
    """Return the rate limiter of one daemon."""
    return RateLimiter(
        {ALL_OPERATIONS: rate},
        quotas=SqlQuotas(engine),
        account="service",
        clock=SystemClock(),
        sleep=sleep,
        longest_wait=longest_wait,
    )


def calls_now(limiter: RateLimiter) -> int:
    """Return how many calls are permitted without a wait."""
    for made in range(10_000):
        try:
            limiter.acquire("anything")
        except QuotaExhausted:
            return made
    raise AssertionError("no call was refused")


def test_daemons_on_one_database_share_one_quota(database: Database) -> None:
    """Each has an engine of its own, as another process has."""
    engines = [make_engine(database.uri, connections=2) for _ in range(3)]
    rate = Rate(calls=36, per=timedelta(hours=1), burst=60)
    made: Counter[int] = Counter()

    def spend(number: int) -> None:
        made[number] = calls_now(limiter(engines[number], rate))

    threads = [Thread(target=spend, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for engine in engines:
        engine.dispose()

    # Calls that are left in the local quota of one daemon are not made by the others.
    assert 50 <= made.total() <= 60


def test_a_block_reported_to_one_daemon_applies_to_the_other(engine: Engine) -> None:
    rate = Rate(calls=100, burst=100)
    limiter(engine, rate).block_until(SystemClock().now() + HOUR, reason="the service asked for no calls")

    with pytest.raises(QuotaExhausted) as caught:
        limiter(engine, rate).acquire("anything")

    assert caught.value.retry_after is not None
    assert HOUR / 2 < caught.value.retry_after <= HOUR


def test_a_thousand_calls_take_few_statements(engine: Engine) -> None:
    """At two calls per second: one request every five seconds, in three statements."""
    statements: list[str] = []
    clock = ManualClock()
    rate_limiter = RateLimiter(
        {ALL_OPERATIONS: read_window("1000/300")},
        quotas=_Timed(SqlQuotas(engine), SqlHarness(engine), clock),
        account="service",
        clock=clock,
        sleep=clock.advance,
    )
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    for _ in range(1_000):
        rate_limiter.acquire("anything")
        clock.advance(SECOND / 2)

    requests = [statement for statement in statements if statement.startswith("INSERT INTO provider_budgets")]
    assert 90 <= len(requests) <= 110


class _Timed:
    """Quotas in a database whose time follows a manual clock."""

    def __init__(self, quotas: SqlQuotas, harness: SqlHarness, clock: ManualClock) -> None:
        self._quotas = quotas
        self._harness = harness
        self._clock = clock
        self._last = clock.monotonic()

    def apply(self, name: str, change: QuotaChange[T]) -> T:
        self._harness.let_pass(self._clock.monotonic() - self._last)
        self._last = self._clock.monotonic()
        return self._quotas.apply(name, change)


def test_a_daemon_that_makes_no_calls_writes_nothing(engine: Engine) -> None:
    limiter(engine, Rate(calls=1))

    with reading(engine) as connection:
        assert connection.execute(select(provider_budgets)).all() == []


def test_no_secret_is_in_the_table(engine: Engine) -> None:
    secret = "token-5e1a-not-real"
    RateLimiter(
        {ALL_OPERATIONS: Rate(calls=1)},
        quotas=SqlQuotas(engine),
        account=account_name("sevenbridges", "https://api.example/v2", secret),
        clock=SystemClock(),
        sleep=sleep,
    ).acquire("anything")

    with reading(engine) as connection:
        [name] = connection.execute(select(provider_budgets.c.name)).scalars()
    assert name.startswith("sevenbridges:")
    assert name.endswith(":*")
    assert secret not in name
