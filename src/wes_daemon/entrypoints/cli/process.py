"""The process of the command line: signals, standard output, and an end that does not wait for hanging threads."""

import gc
import io
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from wes_daemon.entrypoints.cli.errors import Failed

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_GARBAGE_THRESHOLDS = (10_000, 20, 20)
_EXIT_SECONDS = 1
# Half a second less than the ten seconds after which supervisors usually kill a process.
_STOP_SECONDS = 9.5


class StopOnSignals:
    """Stops the process on SIGTERM and SIGINT. A second signal ends it at once, as do ten seconds without an end.

    Python runs a signal handler in the main thread, when its current call returns. The handler may then interrupt
    code that holds a lock that the handler needs itself. So these handlers do nothing: the interpreter writes the
    number of each signal to a socket at once, and a thread reads it there.

    Attributes:
        received: the number of the first signal, if there was one.
    """

    def __init__(self, *, late_code: int | None = None) -> None:
        """Install no handler yet.

        Args:
            late_code: the exit code of a process that still exists ten seconds after the first signal, even outside
                of the block; None for 128 plus the signal's number.
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
        for number in _handled_signals():
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
        """Call `stop` on the first signal, or now if there was one."""
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
        code = 128 + number if self._late_code is None else self._late_code
        # Not `exit_now`, which needs the lock of the log: a thread that hangs while it writes to the log may hold it.
        timer = threading.Timer(_STOP_SECONDS, os._exit, [code])
        timer.daemon = True
        timer.start()


def ignore_interrupts() -> None:
    """Ignore Ctrl-C from here on: the process is ending, and an interrupt would only print a traceback."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def collect_garbage_rarely() -> None:
    """Raise the thresholds of the garbage collector.

    A pass creates some thousands of objects without reference cycles. With the default thresholds the search for
    cycles takes a seventh of the time of a busy daemon.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)


def exit_soon(ending: BaseException) -> None:
    """End the process a second after `ending`, even if a thread of a pool hangs in a call."""
    code = ending.code if isinstance(ending, SystemExit) else 1
    timer = threading.Timer(_EXIT_SECONDS, exit_now, [code if isinstance(code, int) else int(bool(code))])
    timer.daemon = True
    timer.start()


def exit_now(code: int) -> NoReturn:
    """End the process without waiting for its threads, after the log and standard output were written."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def report_output_errors() -> None:
    """Make writes to standard output raise `Failed` if they fail, as on a full disk, but not for a broken pipe.

    A stream that is not a `TextIOWrapper` was replaced by the caller and is left alone.
    """
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):
        return
    with suppress(OSError):
        stream.flush()
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Output(stream.fileno(), "w", closefd=False)),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )


def flush_or_discard_output() -> None:
    """Write what standard output still holds; discard it if that fails, so that the interpreter does not try again."""
    try:
        sys.stdout.flush()
    except (OSError, Failed):
        discard_output()


def discard_output() -> None:
    """Discard what standard output still holds."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Output(io.FileIO):
    """Standard output; only at this layer is every `OSError` an error of standard output."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Failed(f"cannot write to standard output: {error.strerror}") from error


def _handled_signals() -> list[signal.Signals]:
    handled = [signal.SIGTERM, signal.SIGINT]
    if not (sys.stdin and sys.stdin.isatty()):
        # Log rotation sends SIGHUP, which is ignored, because the log file reopens itself. On a terminal the signal
        # means that the terminal was closed.
        handled.append(signal.SIGHUP)
    return handled


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    pass
