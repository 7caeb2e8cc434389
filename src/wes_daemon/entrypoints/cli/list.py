"""`wes-daemon list`: lists runs."""

from collections.abc import Sequence

import click

from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.errors import print_message
from wes_daemon.entrypoints.cli.options import Count, ProviderName, UpperCaseChoice, database_option, json_option
from wes_daemon.entrypoints.cli.session import reading_session, require_provider_name


@click.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=UpperCaseChoice(state.value for state in RunState),
    metavar="STATE",
    help="Show only runs in this state, such as RUNNING or COMPLETE; may be repeated.",
)
@click.option(
    "--provider",
    type=ProviderName(),
    metavar="NAME",
    help="Show only runs that this provider has or will be sent.",
)
@click.option("--review", is_flag=True, help="Show only runs that need a person's decision: see `wes-daemon resolve`.")
@click.option("--limit", type=Count(100_000), default=50, show_default=True, help="Show at most this many runs.")
@database_option
@json_option
@click.pass_context
def list_runs(
    ctx: click.Context, states: Sequence[str], provider: ProviderType | None, review: bool, limit: int, as_json: bool
) -> None:
    """List runs, newest first."""
    from wes_daemon.application.ports.queries import RunFilter
    from wes_daemon.application.ports.submissions import SubmissionState
    from wes_daemon.entrypoints.cli.documents import json_text, run_summary
    from wes_daemon.entrypoints.cli.run_tables import print_runs

    filter = RunFilter(
        states=[RunState(state) for state in states],
        provider=provider,
        submissions=[SubmissionState.REVIEW] if review else [],
        limit=limit,
    )
    with reading_session(ctx) as application:
        require_provider_name(application, provider)
        records, now = application.list_runs(filter), application.clock.now()
    if as_json:
        click.echo(json_text([run_summary(record) for record in records]))
    elif records:
        print_runs(records, now)
    elif states or provider or review:
        print_message("no run matches these options")
    else:
        print_message("there are no runs yet; `wes-daemon submit` queues one")
