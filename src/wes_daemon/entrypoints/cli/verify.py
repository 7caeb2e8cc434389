"""`wes-daemon verify`."""

from datetime import timedelta

import click

from wes_daemon.entrypoints.cli.errors import ExitCode
from wes_daemon.entrypoints.cli.options import Seconds, database_option, json_option


@click.command("verify")
@click.option("--strict", is_flag=True, help="Exit 1 for a notice as well.")
@click.option(
    "--unchecked-for",
    "overdue_seconds",
    type=Seconds(),
    metavar="SECONDS",
    default=3_600,
    show_default=True,
    help="How long a poll or a submission in doubt may be overdue while a daemon is alive.",
)
@database_option
@json_option
@click.pass_context
def verify(ctx: click.Context, strict: bool, overdue_seconds: float, as_json: bool) -> int:
    """Check that the database is consistent.

    Evaluates checks, which are statements that are always true of a correct database, and changes nothing. A broken
    check points to a bug, or to a change of the daemon's tables by hand. A notice needs a person's attention. Exits 1
    if a check is broken.
    """
    from wes_daemon.entrypoints.cli import check_results, documents
    from wes_daemon.entrypoints.cli.session import reading_session

    with reading_session(ctx) as application:
        report = application.verify(overdue_after=timedelta(seconds=overdue_seconds))
    if as_json:
        click.echo(documents.json_text(check_results.document(report)))
    else:
        check_results.print_report(report)
    return ExitCode.FAILED if report.broken or (strict and report.notices) else ExitCode.DONE
