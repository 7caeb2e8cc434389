"""The contracts of `WakeUp` and `ChangeFeed`.

A child of `WakeUpContract` has a fixture `wakeup`, a child of `ChangeFeedContract` a fixture `watched`.
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
    """Return what the work returns; a wait for hours fails the test instead of delaying it."""
    found: list[T] = []
    working = threading.Thread(target=lambda: found.append(work()), daemon=True)
    working.start()
    working.join(BOUND)
    assert found, "it is still waiting"
    return found[0]


class WakeUpContract:
    """Waits, hints, and the end of all waiting."""

    @pytest.fixture
    def wakeup(self) -> WakeUp:
        """A fresh one."""
        raise NotImplementedError

    def test_a_wait_without_a_hint_lasts_until_its_timeout_and_returns_false(self, wakeup: WakeUp) -> None:
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

        received = [listener.wait(A_MOMENT), listener.wait(A_MOMENT)]

        assert received == [True, False]

    def test_every_listener_receives_every_hint(self, wakeup: WakeUp) -> None:
        listeners = [wakeup.listener() for _ in range(3)]

        wakeup.hint()

        assert [in_time(partial(each.wait, LONG)) for each in listeners] == [True, True, True]

    def test_a_plain_wait_takes_no_hint_from_a_listener(self, wakeup: WakeUp) -> None:
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

    def test_after_wake_every_wait_returns_at_once(self, wakeup: WakeUp) -> None:
        listener = wakeup.listener()

        wakeup.wake()

        waits: list[Callable[[timedelta], object]] = [wakeup.wait, listener.wait, listener.wait, wakeup.listener().wait]
        for wait in waits:
            in_time(partial(wait, LONG))


class WatchedDatabase(ABC):
    """A database that other connections write to, and its change feeds.

    Attributes:
        further_hints: how many hints more than one a single commit may lead to.
    """

    further_hints = 0

    @abstractmethod
    def change_feed(self) -> ChangeFeed:
        """Return another change feed."""

    @abstractmethod
    def queue(self, *ids: str) -> None:
        """Queue runs as a service does, in one commit."""

    @abstractmethod
    def cancel(self, run_id: str) -> None:
        """Request a cancellation as a service does."""

    @abstractmethod
    def end(self, run_id: str) -> None:
        """End a run by the state `CANCELED`, as a service does."""

    @abstractmethod
    def delete(self, run_id: str) -> None:
        """Delete the row of a run, as a service does."""


class HintCounter:
    """Listens in a thread, and counts the hints."""

    def __init__(self, change_feed: ChangeFeed) -> None:
        self._hints = threading.Semaphore(0)
        self._change_feed = change_feed
        self._thread = threading.Thread(target=change_feed.listen, args=(self._hints.release,), daemon=True)

    def start(self) -> None:
        """Start to listen."""
        self._thread.start()

    def expect(self) -> None:
        """Wait for one more hint."""
        assert self._hints.acquire(timeout=BOUND), "there was no hint"

    def has_no_more(self, *, than: int = 0) -> bool:
        """Whether there are no more further hints than these, until there is none for a moment."""
        return not all(self._hints.acquire(timeout=0.5) for _ in range(than + 1))

    def close(self) -> None:
        """Stop to listen."""
        self._change_feed.close()
        self._thread.join(BOUND)
        assert not self._thread.is_alive(), "it is still listening"


@contextmanager
def listening(change_feed: ChangeFeed) -> Iterator[HintCounter]:
    """Listen during the block."""
    hints = HintCounter(change_feed)
    hints.start()
    try:
        yield hints
    finally:
        hints.close()


class ChangeFeedContract:
    """Hints after commits of other connections."""

    @pytest.fixture
    def watched(self) -> WatchedDatabase:
        """A fresh one."""
        raise NotImplementedError

    def test_there_is_a_hint_at_the_start_for_changes_before_it(self, watched: WatchedDatabase) -> None:
        with listening(watched.change_feed()) as hints:
            hints.expect()

    def test_queued_runs_lead_to_hints(self, watched: WatchedDatabase) -> None:
        with listening(watched.change_feed()) as hints:
            hints.expect()
            watched.queue("run-1")
            hints.expect()
            watched.queue("run-2", "run-3")
            hints.expect()

    def test_a_cancelled_run_leads_to_a_hint(self, watched: WatchedDatabase) -> None:
        watched.queue("run-1")
        with listening(watched.change_feed()) as hints:
            hints.expect()
            watched.cancel("run-1")
            hints.expect()

    @pytest.mark.parametrize("act", ["end", "delete"])
    def test_a_run_that_its_service_ends_or_deletes_leads_to_a_hint(self, watched: WatchedDatabase, act: str) -> None:
        watched.queue("run-1")
        with listening(watched.change_feed()) as hints:
            hints.expect()
            if act == "end":
                watched.end("run-1")
            else:
                watched.delete("run-1")
            hints.expect()

    def test_every_change_feed_gets_every_hint(self, watched: WatchedDatabase) -> None:
        with listening(watched.change_feed()) as one, listening(watched.change_feed()) as other:
            one.expect()
            other.expect()
            watched.queue("run-1")
            one.expect()
            other.expect()

    def test_many_runs_in_one_commit_lead_to_one_hint(self, watched: WatchedDatabase) -> None:
        with listening(watched.change_feed()) as hints:
            hints.expect()
            watched.queue(*(f"run-{number}" for number in range(1000)))
            hints.expect()
            assert hints.has_no_more(than=watched.further_hints)

    def test_a_change_feed_that_was_closed_before_does_not_listen(self, watched: WatchedDatabase) -> None:
        change_feed = watched.change_feed()
        change_feed.close()
        change_feed.close()

        with listening(change_feed):
            pass
