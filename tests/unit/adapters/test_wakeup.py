"""Waits that end early, in memory and for real."""

import threading
from collections.abc import Callable

import pytest

from tests.contracts.wakeup import LONG, NewsContract, Newsroom, WakeUpContract, in_time, listening
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.wakeup import MemoryChangeFeed, SkippingWakeUp
from wes_daemon.adapters.system import SilentChangeFeed, TimedWakeUp
from wes_daemon.application.ports.wakeup import WakeUp


class TestSkippingWakeUp(WakeUpContract):
    @pytest.fixture
    def wakeup(self) -> WakeUp:
        return SkippingWakeUp(ManualClock())


class TestTimedWakeUp(WakeUpContract):
    @pytest.fixture
    def wakeup(self) -> WakeUp:
        return TimedWakeUp()

    @pytest.mark.parametrize("end", [TimedWakeUp.hint, TimedWakeUp.wake])
    def test_a_wait_that_is_under_way_ends(self, end: Callable[[TimedWakeUp], None]) -> None:
        wakeup, waiting = TimedWakeUp(), threading.Event()
        listener = wakeup.listener()

        def wait() -> bool:
            waiting.set()
            listener.wait(LONG)
            return True

        def end_it() -> None:
            waiting.wait()
            end(wakeup)

        threading.Timer(0.05, end_it).start()

        assert in_time(wait)


class MemoryNewsroom(Newsroom):
    """Whatever happens is told by the test itself."""

    def __init__(self) -> None:
        self._everybody: list[MemoryChangeFeed] = []

    def change_feed(self) -> MemoryChangeFeed:
        self._everybody.append(MemoryChangeFeed())
        return self._everybody[-1]

    def queue(self, *ids: str) -> None:
        for each in self._everybody:
            each.happen()

    def cancel(self, run_id: str) -> None:
        self.queue(run_id)


class TestMemoryNews(NewsContract):
    @pytest.fixture
    def newsroom(self) -> Newsroom:
        return MemoryNewsroom()


def test_who_only_polls_is_told_nothing() -> None:
    with listening(SilentChangeFeed()) as ears:
        assert ears.heard_nothing_more()
