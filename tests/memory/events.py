"""Messages in memory."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.events import HintsUnavailable, Message, Receipt, Subject
from wes_daemon.domain.runs import ProviderRunId

_BATCH = 10


class MemoryHints:
    """A `HintSource` with the messages that a test has sent; it never waits.

    Args:
        hidden_for: how long a message that was delivered and not deleted is withheld.
        on_empty: called instead of a wait if there is no message.
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
        """The number of messages that were not deleted."""
        return len(self._messages)

    def send(self, *ids: str) -> None:
        """Send a message about the run with these ids."""
        self._put(Subject.RUN, ids=[ProviderRunId(id) for id in ids])

    def send_foreign(self) -> None:
        """Send a message that is not about a run."""
        self._put(Subject.OTHER)

    def send_unreadable(self, problem: str = "it is no JSON") -> None:
        """Send a message that cannot be parsed."""
        self._put(Subject.UNREADABLE, problem=problem)

    def fail_next(self, *errors: HintsUnavailable, operation: str = "receive") -> None:
        """Make the next calls of `receive` or `delete` fail with these errors, one after the other."""
        self._errors += [(operation, error) for error in errors]

    def receive(self) -> Sequence[Message]:
        """Return up to ten messages that are not withheld."""
        self._raise_planned("receive")
        now = self._clock.now()
        visible = [number for number, (_, visible_from) in self._messages.items() if visible_from <= now][:_BATCH]
        if not visible:
            self._on_empty()
        return [self._deliver(number, now) for number in visible]

    def delete(self, receipts: Collection[Receipt]) -> None:
        """Delete messages."""
        self._raise_planned("delete")
        for receipt in receipts:
            self._messages.pop(int(receipt.partition("-")[0]), None)

    def _put(self, subject: Subject, *, ids: Collection[ProviderRunId] = (), problem: str = "") -> None:
        message = Message(receipt=Receipt(""), subject=subject, ids=ids, problem=problem)
        self._messages[next(self._numbers)] = (message, self._clock.now())

    def _deliver(self, number: int, now: datetime) -> Message:
        message, _ = self._messages[number]
        self._messages[number] = (message, now + self._hidden_for)
        return replace(message, receipt=Receipt(f"{number}-{next(self._numbers)}"))

    def _raise_planned(self, operation: str) -> None:
        planned = next((each for each in self._errors if each[0] == operation), None)
        if planned:
            self._errors.remove(planned)
            raise planned[1]
