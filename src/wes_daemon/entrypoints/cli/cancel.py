"""`wes-daemon cancel`: requests the cancellation of runs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from wes_daemon.domain.errors import IllegalTransition, WesDaemonError
from wes_daemon.domain.runs import RunId
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.errors import ExitCode, for_reader, print_message
from wes_daemon.entrypoints.cli.options import RunCommand, database_option, json_option
from wes_daemon.entrypoints.cli.session import mention_absent_daemon, reading_session, searched_database

if TYPE_CHECKING:
    from wes_daemon.bootstrap.application import Application


@click.command("cancel", cls=RunCommand)
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@database_option
@json_option
@click.pass_context
def cancel(ctx: click.Context, run_ids: Sequence[str], as_json: bool) -> int:
    """Request the cancellation of runs.

    Each becomes CANCELING at once. The daemon asks its provider to cancel it, and the run ends as the provider
    reports; a run that no provider has becomes CANCELED in the daemon's next pass. If a run cannot be cancelled, the
    others are cancelled all the same, and the exit code is 1.
    """
    from wes_daemon.entrypoints.cli.documents import json_text

    with reading_session(ctx) as application:
        outcomes = {run_id: _request(application, run_id) for run_id in dict.fromkeys(run_ids)}
        _advise(application, outcomes)
    results = [_result(run_id, outcome) for run_id, outcome in outcomes.items()]
    if as_json:
        click.echo(json_text(results))
    else:
        for result in results:
            click.echo(_line(result))
    return ExitCode.FAILED if any("error" in result for result in results) else ExitCode.DONE


def _request(application: "Application", run_id: str) -> RunState | WesDaemonError:
    from wes_daemon.application.ports.errors import ConcurrentUpdate, RunLocked, RunNotFound, StorageRefused

    try:
        return application.request_cancel(RunId(run_id)).state
    except (RunNotFound, IllegalTransition, ConcurrentUpdate, RunLocked) as error:
        return error
    except StorageRefused as error:
        return StorageRefused(f"run {run_id}: {error}")


def _advise(application: "Application", outcomes: Mapping[str, RunState | WesDaemonError]) -> None:
    from wes_daemon.application.ports.errors import RunNotFound

    if any(isinstance(outcome, RunState) for outcome in outcomes.values()):
        mention_absent_daemon(application)
    unknown = [run_id for run_id, outcome in outcomes.items() if isinstance(outcome, RunNotFound)]
    if unknown:
        print_message(searched_database(application, unknown[0]))


def _result(run_id: str, outcome: RunState | WesDaemonError) -> dict[str, str]:
    return {"run_id": run_id, **({"state": outcome} if isinstance(outcome, RunState) else {"error": str(outcome)})}


def _line(result: Mapping[str, str]) -> str:
    return for_reader(result["error"] if "error" in result else f"run {result['run_id']} is {result['state']}")
