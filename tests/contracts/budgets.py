"""What every store of shared budgets owes. A child gives a fixture `shared` over a fresh store."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Barrier, Thread

import pytest

from wes_daemon.application.ports.budgets import Budget, SharedBudgets

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Shared:
    """A store, and a way to let time pass in it."""

    budgets: SharedBudgets
    let_pass: Callable[[timedelta], None]

    def put(self, name: str, **values: float | datetime | None) -> Budget:
        """Store a budget that was counted now."""

        def revision(_: Budget | None, now: datetime) -> tuple[Budget, Budget]:
            made = replace(Budget(tokens=0, kept=0, counted_at=now), **values)  # type: ignore[arg-type]
            return made, made

        return self.budgets.revise(name, revision)

    def look(self, name: str) -> tuple[Budget | None, datetime]:
        """What is stored, and the store's present moment; leaves a budget behind."""

        def revision(found: Budget | None, now: datetime) -> tuple[Budget, tuple[Budget | None, datetime]]:
            return found or Budget(tokens=0, kept=0, counted_at=now), (found, now)

        return self.budgets.revise(name, revision)

    def count_one(self, name: str) -> None:
        """Add one to what is stored."""

        def revision(found: Budget | None, now: datetime) -> tuple[Budget, None]:
            return Budget(tokens=(found.tokens if found else 0) + 1, kept=0, counted_at=now), None

        self.budgets.revise(name, revision)


class SharedBudgetsContract:
    """The suite."""

    @pytest.fixture
    def shared(self) -> Shared:
        """A store of its own."""
        raise NotImplementedError

    def test_a_budget_that_nobody_has_revised_is_none(self, shared: Shared) -> None:
        found, now = shared.look("new")

        assert found is None
        assert now.utcoffset() == timedelta(0)

    def test_what_a_revision_makes_of_it_is_what_the_next_one_finds(self, shared: Shared) -> None:
        _, now = shared.look("service:*")
        put = shared.put(
            "service:*", tokens=-1.5, kept=0.25, peak=9.5, throttled_at=now - SECOND, held_until=now + SECOND
        )

        assert shared.look("service:*")[0] == put
        assert shared.put("service:*", tokens=3) == shared.look("service:*")[0]

    def test_budgets_of_other_names_stay_as_they_are(self, shared: Shared) -> None:
        shared.put("one", tokens=1)
        shared.put("two", tokens=2)

        assert [getattr(shared.look(name)[0], "tokens", None) for name in ("one", "two")] == [1, 2]

    def test_time_passes_by_the_stores_clock(self, shared: Shared) -> None:
        put = shared.put("service:*")
        shared.let_pass(60 * SECOND)

        found, now = shared.look("service:*")

        assert found is not None
        assert 60 * SECOND <= now - found.counted_at < 70 * SECOND
        assert now >= put.counted_at

    def test_of_revisions_at_the_same_time_none_is_lost(self, shared: Shared) -> None:
        """Not even where all of them find no budget at first."""
        together = Barrier(8)

        def count() -> None:
            together.wait()
            for _ in range(5):
                shared.count_one("service:*")

        threads = [Thread(target=count) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert getattr(shared.look("service:*")[0], "tokens", None) == 40

    def test_a_revision_that_fails_changes_nothing(self, shared: Shared) -> None:
        shared.put("service:*", tokens=7)

        def failing(*_: object) -> tuple[Budget, None]:
            raise ValueError("a bug")

        with pytest.raises(ValueError, match="a bug"):
            shared.budgets.revise("service:*", failing)

        assert getattr(shared.look("service:*")[0], "tokens", None) == 7

    def test_a_budget_may_be_forgotten_after_a_week_and_not_before(self, shared: Shared) -> None:
        shared.put("old", tokens=5)
        shared.let_pass(timedelta(days=6))

        shared.put("new")

        assert shared.look("old")[0] is not None
