"""Hints in memory."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.events import HintsUnavailable, Message, Receipt, Subject
from wes_daemon.domain.runs import ProviderRunId

_MOST_MESSAGES = 10


class MemoryHints:
    """A `HintSource` that holds what a test has sent, and waits for nothing.

    Args:
        hidden_for: how long a message that was received and not deleted is kept back.
        on_empty: called where there is nothing to receive, in place of a wait.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        hidden_for: timedelta = timedelta(seconds=30),
        on_empty: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._hidden_for = hidden_for
        self._on_empty = on_empty
        self._numbers = count(1)
        self._messages: dict[int, tuple[Message, datetime]] = {}
        self._errors: list[tuple[str, HintsUnavailable]] = []

    @property
    def left(self) -> int:
        """Messages that were not deleted."""
        return len(self._messages)

    def send(self, *ids: str) -> None:
        """Somebody says that something has happened to the run of these ids."""
        self._put(Subject.RUN, ids=[ProviderRunId(id) for id in ids])

    def send_foreign(self) -> None:
        """Somebody speaks of something else."""
        self._put(Subject.OTHER)

    def send_unreadable(self, problem: str = "it is no JSON") -> None:
        """Somebody writes what nobody can read."""
        self._put(Subject.UNREADABLE, problem=problem)

    def fail_next(self, *errors: HintsUnavailable, operation: str = "receive") -> None:
        """The next calls of `receive` or `delete` fail so, one after the other."""
        self._errors += [(operation, error) for error in errors]

    def receive(self) -> Sequence[Message]:
        """As the port says."""
        self._raise("receive")
        now = self._clock.now()
        visible = [number for number, (_, from_then) in self._messages.items() if from_then <= now][:_MOST_MESSAGES]
        if not visible:
            self._on_empty()
        return [self._deliver(number, now) for number in visible]

    def delete(self, receipts: Collection[Receipt]) -> None:
        """As the port says."""
        self._raise("delete")
        for receipt in receipts:
            self._messages.pop(int(receipt.partition("-")[0]), None)

    def _put(self, subject: Subject, *, ids: Collection[ProviderRunId] = (), problem: str = "") -> None:
        message = Message(receipt=Receipt(""), subject=subject, ids=ids, problem=problem)
        self._messages[next(self._numbers)] = (message, self._clock.now())

    def _deliver(self, number: int, now: datetime) -> Message:
        message, _ = self._messages[number]
        self._messages[number] = (message, now + self._hidden_for)
        return replace(message, receipt=Receipt(f"{number}-{next(self._numbers)}"))

    def _raise(self, operation: str) -> None:
        found = next((each for each in self._errors if each[0] == operation), None)
        if found:
            self._errors.remove(found)
            raise found[1]
