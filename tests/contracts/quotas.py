"""The contract of `SharedQuotas`. A subclass provides the fixture `shared` over a fresh store."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Barrier, Thread

import pytest

from wes_daemon.application.ports.quotas import Quota, SharedQuotas

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Shared:
    """A store, and a function that lets time pass in it."""

    quotas: SharedQuotas
    let_pass: Callable[[timedelta], None]

    def put(self, name: str, **values: float | datetime | None) -> Quota:
        """Store a quota that was counted now."""

        def change(_: Quota | None, now: datetime) -> tuple[Quota, Quota]:
            quota = replace(Quota(tokens=0, routine_tokens=0, counted_at=now), **values)  # type: ignore[arg-type]
            return quota, quota

        return self.quotas.apply(name, change)

    def read(self, name: str) -> tuple[Quota | None, datetime]:
        """Return the stored quota and the store's present time; stores a quota if there is none."""

        def change(found: Quota | None, now: datetime) -> tuple[Quota, tuple[Quota | None, datetime]]:
            return found or Quota(tokens=0, routine_tokens=0, counted_at=now), (found, now)

        return self.quotas.apply(name, change)

    def count_one(self, name: str) -> None:
        """Add one token."""

        def change(found: Quota | None, now: datetime) -> tuple[Quota, None]:
            return Quota(tokens=(found.tokens if found else 0) + 1, routine_tokens=0, counted_at=now), None

        self.quotas.apply(name, change)


class SharedQuotasContract:
    @pytest.fixture
    def shared(self) -> Shared:
        """Return a store of its own."""
        raise NotImplementedError

    def test_a_quota_that_was_never_changed_is_none(self, shared: Shared) -> None:
        found, now = shared.read("new")

        assert found is None
        assert now.utcoffset() == timedelta(0)

    def test_a_change_finds_the_quota_that_the_last_change_returned(self, shared: Shared) -> None:
        _, now = shared.read("service:*")
        put = shared.put(
            "service:*",
            tokens=-1.5,
            routine_tokens=0.25,
            peak=9.5,
            throttled_at=now - SECOND,
            blocked_until=now + SECOND,
        )

        assert shared.read("service:*")[0] == put
        assert shared.put("service:*", tokens=3) == shared.read("service:*")[0]

    def test_quotas_of_other_names_stay_as_they_are(self, shared: Shared) -> None:
        shared.put("one", tokens=1)
        shared.put("two", tokens=2)

        assert [getattr(shared.read(name)[0], "tokens", None) for name in ("one", "two")] == [1, 2]

    def test_time_passes_by_the_stores_clock(self, shared: Shared) -> None:
        put = shared.put("service:*")
        shared.let_pass(HOUR)

        found, now = shared.read("service:*")

        assert found is not None
        assert HOUR <= now - found.counted_at < 2 * HOUR
        assert now >= put.counted_at

    def test_of_changes_at_the_same_time_none_is_lost(self, shared: Shared) -> None:
        """Not even if all of them find no quota at first."""
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

        assert getattr(shared.read("service:*")[0], "tokens", None) == 40

    def test_a_change_that_raises_changes_nothing(self, shared: Shared) -> None:
        shared.put("service:*", tokens=7)

        def failing(*_: object) -> tuple[Quota, None]:
            raise ValueError("a bug")

        with pytest.raises(ValueError, match="a bug"):
            shared.quotas.apply("service:*", failing)

        assert getattr(shared.read("service:*")[0], "tokens", None) == 7

    def test_a_quota_may_be_forgotten_after_a_week_and_not_before(self, shared: Shared) -> None:
        shared.put("old", tokens=5)
        shared.let_pass(timedelta(days=6))

        shared.put("new")

        assert shared.read("old")[0] is not None
