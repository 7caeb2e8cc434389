"""Exit codes and messages on standard error."""

import sys
from enum import IntEnum
from typing import IO, Any

import click


class ExitCode(IntEnum):
    """What the process returns to its caller."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    MISCONFIGURED = 3
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class Failed(click.ClickException):
    """An expected failure; click prints each line of its message as `wes-daemon: …`."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click has it as a constant of each class
        """The code with which click ends the process."""
        return self.code

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message; click calls this."""
        del file
        print_message(self.message)


def print_message(message: str) -> None:
    """Print a message for a person on standard error, apart from the result on standard output."""
    for line in message.splitlines():
        click.echo(f"wes-daemon: {one_line(line)}", err=True)


def one_line(text: str) -> str:
    r"""Escape every character that is not printed as itself: `\n`, `\x1b`, `\u2028`, `\u202e`.

    Text from rows and providers can then neither forge a line of the log nor control a terminal.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def is_terminal(stream: object) -> bool:
    """Return whether a stream is a terminal; one that was closed before the start is None."""
    isatty = getattr(stream, "isatty", None)
    return isatty is not None and bool(isatty())


def for_reader(text: str) -> str:
    """Escape the text for standard output: as lines for a person at a terminal, as one line for a program."""
    return many_lines(text) if is_terminal(sys.stdout) else one_line(text)


def many_lines(text: str) -> str:
    """Escape each line as `one_line` does, and keep the line breaks."""
    return "\n".join(one_line(line) for line in text.replace("\r\n", "\n").split("\n"))
