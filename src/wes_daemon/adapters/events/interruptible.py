"""A hint source whose long wait ends early when the daemon stops."""

import threading
from collections.abc import Callable, Collection, Sequence
from queue import SimpleQueue

from wes_daemon.application.ports.events import HintSource, Message, Receipt
from wes_daemon.application.runtime.stop_signal import StopSignal

_Outcome = Callable[[], Sequence[Message]]


class InterruptibleSource:
    """A `HintSource` whose `receive` returns no messages as soon as the stop signal is raised.

    The inner source goes on waiting in a daemon thread. The messages that it still receives are not deleted, so they
    are delivered again.
    """

    def __init__(self, source: HintSource, stop: StopSignal) -> None:
        self._source = source
        self._stop = stop
        # A SimpleQueue, because a signal handler may call its `put` in the middle of another `put`.
        self._outcomes: SimpleQueue[_Outcome] = SimpleQueue()
        stop.when_raised(lambda: self._outcomes.put(lambda: []))

    def receive(self) -> Sequence[Message]:
        if self._stop.is_raised:
            return []
        threading.Thread(target=self._receive, name="events-receive", daemon=True).start()
        return self._outcomes.get()()

    def delete(self, receipts: Collection[Receipt]) -> None:
        self._source.delete(receipts)

    def _receive(self) -> None:
        try:
            messages = self._source.receive()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for the outcome
            self._outcomes.put(_raising(error))
        else:
            self._outcomes.put(lambda: messages)


def _raising(error: BaseException) -> _Outcome:
    def outcome() -> Sequence[Message]:
        raise error

    return outcome
