"""Standard output that says so when it cannot be written to: a full disk is no bug of whoever prints."""

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from wes_daemon.entrypoints.cli.exits import Failed

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def watch_stdout() -> None:
    """Let what cannot be written from here on be a `Failed`, wherever it is printed; broken pipes stay what they are.

    A stream that is no `TextIOWrapper`, because somebody has put it in the place of the process's own, is left alone.
    """
    found = sys.stdout
    if not isinstance(found, io.TextIOWrapper):
        return
    with suppress(OSError):
        found.flush()
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Output(found.fileno(), "w", closefd=False)),
            encoding=found.encoding,
            errors=found.errors,
            line_buffering=found.line_buffering,
            write_through=found.write_through,
        )


def let_go_of_stdout() -> None:
    """Throw away what it still holds where nobody takes it, lest the interpreter complains when it ends."""
    try:
        sys.stdout.flush()
    except (OSError, Failed):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Output(io.FileIO):
    """Only the lowest layer knows that an error is that of this stream."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Failed(f"cannot write to standard output: {error.strerror}") from error
