"""How a process is told to stop, and how it ends even if some of its threads do not."""

import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import NoReturn, Self

_GARBAGE_THRESHOLDS = (10_000, 20, 20)
_PATIENCE_SECONDS = 1
# Half a second less than the ten that a supervisor waits before it kills.
_LONGEST_STOP_SECONDS = 9.5


def collect_garbage_seldom() -> None:
    """See to it that Python does not look for cycles all the time among objects that have none.

    A pass makes some thousands of objects that all go by themselves; with the interpreter's own thresholds, looking
    through them takes a seventh of a busy daemon's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)


def end_soon(ending: BaseException) -> None:
    """See to it that the process ends after `ending`, even if a thread of a pool hangs in a call."""
    code = ending.code if isinstance(ending, SystemExit) else 1
    last_word = threading.Timer(_PATIENCE_SECONDS, leave_at_once, [code if isinstance(code, int) else int(bool(code))])
    last_word.daemon = True
    last_word.start()


def leave_at_once(code: int) -> NoReturn:
    """End the process whatever its threads are doing, with everything written that was said so far."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


class StopOnSignals:
    """The first SIGTERM or SIGINT asks for a stop, the second ends the process at once, and so do ten seconds.

    Python runs a signal's handler in the main thread, when that comes back from whatever call it waits in, and it
    may come in the middle of a lock that the handler needs. So the handlers do nothing: the interpreter writes each
    signal's number to a socket as it arrives, and a thread of ours reads it there.

    Attributes:
        received: the number of the first signal, once there was one.
    """

    def __init__(self, *, late_code: int | None = None) -> None:
        """Do nothing yet.

        Args:
            late_code: what a process ends with that is still there ten seconds after the first signal, also where
                it has left this block; None for 128 and the signal's number.
        """
        self.received: int | None = None
        self._late_code = late_code
        self._lock = threading.Lock()
        self._on_stop: Callable[[], None] | None = None
        self._previous: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        self._incoming, self._outgoing = socket.socketpair()
        self._outgoing.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(self._outgoing.fileno(), warn_on_full_buffer=False)
        for number in _heeded():
            self._previous[number] = signal.signal(number, _do_nothing)
        threading.Thread(target=self._listen, name="signals", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        self._outgoing.close()

    def call(self, stop: Callable[[], None]) -> None:
        """Call `stop` when there is a signal, or now if there was one."""
        with self._lock:
            self._on_stop = stop
        if self.received:
            stop()

    def _listen(self) -> None:
        with self._incoming:
            while numbers := self._incoming.recv(1):
                if numbers[0] in (signal.SIGTERM, signal.SIGINT):
                    self._stop(numbers[0])

    def _stop(self, number: int) -> None:
        with self._lock:
            if self.received:
                os._exit(128 + number)
            self._end_in_time(number)
            self.received = number
            on_stop = self._on_stop
        if on_stop:
            on_stop()

    def _end_in_time(self, number: int) -> None:
        """See to it that the process ends, even if everybody waits for a reader of its output who reads no more."""
        code = 128 + number if self._late_code is None else self._late_code
        # Not `leave_at_once`: who writes the log or flushes a stream may wait for ever, and holds its lock meanwhile.
        in_time = threading.Timer(_LONGEST_STOP_SECONDS, os._exit, [code])
        in_time.daemon = True
        in_time.start()


def _heeded() -> list[signal.Signals]:
    heeded = [signal.SIGTERM, signal.SIGINT]
    if not (sys.stdin and sys.stdin.isatty()):
        # Log rotation sends it; the log file is opened anew by itself. At a terminal it means that this is closed.
        heeded.append(signal.SIGHUP)
    return heeded


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    pass
