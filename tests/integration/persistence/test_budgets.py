"""Budgets that are shared through SQLite files and through PostgreSQL."""

from collections import Counter
from datetime import timedelta
from threading import Thread
from typing import TypeVar

import pytest
from sqlalchemy import Engine, event, select

from tests.contracts.budgets import Shared, SharedBudgetsContract
from tests.integration.conftest import Database
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.persistence.budgets import SqlBudgets
from wes_daemon.adapters.persistence.engine import make_engine, reading
from wes_daemon.adapters.persistence.tables import provider_budgets
from wes_daemon.adapters.providers.decorators.rate_limiting import BudgetSpent, RateLimiter, account_name
from wes_daemon.adapters.providers.decorators.rates import ALL, Rate, read_window
from wes_daemon.adapters.system import SystemClock, sleep
from wes_daemon.application.ports.budgets import Revision

T = TypeVar("T")

SECOND = timedelta(seconds=1)
IMPATIENT = timedelta(0)


class TestSqlBudgets(SharedBudgetsContract):
    @pytest.fixture
    def shared(self, store: SqlHarness) -> Shared:
        return Shared(SqlBudgets(store.engine), store.let_pass)

    def test_those_that_nobody_spends_are_forgotten_when_another_one_begins(self, shared: Shared) -> None:
        shared.put("old")
        shared.let_pass(timedelta(days=8))

        shared.put("new")

        assert shared.look("old")[0] is None


def limiter(engine: Engine, rate: Rate, *, patience: timedelta = IMPATIENT) -> RateLimiter:
    """What one daemon has."""
    return RateLimiter(
        {ALL: rate}, budgets=SqlBudgets(engine), account="service", clock=SystemClock(), sleep=sleep, patience=patience
    )


def calls_now(limiter: RateLimiter) -> int:
    """How many calls are let out without any waiting."""
    for made in range(10_000):
        try:
            limiter.take("anything")
        except BudgetSpent:
            return made
    raise AssertionError("nothing holds it back")


def test_daemons_on_one_database_share_one_budget(database: Database) -> None:
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

    # What one gives up with calls in hand is not made by the others.
    assert 50 <= made.total() <= 60


def test_a_hold_that_one_daemon_was_told_of_holds_for_the_other(engine: Engine) -> None:
    rate = Rate(calls=100, burst=100)
    limiter(engine, rate).hold(SystemClock().now() + 60 * SECOND)

    with pytest.raises(BudgetSpent) as held:
        limiter(engine, rate).take("anything")

    assert held.value.retry_after is not None
    assert 50 * SECOND < held.value.retry_after <= 60 * SECOND


def test_a_thousand_calls_take_few_statements(engine: Engine) -> None:
    """At two calls a second: the budget is asked every five seconds, in three statements."""
    statements: list[str] = []
    clock = ManualClock()
    turns = RateLimiter(
        {ALL: read_window("1000/300")},
        budgets=_Following(SqlBudgets(engine), SqlHarness(engine), clock),
        account="service",
        clock=clock,
        sleep=clock.advance,
    )
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    for _ in range(1_000):
        turns.take("anything")
        clock.advance(SECOND / 2)

    asked = [statement for statement in statements if statement.startswith("INSERT INTO provider_budgets")]
    assert 90 <= len(asked) <= 110


class _Following:
    """Budgets in a database whose time is moved along with a clock."""

    def __init__(self, budgets: SqlBudgets, harness: SqlHarness, clock: ManualClock) -> None:
        self._budgets = budgets
        self._harness = harness
        self._clock = clock
        self._seen = clock.monotonic()

    def revise(self, name: str, revision: Revision[T]) -> T:
        self._harness.let_pass(self._clock.monotonic() - self._seen)
        self._seen = self._clock.monotonic()
        return self._budgets.revise(name, revision)


def test_a_daemon_that_calls_nobody_writes_nothing(engine: Engine) -> None:
    limiter(engine, Rate(calls=1))

    with reading(engine) as connection:
        assert connection.execute(select(provider_budgets)).all() == []


def test_no_secret_is_in_the_table(engine: Engine) -> None:
    secret = "token-5e1a-not-real"
    RateLimiter(
        {ALL: Rate(calls=1)},
        budgets=SqlBudgets(engine),
        account=account_name("sevenbridges", "https://api.example/v2", secret),
        clock=SystemClock(),
        sleep=sleep,
    ).take("anything")

    with reading(engine) as connection:
        [name] = connection.execute(select(provider_budgets.c.name)).scalars()
    assert name.startswith("sevenbridges:")
    assert name.endswith(":*")
    assert secret not in name
