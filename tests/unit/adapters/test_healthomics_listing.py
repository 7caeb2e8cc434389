"""How many pages of the account's lists are read, and for whom."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.providers.healthomics.listing import BATCH, ActiveRuns
from wes_daemon.adapters.providers.healthomics.states import ACTIVE
from wes_daemon.application.ports.errors import Throttled

A_CALL = timedelta(milliseconds=100)


class Account:
    """Lists of runs in pages of 100; a call takes its time.

    Attributes:
        calls: how many pages were asked for.
        spent_after: so many of them the budget is for.
    """

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._runs: list[tuple[str, str]] = []
        self.calls = 0
        self.spent_after: int | None = None

    def add(self, number: int, *, name: str = "wes-run") -> Sequence[str]:
        """Runs that run, between those that are there already."""
        ids = [str(1_000_000 + len(self._runs) + n) for n in range(number)]
        self._runs += [(id, name) for id in ids]
        Random(1).shuffle(self._runs)
        return ids

    def clear(self) -> None:
        """All have ended."""
        self._runs.clear()

    def page_of_runs(self, token: str | None, *, status: str) -> tuple[Collection[Mapping[str, Any]], str | None]:
        if self.calls == self.spent_after:
            raise Throttled("the budget is used up")
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
    return ActiveRuns(account, clock)


def a_pass(active: ActiveRuns, ids: Sequence[str]) -> int:
    """How many of them were in no list that was read, when all were asked for."""
    parts = [ids[begin : begin + BATCH] for begin in range(0, len(ids), BATCH)]
    return len(ids) - sum(len(active.among(part)) for part in parts)


@pytest.mark.parametrize("number", [1_000, 10_000, 100_000])
def test_a_pass_takes_a_page_for_each_hundred_runs(active: ActiveRuns, account: Account, number: int) -> None:
    ids = account.add(number)

    assert a_pass(active, ids) == 0

    assert account.calls <= number / 100 + len(ACTIVE)


def test_batches_that_lack_those_that_have_ended_are_looked_up_in_the_lists_too(
    active: ActiveRuns, account: Account
) -> None:
    ids = account.add(100_000)

    for begin in range(0, len(ids), 300):
        active.among(ids[begin : begin + 300])

    assert account.calls <= 1_000 + len(ACTIVE)


def test_a_pass_that_lasts_as_long_as_its_sweep_makes_no_other(
    active: ActiveRuns, account: Account, clock: ManualClock
) -> None:
    ids = account.add(100_000)

    for begin in range(0, len(ids), BATCH):
        assert len(active.among(ids[begin : begin + BATCH])) == BATCH
        clock.advance(timedelta(milliseconds=500))

    assert account.calls <= 1_000 + len(ACTIVE)


def test_each_pass_sees_anew(active: ActiveRuns, account: Account) -> None:
    ids = account.add(2_000)
    a_pass(active, ids)

    assert a_pass(active, ids) == 0

    assert 2 * 20 <= account.calls <= 2 * (20 + len(ACTIVE))


def test_a_few_that_are_asked_for_again_are_left_to_others_than_the_lists(active: ActiveRuns, account: Account) -> None:
    ids = account.add(1_000)
    active.among([*ids[:BATCH], "ended"])
    before = account.calls

    assert active.among(ids[BATCH - 10 : BATCH + 10]).keys() == set(ids[BATCH : BATCH + 10])

    assert account.calls == before


def test_a_few_of_many_do_not_cost_a_sweep_whose_length_is_known(
    active: ActiveRuns, account: Account, clock: ManualClock
) -> None:
    ids = account.add(50_000)
    a_pass(active, ids)
    clock.advance(timedelta(minutes=5))
    before = account.calls

    assert active.among(ids[:200]) == {}

    assert account.calls == before


def test_who_asks_again_in_the_middle_of_a_pass_does_not_make_it_begin_again(
    active: ActiveRuns, account: Account
) -> None:
    ids = account.add(10_000)
    active.among([*ids[: BATCH - 1], "ended"])
    before = account.calls

    assert active.among(ids[:20]) == {}
    assert a_pass(active, ids[BATCH:]) == 0

    assert account.calls == before


def test_a_look_that_needed_few_pages_does_not_make_a_long_sweep_forgotten(
    active: ActiveRuns, account: Account, clock: ManualClock
) -> None:
    ids = account.add(10_000, name="others")
    active.among([*ids[:BATCH], "ended"])
    clock.advance(timedelta(minutes=5))
    active.among(ids[:BATCH])
    clock.advance(timedelta(minutes=5))
    before = account.calls

    active.among(ids[:20])

    assert account.calls == before


def test_others_runs_cost_no_more_than_asking_for_ours_would(
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


def test_that_others_runs_have_ended_is_found_out(active: ActiveRuns, account: Account, clock: ManualClock) -> None:
    account.add(20_000, name="others")
    active.among([str(n) for n in range(50)])
    account.clear()
    ids = account.add(50)
    clock.advance(timedelta(hours=1, seconds=10))

    assert active.among(ids).keys() == set(ids)


def test_many_between_more_of_others_are_still_looked_up_in_the_lists(active: ActiveRuns, account: Account) -> None:
    ids = account.add(2_000)
    account.add(20_000, name="others")

    assert a_pass(active, ids) == 0

    assert account.calls <= 220 + len(ACTIVE)


def test_a_sweep_goes_on_where_the_budget_ended(active: ActiveRuns, account: Account, clock: ManualClock) -> None:
    ids = account.add(100_000)
    account.spent_after = 400
    with pytest.raises(Throttled):
        active.among([*ids[: BATCH - 1], "ended"])
    account.spent_after = None
    clock.advance(timedelta(minutes=1))

    assert a_pass(active, ids) == 0

    assert account.calls <= 1_000 + len(ACTIVE)


def test_nothing_is_told_twice_of_one_look(active: ActiveRuns, account: Account) -> None:
    ids = account.add(10)
    active.among([*ids, "ended"])

    again = active.among([*ids[:5]])

    assert again.keys() == set(ids[:5])
    assert account.calls > len(ACTIVE)
