"""`wes-daemon show`."""

import click

from wes_daemon.domain.runs import RunId
from wes_daemon.entrypoints.cli.options import database_option, json_option


@click.command("show")
@click.argument("run_id", metavar="RUN")
@database_option
@json_option
@click.pass_context
def show(ctx: click.Context, run_id: str, as_json: bool) -> None:
    """Show everything about one run.

    Its request, what its provider says, its tasks, outputs, logs and errors, and what happened to it when and why.
    With --json this is the RunLog of WES 1.1.0, with an object "daemon" for what that has no words for.
    """
    from wes_daemon.entrypoints.cli import documents, rendering
    from wes_daemon.entrypoints.cli.session import mention_absent_daemon, session

    with session(ctx) as container:
        record, now = container.get_run()(RunId(run_id)), container.clock().now()
        if not record.run.state.has_ended:
            mention_absent_daemon(container)
    if as_json:
        click.echo(documents.as_text(documents.run_log(record)))
    else:
        rendering.print_run(record, now)
