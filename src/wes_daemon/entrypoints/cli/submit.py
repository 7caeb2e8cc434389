"""`wes-daemon submit`."""

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from wes_daemon.domain.runs import ProviderType, RunId
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.escaping import many_lines
from wes_daemon.entrypoints.cli.exits import ExitCode, Failed, ignore_interrupts, say
from wes_daemon.entrypoints.cli.options import Seconds, database_option, json_option
from wes_daemon.entrypoints.cli.order import Order, destination, place

if TYPE_CHECKING:
    from wes_daemon.application.ports.queries import RunRecord
    from wes_daemon.bootstrap.container import Container

_EPILOG = """\b
Examples:
  wes-daemon submit align.cwl reads=@S1.fastq threads=4 --tag sample=S1 --wait
  wes-daemon submit https://example.org/align.cwl --params inputs.yaml
  wes-daemon submit main.cwl --attach tools/sort.cwl --params inputs.json
  wes-daemon submit owner/project/align --provider sevenbridges reads=@https://example.org/S1.fastq

\b
NAME=VALUE is JSON where it reads as JSON (4, true, [1, 2]), a file where it begins with @, else a text;
NAME='"4"' is the text 4.
"""


@click.command("submit", epilog=_EPILOG)
@click.argument("workflow")
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--params", metavar="FILE", help="Parameters, as JSON or YAML; - reads them from standard input.")
@click.option("--type", metavar="TYPE", help="CWL, WDL, NFL, …; else told from the file's name.")
@click.option("--type-version", metavar="VERSION", help="Else told from a CWL file; v1.2, 1.0 or DSL2.")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="A tag of the run; may be given again.")
@click.option(
    "--provider",
    type=click.Choice([type.value for type in ProviderType], case_sensitive=False),
    help="Who is to run it, as tag provider_type; else the daemon's default.",
)
@click.option("--engine", metavar="NAME", help="The workflow engine.")
@click.option("--engine-version", metavar="VERSION", help="The engine's version.")
@click.option(
    "--engine-parameter",
    "engine_parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the engine, a text; may be given again.",
)
@click.option(
    "--attach",
    multiple=True,
    metavar="[NAME=]FILE",
    help="A file that is stored with the run, under a name relative to the workflow's folder; may be given again.",
)
@click.option("--wait", is_flag=True, help="Follow the run to its end; exit 0 only when it is COMPLETE.")
@click.option("--timeout", type=Seconds(), metavar="SECONDS", help="With --wait: give up following after this long.")
@database_option
@json_option
@click.pass_context
def submit(ctx: click.Context, /, wait: bool, timeout: float | None, as_json: bool, **given: Any) -> int:
    """Queue a run of WORKFLOW and print its id.

    WORKFLOW is a file, an address, or what the provider calls the workflow. A file is not copied: it has to be
    where the daemon can read it, unless something is attached; then it is stored with the run, too.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout needs --wait.")
    from wes_daemon.entrypoints.cli.session import mention_absent_daemon, read, session

    placed = place(Order(**given), default_provider=read(ctx).default_provider)
    with session(ctx) as container:
        run_id = container.create_run()(placed.request, tags=placed.tags, attachments=placed.attachments)
        provider = destination(placed.tags, container.settings().default_provider)
        _mention_what_is_not_set_up(container, provider)
        mention_absent_daemon(container, for_provider=provider)
        if not (wait and as_json):
            _print_id(run_id, as_json)
        return _wait(container, run_id, timeout, as_json) if wait else ExitCode.DONE


def _mention_what_is_not_set_up(container: "Container", provider: ProviderType | None) -> None:
    """Only a note: whoever submits and the daemon may have different settings."""
    from wes_daemon.application.ports.errors import Misconfigured, Rejected

    if provider is None:
        return
    try:
        container.directory().provider(provider)
    except (Rejected, Misconfigured) as error:
        local = "--provider local with DAEMON_LOCAL_WORKDIR=… runs it on this machine"
        advice = "" if provider is ProviderType.LOCAL else f"; {local}"
        say(f"as set up here it would go to {provider}, which is not set up: {error}{advice}")


def _print_id(run_id: RunId, as_json: bool) -> None:
    from wes_daemon.entrypoints.cli.documents import as_text

    click.echo(as_text({"run_id": run_id}) if as_json else run_id)
    # Whoever reads it from a pipe need not wait until the run has ended.
    sys.stdout.flush()


def _wait(container: "Container", run_id: RunId, timeout: float | None, as_json: bool) -> int:
    from wes_daemon.entrypoints.cli.following import follow

    limit = None if timeout is None else timedelta(seconds=timeout)
    try:
        [record] = follow(container, {run_id: run_id}, timeout=limit)
    except KeyboardInterrupt:
        ignore_interrupts()
        say(f"no longer following; the run goes on. `wes-daemon cancel {run_id}` would end it")
        return ExitCode.INTERRUPTED
    _print_end(record, as_json)
    if not record.run.state.has_ended:
        raise Failed(f"run {run_id} is still {record.run.state} after {timeout:g} seconds; it goes on")
    if record.run.state is RunState.COMPLETE:
        return ExitCode.DONE
    say(f"`wes-daemon show {run_id}` tells more")
    return ExitCode.FAILED


def _print_end(record: "RunRecord", as_json: bool) -> None:
    from wes_daemon.entrypoints.cli import documents, rendering

    if as_json:
        click.echo(documents.as_text(documents.run_log(record)))
        return
    rendering.print_tasks(record)
    if record.run.state is RunState.COMPLETE or record.details.outputs:
        click.echo(documents.as_text(dict(record.details.outputs)))
    if record.run.error:
        click.echo(f"error: {many_lines(record.run.error)}")
