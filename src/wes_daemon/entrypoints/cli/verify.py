"""`wes-daemon verify`."""

from datetime import timedelta

import click

from wes_daemon.entrypoints.cli.exits import ExitCode
from wes_daemon.entrypoints.cli.options import Seconds, database_option, json_option


@click.command("verify")
@click.option("--strict", is_flag=True, help="Exit 1 also for a notice.")
@click.option(
    "--unchecked-for",
    type=Seconds(),
    metavar="SECONDS",
    default=3_600,
    show_default=True,
    help="How long something may be overdue while a daemon lives.",
)
@database_option
@json_option
@click.pass_context
def verify(ctx: click.Context, strict: bool, unchecked_for: float, as_json: bool) -> int:
    """Look whether everything is right.

    Holds the rules that are always true of the database against it, and changes nothing. A rule is broken by a bug,
    or by somebody's hand in the daemon's tables; a notice is for a person to see to. Exits 1 where a rule is broken.
    """
    from wes_daemon.entrypoints.cli import documents, findings
    from wes_daemon.entrypoints.cli.session import reading_session

    with reading_session(ctx) as container:
        verdict = container.verify()(unchecked_for=timedelta(seconds=unchecked_for))
    if as_json:
        click.echo(documents.as_text(findings.document(verdict)))
    else:
        findings.print_verdict(verdict)
    return ExitCode.FAILED if verdict.broken or (strict and verdict.notices) else ExitCode.DONE
