"""`wes-daemon cancel`."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from wes_daemon.domain.errors import IllegalTransition, WesDaemonError
from wes_daemon.domain.runs import Run, RunId
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.escaping import one_line
from wes_daemon.entrypoints.cli.exits import ExitCode, say
from wes_daemon.entrypoints.cli.options import database_option, json_option

if TYPE_CHECKING:
    from wes_daemon.bootstrap.container import Container


@click.command("cancel")
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@database_option
@json_option
@click.pass_context
def cancel(ctx: click.Context, run_ids: Sequence[str], as_json: bool) -> int:
    """Ask for runs to be cancelled.

    Each is CANCELING at once. The daemon tells its provider, and the run ends as that says; a run that no provider
    has yet is CANCELED within the daemon's next pass. All are tried, also when one cannot be cancelled; then the
    exit code is 1.
    """
    from wes_daemon.entrypoints.cli.documents import as_text
    from wes_daemon.entrypoints.cli.session import reading_session

    with reading_session(ctx) as container:
        found = {run_id: _tried(container.request_cancel(), run_id) for run_id in dict.fromkeys(run_ids)}
        _advise(container, list(found.values()))
    results = [_result(run_id, outcome) for run_id, outcome in found.items()]
    if as_json:
        click.echo(as_text(results))
    else:
        for result in results:
            click.echo(_line(result))
    return ExitCode.FAILED if any("error" in result for result in results) else ExitCode.DONE


def _tried(request_cancel: Callable[[RunId], Run], run_id: str) -> RunState | WesDaemonError:
    from wes_daemon.application.ports.errors import ConcurrentUpdate, RunNotFound

    try:
        return request_cancel(RunId(run_id)).state
    except (RunNotFound, IllegalTransition, ConcurrentUpdate) as error:
        return error


def _advise(container: "Container", found: Sequence[RunState | WesDaemonError]) -> None:
    from wes_daemon.application.ports.errors import RunNotFound
    from wes_daemon.entrypoints.cli.databases import where_runs_are
    from wes_daemon.entrypoints.cli.session import mention_absent_daemon

    if any(isinstance(outcome, RunState) for outcome in found):
        mention_absent_daemon(container)
    if any(isinstance(outcome, RunNotFound) for outcome in found):
        say(where_runs_are(container.settings()))


def _result(run_id: str, outcome: RunState | WesDaemonError) -> dict[str, str]:
    return {"run_id": run_id, **({"state": outcome} if isinstance(outcome, RunState) else {"error": str(outcome)})}


def _line(result: Mapping[str, str]) -> str:
    return one_line(result["error"] if "error" in result else f"run {result['run_id']} is {result['state']}")
