"""`wes-daemon show`: shows everything about one run."""

import click

from wes_daemon.domain.runs import RunId
from wes_daemon.entrypoints.cli.errors import Failed
from wes_daemon.entrypoints.cli.options import RunCommand, database_option, json_option
from wes_daemon.entrypoints.cli.session import mention_absent_daemon, reading_session, searched_database


@click.command("show", cls=RunCommand)
@click.argument("run_id", metavar="RUN")
@click.option("--all", "show_all", is_flag=True, help="Show long values, tasks and the timeline in full.")
@database_option
@json_option
@click.pass_context
def show(ctx: click.Context, run_id: str, show_all: bool, as_json: bool) -> None:
    """Show everything about one run.

    Shows its request, the provider's status, tasks, outputs, logs and errors, and every change with time and reason.
    Of long values and lists the first 100 lines are shown, unless --all is given. With --json this is the RunLog of
    WES 1.1.0, with an object "daemon" for what WES does not define.
    """
    from wes_daemon.application.ports.errors import RunNotFound
    from wes_daemon.entrypoints.cli.documents import deleted_run, json_text, run_log
    from wes_daemon.entrypoints.cli.run_tables import LIMIT, print_run, print_timeline

    limit = None if show_all else LIMIT
    with reading_session(ctx) as application:
        try:
            record, now = application.get_run(RunId(run_id)), application.clock.now()
        except RunNotFound as error:
            timeline = application.timeline(RunId(run_id))
            if not timeline:
                raise Failed(f"{error}\n{searched_database(application, run_id)}") from error
            if as_json:
                click.echo(json_text(deleted_run(RunId(run_id), timeline)))
            else:
                print_timeline(timeline, limit=limit)
            raise Failed(f"run {run_id}: its row was deleted from workflow_runs; only its timeline is left") from error
        if not record.run.state.has_ended:
            mention_absent_daemon(application, for_provider=record.run.provider or record.destination)
    if as_json:
        click.echo(json_text(run_log(record)))
    else:
        print_run(record, now, limit=limit)
