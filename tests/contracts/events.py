"""What every source of hints owes the core. A child gives a fixture `queue`: an empty source, and who writes to it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pytest

from wes_daemon.application.ports.events import HintSource, HintsUnavailable, Message, Receipt, Subject
from wes_daemon.domain.runs import ProviderRunId

_BATCHES = 30


class QueueHarness(ABC):
    """A source, and those who write to it."""

    @property
    @abstractmethod
    def source(self) -> HintSource:
        """The source."""

    @abstractmethod
    def send(self, id: str, uuid: str) -> None:
        """Say that something has happened to a run."""

    @abstractmethod
    def send_foreign(self) -> None:
        """Send what can be read and speaks of no run."""

    @abstractmethod
    def send_unreadable(self) -> None:
        """Send what nobody can read."""

    @abstractmethod
    def deliver_again(self) -> None:
        """Let so much time pass that what was received and not deleted is delivered once more."""

    @abstractmethod
    def take_away(self) -> None:
        """Let neither `receive` nor `delete` work from now on."""

    def received(self) -> Sequence[Message]:
        """Everything that there is; nothing is deleted."""
        batches = [self.source.receive() for _ in range(_BATCHES)]
        return [message for batch in batches for message in batch]


class HintSourceContract:
    """The suite."""

    @pytest.fixture
    def queue(self) -> QueueHarness:
        """An empty source."""
        raise NotImplementedError

    def test_nothing_is_received_where_nothing_was_sent(self, queue: QueueHarness) -> None:
        assert list(queue.source.receive()) == []

    def test_a_hint_names_the_run_as_the_daemon_knows_it(self, queue: QueueHarness) -> None:
        queue.send("1234567", "8dd3")

        [message] = queue.received()

        assert message.subject is Subject.RUN
        assert ProviderRunId("1234567/8dd3") in message.ids

    def test_everything_that_was_sent_is_received(self, queue: QueueHarness) -> None:
        for number in range(25):
            queue.send(str(number), "8dd3")

        told = {id for message in queue.received() for id in message.ids}

        assert {f"{number}/8dd3" for number in range(25)} <= told

    def test_what_speaks_of_no_run_is_told_from_what_nobody_can_read(self, queue: QueueHarness) -> None:
        queue.send_foreign()
        queue.send_unreadable()

        messages = queue.received()

        assert {message.subject for message in messages} == {Subject.OTHER, Subject.UNREADABLE}
        assert [message.ids for message in messages if message.ids] == []
        assert all(bool(message.problem) == (message.subject is Subject.UNREADABLE) for message in messages)

    def test_what_is_not_deleted_is_received_again(self, queue: QueueHarness) -> None:
        queue.send("1234567", "8dd3")
        [before] = queue.received()
        queue.deliver_again()

        [after] = queue.received()

        assert after.ids == before.ids

    def test_what_is_deleted_is_received_no_more(self, queue: QueueHarness) -> None:
        for number in range(3):
            queue.send(str(number), "8dd3")
        kept, *deleted = queue.received()

        queue.source.delete([message.receipt for message in deleted])
        queue.deliver_again()

        assert [message.ids for message in queue.received()] == [kept.ids]

    def test_what_was_deleted_before_is_no_error(self, queue: QueueHarness) -> None:
        queue.send("1234567", "8dd3")
        [message] = queue.received()

        queue.source.delete([])
        queue.source.delete([message.receipt])
        queue.source.delete([message.receipt])

    def test_a_source_that_is_gone_says_so(self, queue: QueueHarness) -> None:
        queue.take_away()

        with pytest.raises(HintsUnavailable):
            queue.source.receive()
        with pytest.raises(HintsUnavailable):
            queue.source.delete([Receipt("1-1")])
