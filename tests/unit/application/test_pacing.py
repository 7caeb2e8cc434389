"""The whole now and then, the urgent part in between."""

from datetime import timedelta

import pytest

from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.application.pacing import Paced
from wes_daemon.application.ports.errors import StorageUnavailable

MINUTE = timedelta(minutes=1)


def test_the_whole_is_done_first_and_then_once_in_its_time() -> None:
    clock, done = ManualClock(), list[str]()
    paced = Paced(whole=lambda: done.append("whole"), urgent=lambda: done.append("urgent"), every=MINUTE, clock=clock)

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

    paced = Paced(whole=whole, urgent=lambda: done.append("urgent"), every=MINUTE, clock=clock)

    with pytest.raises(StorageUnavailable):
        paced()
    paced()
    paced()

    assert done == ["whole", "whole", "urgent"]
