"""The command `wes-daemon`: the daemon when it is called with options alone, else one of the sub-commands."""

import logging
import sys
import threading
from contextlib import suppress
from typing import Any

import click

from wes_daemon.entrypoints.cli.cancel import cancel
from wes_daemon.entrypoints.cli.daemon import run_daemon
from wes_daemon.entrypoints.cli.db import db
from wes_daemon.entrypoints.cli.demo import demo
from wes_daemon.entrypoints.cli.exits import expected_failures, ignore_interrupts
from wes_daemon.entrypoints.cli.listing import list_runs
from wes_daemon.entrypoints.cli.logs import log_uncaught, log_uncaught_in_thread
from wes_daemon.entrypoints.cli.options import Overrides, daemon_options
from wes_daemon.entrypoints.cli.output import let_go_of_stdout, watch_stdout
from wes_daemon.entrypoints.cli.process import end_soon
from wes_daemon.entrypoints.cli.reconcile import reconcile
from wes_daemon.entrypoints.cli.resolve import resolve
from wes_daemon.entrypoints.cli.run_once import run_once
from wes_daemon.entrypoints.cli.show import show
from wes_daemon.entrypoints.cli.submit import submit
from wes_daemon.entrypoints.cli.verify import verify

_NAMES_FOR_THE_DAEMON = ("daemon", "run", "serve", "start")

_EPILOG = """\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 misconfigured.

Settings come from these options first, from the environment second, and from a file .env in the working directory
third. The first three minutes: wes-daemon demo.
"""


class CommandLine(click.Group):
    """A group whose commands return their exit code, and whose expected errors are one line each."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are needed, not in that of the alphabet."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; the daemon itself has no name here, which not everybody expects."""
        if args[0] in _NAMES_FOR_THE_DAEMON:
            ctx.fail(f"There is no command {args[0]!r}: to run the daemon, call wes-daemon with its options alone.")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> None:
        """As click does, with our errors in its words, and end with the code that the command has returned."""
        with expected_failures(ctx):
            code = super().invoke(ctx)
        ctx.exit(code or 0)


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
    """Hand queued GA4GH WES runs to their workflow provider, and follow them to their end.

    Called with options alone, wes-daemon runs the daemon: it takes the runs that are queued in the database,
    submits each once, and writes state, times, tasks and outputs back until it is told to stop (SIGTERM, Ctrl-C).
    """
    ctx.obj = Overrides(**given)
    return None if ctx.invoked_subcommand else run_daemon(ctx)


for _command in (demo, submit, list_runs, show, cancel, resolve, run_once, reconcile, verify, db):
    cli.add_command(_command)


def main() -> None:
    """The console script: a process of its own, which ends when its command has."""
    # A log that cannot be written is no reason to fail, or to show a record with its secrets in it.
    logging.raiseExceptions = False
    sys.excepthook = log_uncaught
    threading.excepthook = log_uncaught_in_thread
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            # A terminal that cannot show a letter is no reason to fail.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a stream may be replaced
    watch_stdout()
    try:
        cli.main(prog_name="wes-daemon")
    except BaseException as ending:
        ignore_interrupts()
        let_go_of_stdout()
        end_soon(ending)
        raise
