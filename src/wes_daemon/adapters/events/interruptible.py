"""A source that is left alone in the middle of a long wait when the daemon is to stop."""

import threading
from collections.abc import Callable, Collection, Sequence
from queue import SimpleQueue

from wes_daemon.application.ports.events import HintSource, Message, Receipt
from wes_daemon.application.runtime.stop_signal import StopSignal

_Outcome = Callable[[], Sequence[Message]]


class InterruptibleSource:
    """A `HintSource` whose `receive` returns nothing as soon as the daemon is to stop.

    The wait itself goes on in a thread that nobody waits for; what it still receives is delivered again later.
    """

    def __init__(self, source: HintSource, stop: StopSignal) -> None:
        self._source = source
        self._stop = stop
        # Its `put` may be called where a signal has interrupted another one.
        self._outcomes: SimpleQueue[_Outcome] = SimpleQueue()
        stop.when_raised(lambda: self._outcomes.put(lambda: []))

    def receive(self) -> Sequence[Message]:
        """As the port says."""
        if self._stop.is_raised:
            return []
        threading.Thread(target=self._receive, name="events-receive", daemon=True).start()
        return self._outcomes.get()()

    def delete(self, receipts: Collection[Receipt]) -> None:
        """As the port says."""
        self._source.delete(receipts)

    def _receive(self) -> None:
        try:
            messages = self._source.receive()
        except BaseException as error:  # noqa: BLE001 - it is raised again, by the thread that waits for the outcome
            self._outcomes.put(_raising(error))
        else:
            self._outcomes.put(lambda: messages)


def _raising(error: BaseException) -> _Outcome:
    def outcome() -> Sequence[Message]:
        raise error

    return outcome
