"""`wes-daemon show`."""

import click

from wes_daemon.domain.runs import RunId
from wes_daemon.entrypoints.cli.exits import Failed
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
    from wes_daemon.application.ports.errors import RunNotFound
    from wes_daemon.entrypoints.cli import documents, rendering
    from wes_daemon.entrypoints.cli.databases import where_runs_are
    from wes_daemon.entrypoints.cli.session import mention_absent_daemon, reading_session

    with reading_session(ctx) as container:
        try:
            record, now = container.get_run()(RunId(run_id)), container.clock().now()
        except RunNotFound as error:
            raise Failed(f"{error}\n{where_runs_are(container.settings())}") from error
        if not record.run.state.has_ended:
            mention_absent_daemon(container, for_provider=record.run.provider or record.destination)
    if as_json:
        click.echo(documents.as_text(documents.run_log(record)))
    else:
        rendering.print_run(record, now)
