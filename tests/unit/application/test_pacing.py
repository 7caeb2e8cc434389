"""Full passes from time to time, urgent ones between them, and none without work."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.application.ports.errors import StorageUnavailable
from wes_daemon.application.runtime.pacing import IfWorkFound, PacedProbe, UrgentOrFullPass

MINUTE = timedelta(minutes=1)


def test_the_full_pass_is_made_first_and_then_once_in_its_time() -> None:
    clock, done = ManualClock(), list[str]()
    paced = UrgentOrFullPass(
        full=lambda: done.append("full"), urgent=lambda: done.append("urgent"), every=MINUTE, clock=clock
    )

    for _ in range(5):
        paced()
        clock.advance(MINUTE / 3)

    assert done == ["full", "urgent", "urgent", "full", "urgent"]


def test_what_has_failed_is_not_done() -> None:
    clock, done = ManualClock(), list[str]()

    def full() -> None:
        done.append("full")
        if len(done) == 1:
            raise StorageUnavailable("away")

    paced = UrgentOrFullPass(full=full, urgent=lambda: done.append("urgent"), every=MINUTE, clock=clock)

    with pytest.raises(StorageUnavailable):
        paced()
    paced()
    paced()

    assert done == ["full", "full", "urgent"]


def test_where_some_was_left_the_full_pass_is_made_each_time_for_as_long_as_it_is_paced_by() -> None:
    clock, done = ManualClock(), list[str]()
    paced = UrgentOrFullPass(
        full=lambda: done.append("full") or len(done),  # type: ignore[func-returns-value]  # the name is noted
        urgent=lambda: done.append("urgent"),
        every=MINUTE,
        clock=clock,
        leaves_work=lambda report: report == 1,
    )

    for _ in range(5):
        paced()
        clock.advance(MINUTE / 3)

    assert done == ["full", "full", "full", "urgent", "urgent"]


def test_what_was_left_by_work_besides_counts_as_well() -> None:
    clock, done = ManualClock(), list[str]()
    paced = UrgentOrFullPass(
        full=lambda: done.append("full"),
        urgent=lambda: done.append("urgent"),
        every=MINUTE,
        clock=clock,
        leaves_work=lambda report: report == "some",
    )
    paced()

    assert paced.note_report("some") == "some"
    paced()

    assert done == ["full", "full"]


def test_work_is_begun_where_one_of_the_probes_finds_some_and_no_further_probe_is_made_then() -> None:
    done = list[str]()

    def probe(name: str, *, finds: bool) -> Callable[[], bool]:
        return lambda: done.append(name) or finds  # type: ignore[func-returns-value]  # the name is noted

    needed = IfWorkFound(
        lambda: done.append("work"), probe("a", finds=False), probe("b", finds=True), probe("c", finds=True)
    )
    idle = IfWorkFound(lambda: done.append("work"), probe("d", finds=False))
    needed()
    idle()

    assert done == ["a", "b", "work", "d"]


def test_the_pause_after_a_probe_is_twenty_times_as_long_within_its_limits() -> None:
    clock, durations = ManualClock(), [timedelta(milliseconds=each) for each in (1, 100, 900)]

    def probe() -> bool:
        clock.advance(durations.pop(0))
        return bool(durations)

    paced = PacedProbe(probe, clock, shortest=timedelta(seconds=1))

    pauses = [paced.pause()]
    for _ in range(3):
        paced()
        pauses.append(paced.pause())

    assert pauses == [timedelta(seconds=seconds) for seconds in (1, 1, 2, 5)]
