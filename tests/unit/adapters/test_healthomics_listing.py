"""How many pages of ListRuns a pass reads."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.providers.healthomics.active_runs import STATUS_BATCH, ActiveRuns
from wes_daemon.adapters.providers.healthomics.runs import ACTIVE
from wes_daemon.application.ports.errors import Throttled

A_CALL = timedelta(milliseconds=100)


class Account:
    """Lists of runs in pages of 100; each call advances the clock.

    Attributes:
        calls: number of pages read.
        max_calls: further calls are throttled.
    """

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._runs: list[tuple[str, str]] = []
        self.calls = 0
        self.max_calls: int | None = None

    def add(self, number: int, *, name: str = "wes-run") -> Sequence[str]:
        """Add RUNNING runs at random places in the list."""
        ids = [str(1_000_000 + len(self._runs) + n) for n in range(number)]
        self._runs += [(id, name) for id in ids]
        Random(1).shuffle(self._runs)
        return ids

    def clear(self) -> None:
        """Let all runs end."""
        self._runs.clear()

    def page_of_runs(self, token: str | None, status: str) -> tuple[Collection[Mapping[str, Any]], str | None]:
        if self.calls == self.max_calls:
            raise Throttled("the quota is used up")
        self.calls += 1
        self._clock.advance(A_CALL)
        listed = self._runs if status == "RUNNING" else []
        begin = int(token or 0)
        end = begin + 100
        items = [{"id": id, "name": name, "status": status} for id, name in listed[begin:end]]
        return items, str(end) if end < len(listed) else None


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def account(clock: ManualClock) -> Account:
    return Account(clock)


@pytest.fixture
def active(account: Account, clock: ManualClock) -> ActiveRuns:
    return ActiveRuns(account.page_of_runs, clock)


def a_pass(active: ActiveRuns, ids: Sequence[str]) -> int:
    """Request all runs; return the number of those that were in no list."""
    parts = [ids[begin : begin + STATUS_BATCH] for begin in range(0, len(ids), STATUS_BATCH)]
    return len(ids) - sum(len(active.statuses(part)) for part in parts)


@pytest.mark.parametrize("number", [1_000, 10_000, pytest.param(100_000, marks=pytest.mark.nightly)])
def test_a_pass_takes_a_page_for_each_hundred_runs(active: ActiveRuns, account: Account, number: int) -> None:
    ids = account.add(number)

    assert a_pass(active, ids) == 0

    assert account.calls <= number / 100 + len(ACTIVE)


def test_batches_that_lack_ended_runs_are_looked_up_in_the_lists_too(active: ActiveRuns, account: Account) -> None:
    ids = account.add(100_000)

    for begin in range(0, len(ids), 300):
        active.statuses(ids[begin : begin + 300])

    assert account.calls <= 1_000 + len(ACTIVE)


def test_a_pass_that_takes_as_long_as_its_sweep_starts_no_second_one(
    active: ActiveRuns, account: Account, clock: ManualClock
) -> None:
    ids = account.add(100_000)

    for begin in range(0, len(ids), STATUS_BATCH):
        assert len(active.statuses(ids[begin : begin + STATUS_BATCH])) == STATUS_BATCH
        clock.advance(timedelta(milliseconds=500))

    assert account.calls <= 1_000 + len(ACTIVE)


def test_each_pass_gets_new_reports(active: ActiveRuns, account: Account) -> None:
    ids = account.add(2_000)
    a_pass(active, ids)

    assert a_pass(active, ids) == 0

    assert 2 * 20 <= account.calls <= 2 * (20 + len(ACTIVE))


def test_a_few_repeated_requests_read_no_page(active: ActiveRuns, account: Account) -> None:
    ids = account.add(1_000)
    active.statuses([*ids[:STATUS_BATCH], "ended"])
    before = account.calls

    assert active.statuses(ids[STATUS_BATCH - 10 : STATUS_BATCH + 10]).keys() == set(
        ids[STATUS_BATCH : STATUS_BATCH + 10]
    )

    assert account.calls == before


def test_a_few_of_many_do_not_cost_a_sweep_whose_length_is_known(
    active: ActiveRuns, account: Account, clock: ManualClock
) -> None:
    ids = account.add(50_000)
    a_pass(active, ids)
    clock.advance(timedelta(minutes=5))
    before = account.calls

    assert active.statuses(ids[:200]) == {}

    assert account.calls == before


def test_a_repeated_request_during_a_pass_does_not_restart_the_sweep(active: ActiveRuns, account: Account) -> None:
    ids = account.add(10_000)
    active.statuses([*ids[: STATUS_BATCH - 1], "ended"])
    before = account.calls

    assert active.statuses(ids[:20]) == {}
    assert a_pass(active, ids[STATUS_BATCH:]) == 0

    assert account.calls == before


def test_a_request_that_needed_few_pages_does_not_shorten_the_known_length(
    active: ActiveRuns, account: Account, clock: ManualClock
) -> None:
    ids = account.add(10_000, name="others")
    active.statuses([*ids[:STATUS_BATCH], "ended"])
    clock.advance(timedelta(minutes=5))
    active.statuses(ids[:STATUS_BATCH])
    clock.advance(timedelta(minutes=5))
    before = account.calls

    active.statuses(ids[:20])

    assert account.calls == before


def test_foreign_runs_cost_no_more_calls_than_single_requests(
    active: ActiveRuns, account: Account, clock: ManualClock
) -> None:
    ids = account.add(150)
    account.add(20_000, name="others")
    a_pass(active, ids)
    first = account.calls
    clock.advance(timedelta(minutes=5))

    assert a_pass(active, ids) == len(ids)

    assert first <= 150
    assert account.calls == first


def test_the_end_of_the_foreign_runs_is_noticed(active: ActiveRuns, account: Account, clock: ManualClock) -> None:
    account.add(20_000, name="others")
    active.statuses([str(n) for n in range(50)])
    account.clear()
    ids = account.add(50)
    clock.advance(timedelta(hours=1, seconds=10))

    assert active.statuses(ids).keys() == set(ids)


def test_many_owned_runs_among_more_foreign_ones_are_looked_up_in_the_lists(
    active: ActiveRuns, account: Account
) -> None:
    ids = account.add(2_000)
    account.add(20_000, name="others")

    assert a_pass(active, ids) == 0

    assert account.calls <= 220 + len(ACTIVE)


def test_a_sweep_continues_where_the_quota_ended(active: ActiveRuns, account: Account, clock: ManualClock) -> None:
    ids = account.add(100_000)
    account.max_calls = 400
    with pytest.raises(Throttled):
        active.statuses([*ids[: STATUS_BATCH - 1], "ended"])
    account.max_calls = None
    clock.advance(timedelta(minutes=1))

    assert a_pass(active, ids) == 0

    assert account.calls <= 1_000 + len(ACTIVE)


def test_each_report_is_returned_once(active: ActiveRuns, account: Account) -> None:
    ids = account.add(10)
    active.statuses([*ids, "ended"])

    again = active.statuses([*ids[:5]])

    assert again.keys() == set(ids[:5])
    assert account.calls > len(ACTIVE)
