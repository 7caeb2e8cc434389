"""The command `wes-daemon`: runs the daemon if it is called with options alone, else one of the sub-commands."""

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import click

from wes_daemon.domain.errors import InvalidRequest, WesDaemonError
from wes_daemon.entrypoints.cli.cancel import cancel
from wes_daemon.entrypoints.cli.daemon import run_daemon
from wes_daemon.entrypoints.cli.db import db
from wes_daemon.entrypoints.cli.demo import demo
from wes_daemon.entrypoints.cli.errors import ExitCode, Failed, many_lines
from wes_daemon.entrypoints.cli.list import list_runs
from wes_daemon.entrypoints.cli.logs import log_uncaught, log_uncaught_in_thread
from wes_daemon.entrypoints.cli.options import Overrides, daemon_options, is_daemon_option
from wes_daemon.entrypoints.cli.process import (
    discard_output,
    exit_soon,
    flush_or_discard_output,
    ignore_interrupts,
    report_output_errors,
)
from wes_daemon.entrypoints.cli.providers import providers
from wes_daemon.entrypoints.cli.reconcile import reconcile
from wes_daemon.entrypoints.cli.resolve import resolve
from wes_daemon.entrypoints.cli.run_once import run_once
from wes_daemon.entrypoints.cli.session import HIDE_SECRETS
from wes_daemon.entrypoints.cli.show import show
from wes_daemon.entrypoints.cli.submit import submit
from wes_daemon.entrypoints.cli.verify import verify

_NAMES_FOR_THE_DAEMON = ("daemon", "run", "serve", "start")
# What other programs call these commands.
_OTHER_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("ls", "ps", "runs", "queue"), "list"),
    **dict.fromkeys(("status", "log", "logs", "info", "get", "describe"), "show"),
    **dict.fromkeys(("stop", "kill", "abort", "delete", "rm"), "cancel"),
    **dict.fromkeys(("add", "create", "exec", "execute", "enqueue"), "submit"),
    **dict.fromkeys(("init", "migrate", "upgrade", "setup"), "db upgrade"),
    **dict.fromkeys(("check", "doctor"), "verify"),
    **dict.fromkeys(("plugins", "engines"), "providers"),
}
_DOCUMENT = re.compile(r".*\.(cwl|wdl|nf|json|ya?ml)(#.*)?", re.IGNORECASE)

_EPILOG = """\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 misconfigured.

These options override the environment, which overrides a file .env in the working directory.
To try it: wes-daemon demo.
"""


class CommandLine(click.Group):
    """A group whose commands return their exit code, and whose expected errors are one line each."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they are needed, not in alphabetical order."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; explain how to run the daemon, which has no name here."""
        if args[0] in _NAMES_FOR_THE_DAEMON:
            ctx.fail(f"There is no command {args[0]!r}: to run the daemon, call wes-daemon with its options alone.")
        if args[0] not in self.commands and (meant := _OTHER_NAMES.get(args[0].lower())):
            ctx.fail(f"There is no command {args[0]!r}: wes-daemon {meant} does that.")
        if _DOCUMENT.fullmatch(args[0]):
            ctx.fail(f"There is no command {args[0]!r}: to run a workflow, call wes-daemon submit {args[0]}.")
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            advice = "" if getattr(error, "possibilities", None) else f" The commands are {', '.join(self.commands)}."
            raise click.UsageError(f"{error.format_message()}{advice}", ctx) from error

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options of the daemon; explain where those of the commands stand."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            owners = [name for name, command in self.commands.items() if error.option_name in _options(command)]
            if not owners:
                raise
            advice = f"It is an option of {', '.join(owners)}, and stands after the name of the command."
            raise click.UsageError(f"{error.format_message()} {advice}", ctx) from error

    def invoke(self, ctx: click.Context) -> None:
        """Call the command, and end with the exit code that it returned."""
        with _expected_failures(ctx):
            code = self._call(ctx)
        ctx.exit(code or 0)

    def _call(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if not is_daemon_option(error.option_name):
                raise
            advice = "It is an option of wes-daemon itself, and stands before the name of the command."
            raise click.UsageError(f"{error.format_message()} {advice}", error.ctx) from error


def _options(command: click.Command) -> frozenset[str]:
    return frozenset(name for parameter in command.params for name in parameter.opts)


@click.group(
    cls=CommandLine,
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@daemon_options
@click.version_option(package_name="wes-daemon", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, /, **given: Any) -> int | None:
    """Submit queued GA4GH WES runs to their workflow provider, and follow them to their end.

    Called with options alone, wes-daemon runs the daemon: it submits each run that is queued in the database once,
    and records state, times, tasks and outputs until it is stopped by SIGTERM or Ctrl-C.
    """
    ctx.obj = Overrides(**given)
    return None if ctx.invoked_subcommand else run_daemon(ctx)


for _command in (demo, submit, list_runs, show, cancel, resolve, run_once, reconcile, verify, providers, db):
    cli.add_command(_command)


def main() -> None:
    """Run the command line in a process of its own, which ends with the command."""
    # A log that cannot be written must not stop the process, and logging must not print the record with its secrets.
    logging.raiseExceptions = False
    sys.excepthook = log_uncaught
    threading.excepthook = log_uncaught_in_thread
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            # A terminal that cannot show a character must not stop the process.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a stream may be replaced
    report_output_errors()
    try:
        cli.main(prog_name="wes-daemon")
    except BaseException as ending:
        ignore_interrupts()
        flush_or_discard_output()
        exit_soon(ending)
        raise


@contextmanager
def _expected_failures(ctx: click.Context) -> Iterator[None]:
    """Turn expected errors into messages and exit codes; any other error is a bug and passes."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has ended. Without this the interpreter would report an error when it flushes the output.
        discard_output()
        raise click.exceptions.Exit(ExitCode.BROKEN_PIPE) from None
    except KeyboardInterrupt:
        ignore_interrupts()
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
    except click.UsageError as error:
        # It may quote a file that another person wrote.
        hidden: Callable[[str], str] = ctx.meta.get(HIDE_SECRETS, str)
        message = many_lines(hidden(error.format_message()))
        if message == error.format_message():
            raise
        raise click.UsageError(message, error.ctx) from error
    except WesDaemonError as error:
        hide: Callable[[str], str] = ctx.meta.get(HIDE_SECRETS, str)
        raise Failed(hide(str(error)), _exit_code(error)) from error


def _exit_code(error: WesDaemonError) -> ExitCode:
    # Not imported above: these modules import pydantic.
    from wes_daemon.application.ports.errors import Misconfigured, StorageMisconfigured
    from wes_daemon.bootstrap.setting_problems import ConfigurationError

    if isinstance(error, ConfigurationError | StorageMisconfigured | Misconfigured):
        return ExitCode.MISCONFIGURED
    return ExitCode.USAGE if isinstance(error, InvalidRequest) else ExitCode.FAILED
