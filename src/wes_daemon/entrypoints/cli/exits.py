"""How a command ends: what is said on standard error, and with which code."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import IO, Any

import click

from wes_daemon.domain.errors import InvalidRequest, WesDaemonError
from wes_daemon.entrypoints.cli.escaping import one_line

HIDE = "wes_daemon.hide"
"""Under this name `click.Context.meta` keeps what hides the secrets in a text, once the settings are read."""


class ExitCode(IntEnum):
    """What the process says to whoever started it."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    MISCONFIGURED = 3
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class Failed(click.ClickException):
    """Something expected went wrong; each line of the message is said as `wes-daemon: …`."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click has it as a constant of each class
        """What click ends the process with."""
        return self.code

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it on standard error."""
        del file
        say(self.message)


def say(message: str) -> None:
    """Tell the person something on standard error, where it does not get into what is printed."""
    for line in message.splitlines():
        click.echo(f"wes-daemon: {one_line(line)}", err=True)


@contextmanager
def expected_failures(ctx: click.Context) -> Iterator[None]:
    """Turn what may go wrong into what click shows; the rest is a bug and passes."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _let_go_of_stdout()
        raise click.exceptions.Exit(ExitCode.BROKEN_PIPE) from None
    except KeyboardInterrupt:
        ignore_interrupts()
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
    except WesDaemonError as error:
        hide: Callable[[str], str] = ctx.meta.get(HIDE, str)
        raise Failed(hide(str(error)), _code(error)) from error


def ignore_interrupts() -> None:
    """From here on the process ends, and whoever presses Ctrl-C again cannot make it end with a traceback."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _code(error: WesDaemonError) -> ExitCode:
    # Not imported above, since it brings pydantic; whoever raised a ConfigurationError has it already.
    from wes_daemon.application.ports.errors import Misconfigured, StorageMisconfigured
    from wes_daemon.bootstrap.settings import ConfigurationError

    if isinstance(error, ConfigurationError | StorageMisconfigured | Misconfigured):
        return ExitCode.MISCONFIGURED
    return ExitCode.USAGE if isinstance(error, InvalidRequest) else ExitCode.FAILED


def _let_go_of_stdout() -> None:
    """Whoever read it is gone; without this the interpreter would complain when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
