"""The whole now and then, the urgent part in between, and nothing where there is nothing to do."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.application.ports.errors import StorageUnavailable
from wes_daemon.application.runtime.pacing import IfWorkFound, UrgentOrFullPass

MINUTE = timedelta(minutes=1)


def test_the_whole_is_done_first_and_then_once_in_its_time() -> None:
    clock, done = ManualClock(), list[str]()
    paced = UrgentOrFullPass(
        whole=lambda: done.append("whole"), urgent=lambda: done.append("urgent"), every=MINUTE, clock=clock
    )

    for _ in range(5):
        paced()
        clock.advance(MINUTE / 3)

    assert done == ["whole", "urgent", "urgent", "whole", "urgent"]


def test_what_has_failed_is_not_done() -> None:
    clock, done = ManualClock(), list[str]()

    def whole() -> None:
        done.append("whole")
        if len(done) == 1:
            raise StorageUnavailable("away")

    paced = UrgentOrFullPass(whole=whole, urgent=lambda: done.append("urgent"), every=MINUTE, clock=clock)

    with pytest.raises(StorageUnavailable):
        paced()
    paced()
    paced()

    assert done == ["whole", "whole", "urgent"]


def test_where_some_was_left_the_whole_is_done_each_time_for_as_long_as_it_is_paced_by() -> None:
    clock, done = ManualClock(), list[str]()
    paced = UrgentOrFullPass(
        whole=lambda: done.append("whole") or len(done),  # type: ignore[func-returns-value]  # the name is noted
        urgent=lambda: done.append("urgent"),
        every=MINUTE,
        clock=clock,
        has_left_some=lambda report: report == 1,
    )

    for _ in range(5):
        paced()
        clock.advance(MINUTE / 3)

    assert done == ["whole", "whole", "whole", "urgent", "urgent"]


def test_what_was_left_by_work_besides_counts_as_well() -> None:
    clock, done = ManualClock(), list[str]()
    paced = UrgentOrFullPass(
        whole=lambda: done.append("whole"),
        urgent=lambda: done.append("urgent"),
        every=MINUTE,
        clock=clock,
        has_left_some=lambda report: report == "some",
    )
    paced()

    assert paced.note("some") == "some"
    paced()

    assert done == ["whole", "whole"]


def test_work_is_begun_where_one_of_the_looks_sees_some_and_no_further_look_is_taken_then() -> None:
    done = list[str]()

    def look(name: str, *, sees: bool) -> Callable[[], bool]:
        return lambda: done.append(name) or sees  # type: ignore[func-returns-value]  # the name is noted

    needed = IfWorkFound(lambda: done.append("work"), look("a", sees=False), look("b", sees=True), look("c", sees=True))
    idle = IfWorkFound(lambda: done.append("work"), look("d", sees=False))
    needed()
    idle()

    assert done == ["a", "b", "work", "d"]
