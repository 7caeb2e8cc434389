"""`wes-daemon list`."""

from collections.abc import Sequence

import click

from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.exits import say
from wes_daemon.entrypoints.cli.options import Word, database_option, json_option


@click.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=Word(state.value for state in RunState),
    metavar="STATE",
    help="Only runs in this state, such as RUNNING or COMPLETE; may be given again.",
)
@click.option(
    "--provider",
    type=click.Choice([type.value for type in ProviderType], case_sensitive=False),
    help="Only runs that this provider holds or that are meant for it.",
)
@click.option("--review", is_flag=True, help="Only runs that need a person's decision: see `wes-daemon resolve`.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most this many.")
@database_option
@json_option
@click.pass_context
def list_runs(
    ctx: click.Context, states: Sequence[str], provider: str | None, review: bool, limit: int, as_json: bool
) -> None:
    """List runs, newest first."""
    from wes_daemon.application.ports.queries import RunFilter
    from wes_daemon.application.ports.submissions import SubmissionState
    from wes_daemon.entrypoints.cli import documents, rendering
    from wes_daemon.entrypoints.cli.session import reading_session

    wanted = RunFilter(
        states=[RunState(state) for state in states],
        provider=ProviderType(provider) if provider else None,
        submissions=[SubmissionState.REVIEW] if review else [],
        limit=limit,
    )
    with reading_session(ctx) as container:
        records, now = container.list_runs()(wanted), container.clock().now()
    if as_json:
        click.echo(documents.as_text([documents.run_summary(record) for record in records]))
    elif records:
        rendering.print_runs(records, now)
    elif states or provider or review:
        say("there are no such runs")
    else:
        say("there are no runs yet; `wes-daemon submit` queues one")
