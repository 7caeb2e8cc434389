"""Group commit: threads that write at the same time."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import pytest

from wes_daemon.application.runtime.group_commit import GroupCommit

THREADS = 4
TIMEOUT = 60


class Book:
    """The groups that were written. Each write waits until it may end."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun, self.may_end = Event(), Event()
        self.fails_for: int | None = None

    def write(self, numbers: Sequence[int]) -> None:
        """Write them together."""
        self.begun.set()
        assert self.may_end.wait(TIMEOUT)
        self.groups.append(sorted(numbers))
        if self.fails_for in numbers:
            raise ValueError(f"cannot write {self.fails_for}")


@pytest.fixture
def book() -> Book:
    """Empty."""
    return Book()


def written_at_once(book: Book, *numbers: int) -> Sequence[Future[None]]:
    """Several threads write one each; the first has begun before the others come."""
    group_commit = GroupCommit(book.write)
    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(group_commit, numbers[0])
        assert book.begun.wait(TIMEOUT)
        others = [threads.submit(group_commit, number) for number in numbers[1:]]
        while len(group_commit._waiting) < len(others):
            pass
        book.may_end.set()
    return [first, *others]


def test_whoever_is_alone_writes_at_once(book: Book) -> None:
    written_at_once(book, 1)

    assert book.groups == [[1]]


def test_those_who_come_while_somebody_writes_are_written_together(book: Book) -> None:
    ended = written_at_once(book, 1, 2, 3, 4)

    assert book.groups == [[1], [2, 3, 4]]
    assert [each.exception() for each in ended] == [None] * 4


def test_what_goes_wrong_is_raised_to_each_of_those_who_were_written_together_and_to_nobody_else(book: Book) -> None:
    book.fails_for = 3

    first, *others = written_at_once(book, 1, 2, 3)

    assert first.exception() is None
    assert [str(each.exception()) for each in others] == ["cannot write 3"] * 2


def test_after_trouble_the_next_one_writes_again(book: Book) -> None:
    book.fails_for = 1
    book.may_end.set()
    group_commit = GroupCommit(book.write)

    with pytest.raises(ValueError, match="cannot write 1"):
        group_commit(1)
    group_commit(2)

    assert book.groups == [[1], [2]]
