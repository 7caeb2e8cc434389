"""`wes-daemon resolve`."""

from typing import TYPE_CHECKING

import click

from wes_daemon.domain.errors import WesDaemonError
from wes_daemon.domain.runs import ProviderRunId, RunId
from wes_daemon.entrypoints.cli.errors import Failed, one_line
from wes_daemon.entrypoints.cli.options import RunCommand, database_option

if TYPE_CHECKING:
    from wes_daemon.application.reconciling.resolve_review import ResolveReview
    from wes_daemon.bootstrap.application import Application

_REASON = "a person found it at no provider"


@click.command("resolve", cls=RunCommand)
@click.argument("run_id", metavar="RUN")
@click.option("--adopt", "provider_id", metavar="ID", help="The provider has the run under this id: follow it.")
@click.option("--send-again", is_flag=True, help="The provider does not have the run: submit it again.")
@click.option("--fail", is_flag=True, help="The provider does not have the run: end it as SYSTEM_ERROR.")
@click.option("--reason", metavar="TEXT", help=f"With --fail: the reason, recorded with the run.  [default: {_REASON}]")
@database_option
@click.pass_context
def resolve(
    ctx: click.Context, run_id: str, provider_id: str | None, send_again: bool, fail: bool, reason: str | None
) -> None:
    """Decide what becomes of a run that needs review.

    No call can prove whether the provider has the run, usually because the answer to its submission was lost.
    `wes-daemon show` prints the reason; `wes-daemon list --review` lists all such runs. Search for the run's
    idempotency key, wes-RUN, at the provider first: if the provider has the run and you submit it again, it is
    executed, and paid for, twice.
    """
    from wes_daemon.application.ports.errors import NotInReview, ProviderError
    from wes_daemon.entrypoints.cli.session import reading_session

    if [provider_id is not None, send_again, fail].count(True) != 1:
        raise click.UsageError("Give exactly one of --adopt ID, --send-again and --fail.")
    if reason is not None and not fail:
        raise click.UsageError("--reason needs --fail.")
    with reading_session(ctx) as application:
        try:
            outcome = _decide(
                application.resolve_review,
                RunId(run_id),
                provider_id=provider_id,
                send_again=send_again,
                reason=reason or _REASON,
            )
        except NotInReview as error:
            raise Failed(_why_not(application, run_id, error)) from error
        except ProviderError as error:
            raise Failed(str(error)) from error
    click.echo(one_line(f"run {run_id} {outcome}"))


def _why_not(application: "Application", run_id: str, error: WesDaemonError) -> str:
    from wes_daemon.application.ports.errors import RunNotFound
    from wes_daemon.entrypoints.cli.session import searched_database

    try:
        application.get_run(RunId(run_id))
    except RunNotFound as unknown:
        return f"{unknown}\n{searched_database(application, run_id)}"
    return f"{error}\n`wes-daemon list --review` lists the runs that need a decision"


def _decide(
    resolve_review: "ResolveReview", run_id: RunId, *, provider_id: str | None, send_again: bool, reason: str
) -> str:
    if provider_id is not None:
        provider = resolve_review.adopt(run_id, ProviderRunId(provider_id))
        return f"is followed at {provider} as {provider_id}"
    if send_again:
        resolve_review.send_again(run_id)
        return "will be submitted again"
    resolve_review.give_up(run_id, reason)
    return "has ended"
