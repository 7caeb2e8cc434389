"""`wes-daemon cancel`."""

from collections.abc import Callable, Sequence

import click

from wes_daemon.domain.errors import IllegalTransition
from wes_daemon.domain.runs import Run, RunId
from wes_daemon.entrypoints.cli.escaping import one_line
from wes_daemon.entrypoints.cli.exits import ExitCode
from wes_daemon.entrypoints.cli.options import database_option, json_option


@click.command("cancel")
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@database_option
@json_option
@click.pass_context
def cancel(ctx: click.Context, run_ids: Sequence[str], as_json: bool) -> int:
    """Ask for runs to be cancelled.

    Each is CANCELING at once; the daemon tells its provider and ends it. All are tried, also when one cannot be
    cancelled; then the exit code is 1.
    """
    from wes_daemon.entrypoints.cli.documents import as_text
    from wes_daemon.entrypoints.cli.session import mention_absent_daemon, session

    with session(ctx) as container:
        results = [_tried(container.request_cancel(), run_id) for run_id in dict.fromkeys(run_ids)]
        if any("state" in result for result in results):
            mention_absent_daemon(container)
    if as_json:
        click.echo(as_text(results))
    else:
        for result in results:
            click.echo(_line(result))
    return ExitCode.FAILED if any("error" in result for result in results) else ExitCode.DONE


def _tried(request_cancel: Callable[[RunId], Run], run_id: str) -> dict[str, str]:
    from wes_daemon.application.ports.errors import ConcurrentUpdate, RunNotFound

    try:
        return {"run_id": run_id, "state": request_cancel(RunId(run_id)).state.value}
    except (RunNotFound, IllegalTransition, ConcurrentUpdate) as error:
        return {"run_id": run_id, "error": str(error)}


def _line(result: dict[str, str]) -> str:
    return one_line(result["error"] if "error" in result else f"run {result['run_id']} is {result['state']}")
