"""Waits that end early, in memory and for real."""

import threading
from collections.abc import Callable

import pytest

from tests.contracts.wakeup import LONG, ChangeFeedContract, WakeUpContract, WatchedDatabase, in_time, listening
from tests.memory.change_feed import MemoryChangeFeed
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.wakeup import SkippingWakeUp
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


class MemoryWatchedDatabase(WatchedDatabase):
    """Reports changes itself."""

    def __init__(self) -> None:
        self._feeds: list[MemoryChangeFeed] = []

    def change_feed(self) -> MemoryChangeFeed:
        self._feeds.append(MemoryChangeFeed())
        return self._feeds[-1]

    def queue(self, *ids: str) -> None:
        for each in self._feeds:
            each.report_change()

    def end(self, run_id: str) -> None:
        self.queue(run_id)

    def delete(self, run_id: str) -> None:
        self.queue(run_id)

    def cancel(self, run_id: str) -> None:
        self.queue(run_id)


class TestMemoryChangeFeed(ChangeFeedContract):
    @pytest.fixture
    def watched(self) -> WatchedDatabase:
        return MemoryWatchedDatabase()


def test_a_silent_change_feed_gives_no_hints() -> None:
    with listening(SilentChangeFeed()) as hints:
        assert hints.has_no_more()
