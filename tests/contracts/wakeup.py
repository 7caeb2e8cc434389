"""What every wake-up, and everything that has news of a database, owes the core.

A child of `WakeUpContract` gives a fixture `wakeup`, a child of `NewsContract` a fixture `newsroom`.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TypeVar

import pytest

from wes_daemon.application.ports.wakeup import ChangeFeed, WakeUp

BOUND = 30.0
A_MOMENT = timedelta(milliseconds=1)
LONG = timedelta(hours=1)

T = TypeVar("T")


def in_time(work: Callable[[], T]) -> T:
    """What the work returns; whoever waits for hours fails the test instead of holding it up."""
    found: list[T] = []
    working = threading.Thread(target=lambda: found.append(work()), daemon=True)
    working.start()
    working.join(BOUND)
    assert found, "it still waits"
    return found[0]


class WakeUpContract:
    """Waits, hints, and the end of all waiting."""

    @pytest.fixture
    def wakeup(self) -> WakeUp:
        """A fresh one."""
        raise NotImplementedError

    def test_a_wait_without_a_hint_takes_its_time_and_tells_so(self, wakeup: WakeUp) -> None:
        assert not in_time(lambda: wakeup.listener().wait(A_MOMENT))

    def test_a_hint_that_came_before_ends_the_next_wait(self, wakeup: WakeUp) -> None:
        listener = wakeup.listener()

        wakeup.hint()

        assert in_time(lambda: listener.wait(LONG))

    def test_a_hint_ends_one_wait_only(self, wakeup: WakeUp) -> None:
        listener = wakeup.listener()
        wakeup.hint()
        listener.wait(A_MOMENT)

        assert not in_time(lambda: listener.wait(A_MOMENT))

    def test_many_hints_end_one_wait(self, wakeup: WakeUp) -> None:
        listener = wakeup.listener()
        for _ in range(1000):
            wakeup.hint()

        heard = [listener.wait(A_MOMENT), listener.wait(A_MOMENT)]

        assert heard == [True, False]

    def test_every_listener_hears_every_hint(self, wakeup: WakeUp) -> None:
        listeners = [wakeup.listener() for _ in range(3)]

        wakeup.hint()

        assert [in_time(partial(each.wait, LONG)) for each in listeners] == [True, True, True]

    def test_who_does_not_listen_takes_no_hint_from_those_who_do(self, wakeup: WakeUp) -> None:
        listener = wakeup.listener()
        wakeup.hint()

        wakeup.wait(A_MOMENT)

        assert in_time(lambda: listener.wait(LONG))

    def test_no_hint_is_lost_between_two_waits(self, wakeup: WakeUp) -> None:
        listener, seen, queued = wakeup.listener(), list[int](), [0]

        def listen() -> bool:
            while not seen or seen[-1] < 2000:
                if listener.wait(timedelta(seconds=BOUND)):
                    seen.append(queued[0])
            return True

        def queue() -> None:
            for number in range(1, 2001):
                queued[0] = number
                wakeup.hint()

        threading.Thread(target=queue).start()

        assert in_time(listen)

    def test_once_all_is_over_every_wait_returns_at_once(self, wakeup: WakeUp) -> None:
        listener = wakeup.listener()

        wakeup.wake()

        waits: list[Callable[[timedelta], object]] = [wakeup.wait, listener.wait, listener.wait, wakeup.listener().wait]
        for wait in waits:
            in_time(partial(wait, LONG))


class Newsroom(ABC):
    """A database that others write to, and who has news of it."""

    @abstractmethod
    def change_feed(self) -> ChangeFeed:
        """Somebody who can hear of it."""

    @abstractmethod
    def queue(self, *ids: str) -> None:
        """A service queues runs, in one commit."""

    @abstractmethod
    def cancel(self, run_id: str) -> None:
        """A service asks for a run to be cancelled."""


class Ears:
    """A thread that listens, and counts what it was told."""

    def __init__(self, change_feed: ChangeFeed) -> None:
        self._told = threading.Semaphore(0)
        self._change_feed = change_feed
        self._thread = threading.Thread(target=change_feed.listen, args=(self._told.release,), daemon=True)

    def open(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def hear(self) -> None:
        """Wait until something was told that was not heard yet."""
        assert self._told.acquire(timeout=BOUND), "nothing was told"

    def heard_nothing_more(self) -> bool:
        """Whether nothing was told that was not heard, for a moment."""
        return not self._told.acquire(timeout=0.5)

    def close(self) -> None:
        """Listen no more."""
        self._change_feed.close()
        self._thread.join(BOUND)
        assert not self._thread.is_alive(), "it still listens"


@contextmanager
def listening(change_feed: ChangeFeed) -> Iterator[Ears]:
    """Ears that listen within the block."""
    ears = Ears(change_feed)
    ears.open()
    try:
        yield ears
    finally:
        ears.close()


class NewsContract:
    """What is told of a database."""

    @pytest.fixture
    def newsroom(self) -> Newsroom:
        """A fresh one."""
        raise NotImplementedError

    def test_something_may_have_been_missed_before_the_beginning(self, newsroom: Newsroom) -> None:
        with listening(newsroom.change_feed()) as ears:
            ears.hear()

    def test_runs_that_are_queued_are_told(self, newsroom: Newsroom) -> None:
        with listening(newsroom.change_feed()) as ears:
            ears.hear()
            newsroom.queue("run-1")
            ears.hear()
            newsroom.queue("run-2", "run-3")
            ears.hear()

    def test_a_run_that_is_cancelled_is_told(self, newsroom: Newsroom) -> None:
        newsroom.queue("run-1")
        with listening(newsroom.change_feed()) as ears:
            ears.hear()
            newsroom.cancel("run-1")
            ears.hear()

    def test_everybody_who_listens_is_told(self, newsroom: Newsroom) -> None:
        with listening(newsroom.change_feed()) as one, listening(newsroom.change_feed()) as other:
            one.hear()
            other.hear()
            newsroom.queue("run-1")
            one.hear()
            other.hear()

    def test_many_runs_in_one_commit_are_told_once(self, newsroom: Newsroom) -> None:
        with listening(newsroom.change_feed()) as ears:
            ears.hear()
            newsroom.queue(*(f"run-{number}" for number in range(1000)))
            ears.hear()
            assert ears.heard_nothing_more()

    def test_who_was_closed_before_does_not_listen(self, newsroom: Newsroom) -> None:
        change_feed = newsroom.change_feed()
        change_feed.close()
        change_feed.close()

        with listening(change_feed):
            pass
