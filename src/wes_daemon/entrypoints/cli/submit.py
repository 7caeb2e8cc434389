"""`wes-daemon submit`: queues a run, and waits for its end on request."""

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import ProviderType, RunId
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.errors import ExitCode, Failed, many_lines, print_message
from wes_daemon.entrypoints.cli.options import ProviderName, Seconds, database_option, is_daemon_option, json_option
from wes_daemon.entrypoints.cli.process import ignore_interrupts
from wes_daemon.entrypoints.cli.run_request import NewRun, SubmitArguments, read_new_run, summary
from wes_daemon.entrypoints.cli.session import mention_absent_daemon, require_provider_name, session, settings_of

if TYPE_CHECKING:
    from wes_daemon.application.ports.queries import RunRecord
    from wes_daemon.bootstrap.application import Application
    from wes_daemon.bootstrap.settings import Settings

_INSIST = "With --no-checks it is queued all the same, for a daemon with other settings or files."

_EPILOG = """\b
Examples:
  wes-daemon submit align.cwl reads=@S1.fastq threads=4 --tag sample=S1 --wait
  wes-daemon submit https://example.org/align.cwl --params inputs.yaml
  wes-daemon submit main.cwl --attach tools/sort.cwl --params inputs.json
  wes-daemon submit owner/project/align --provider sevenbridges reads=@https://example.org/S1.fastq

\b
VALUE is a file if it begins with @, and else JSON if possible (4, true, [1, 2]) or a text. Where the
workflow is a CWL file, it is read in the type that the workflow declares; NAME='"4"' is always the text 4.
"""


class SubmitCommand(click.Command):
    """Explains how inputs are written to a person who writes them as options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; raises `click.UsageError`."""
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as error:
            advice = "It is a file, an address, or the provider's name for a workflow."
            raise click.UsageError(f"{error.format_message()} {advice}", ctx) from error
        except click.NoSuchOption as error:
            if error.possibilities or is_daemon_option(error.option_name):
                raise
            name = error.option_name.lstrip("-")
            raise click.UsageError(
                f"{error.format_message()} An input of the workflow is written {name}=VALUE, without dashes.", ctx
            ) from error


@click.command("submit", cls=SubmitCommand, epilog=_EPILOG)
@click.argument("workflow")
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--params", metavar="FILE", help="Parameters, as JSON or YAML; - reads them from standard input.")
@click.option("--type", metavar="TYPE", help="CWL, WDL, NFL, …; by default derived from the file's name.")
@click.option(
    "--type-version",
    metavar="VERSION",
    help="By default the one that a CWL file declares, else v1.2 (CWL), 1.0 (WDL) or DSL2 (NFL).",
)
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="A tag of the run; may be repeated.")
@click.option(
    "--provider",
    type=ProviderName(),
    metavar="NAME",
    help="The provider of the run, stored as its tag provider_type; by default that of the engine, or the default one.",
)
@click.option("--engine", metavar="NAME", help="The workflow engine.")
@click.option("--engine-version", metavar="VERSION", help="The engine's version.")
@click.option(
    "--engine-parameter",
    "engine_parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the engine, as text; may be repeated.",
)
@click.option(
    "--attach",
    multiple=True,
    metavar="[NAME=]FILE",
    help="A file that is stored with the run, under a name relative to the workflow's folder; may be repeated.",
)
@click.option(
    "--no-checks",
    "checks",
    is_flag=True,
    default=True,
    flag_value=False,
    help="Queue the run although its inputs or its provider seem wrong here.",
)
@click.option("--wait", is_flag=True, help="Wait for the run's end; exit 0 only if it is COMPLETE.")
@click.option("--timeout", type=Seconds(), metavar="SECONDS", help="With --wait: stop waiting after this time.")
@database_option
@json_option
@click.pass_context
def submit(ctx: click.Context, /, wait: bool, timeout: float | None, as_json: bool, **given: Any) -> int:
    """Queue a run of WORKFLOW and print its id.

    WORKFLOW is a file, a URL, or the provider's name for the workflow. A file is not copied: the daemon must be able
    to read it. If anything is attached, the workflow's file is stored with the run, too.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout needs --wait.")
    settings = settings_of(ctx)
    arguments = SubmitArguments(**given)
    new_run = read_new_run(
        arguments,
        default=settings.default_provider,
        engines=settings.engine_providers,
        run_here=[name for name, each in settings.providers.items() if each.plugin and each.plugin.traits.runs_here],
    )
    note = _require_taker(new_run, settings) if arguments.checks else ""
    with session(ctx) as application:
        if arguments.checks:
            require_provider_name(application, _destination(new_run, settings))
        run_id = application.create_run(new_run.request, tags=new_run.tags, attachments=new_run.attachments)
        provider = _provider_of(new_run, settings)
        if note:
            print_message(note)
        else:
            _mention_missing_provider(application, provider)
        _mention_other_engine(arguments.engine, provider, settings)
        mention_absent_daemon(application, for_provider=provider)
        if not (wait and as_json):
            _print_id(run_id, as_json)
        return _wait(application, run_id, timeout, as_json) if wait else ExitCode.DONE


def _destination(new_run: NewRun, settings: "Settings") -> ProviderType | None:
    run = summary(new_run.tags, new_run.request.workflow_engine)
    return run.destination_if_valid(settings.default_provider, settings.engine_providers)


def _provider_of(new_run: NewRun, settings: "Settings") -> ProviderType | None:
    """Return the provider of the run; print a note and return None if no provider executes it."""
    run = summary(new_run.tags, new_run.request.workflow_engine)
    try:
        return run.destination(settings.default_provider, settings.engine_providers)
    except InvalidRequest as error:
        print_message(f"with the settings here the run is refused: {error}")
        return None


def _require_taker(new_run: NewRun, settings: "Settings") -> str:
    """Refuse a run that its provider certainly rejects, or that no provider can take.

    Where only the default of this package names the provider, the daemon's settings may name another one: then it
    suffices that one of the providers can take the run.

    Returns:
        A note about a run that only another provider can take, else an empty text.

    Raises:
        click.UsageError: the run is refused; the message says what fixes it.
        InvalidRequest: a value cannot be stored.
    """
    from wes_daemon.application.ports.errors import Rejected
    from wes_daemon.application.requests.json_values import exact_object
    from wes_daemon.bootstrap.request_checks import RequestChecks

    # Otherwise a provider would refuse it with the advice --no-checks, which does not let it pass.
    exact_object("workflow_params", new_run.request.workflow_params)
    checks, run = RequestChecks(settings), summary(new_run.tags, new_run.request.workflow_engine)
    provider = run.destination_if_valid(settings.default_provider, settings.engine_providers)
    if provider is None:
        return ""
    try:
        checks.check(new_run.request, tags=new_run.tags, attachments=new_run.attachments, provider=provider)
    except Rejected as error:
        is_named = run.named_provider(settings.engine_providers) or "default_provider" in settings.model_fields_set
        takers = checks.takers(new_run.request, new_run.attachments)
        if is_named or not takers:
            refusal = _refusal(provider, is_named=bool(is_named))
            absent = "" if new_run.is_found or takers else _absent(new_run.request.workflow_url)
            raise click.UsageError(f"{absent}{refusal}: {error}. {_INSIST}") from error
        message = f"with the settings here the run goes to {provider}, which refuses it: {error}"
        return f"{message}; choose a provider that takes it: --provider {' or '.join(takers)}"
    return ""


def _absent(name: str) -> str:
    from wes_daemon.entrypoints.cli.run_request import similar_file

    similar = similar_file(name)
    return f"there is no file {name} here{f' (did you mean {similar}?)' if similar else ''}, and "


def _refusal(provider: ProviderType, *, is_named: bool) -> str:
    return (
        f"{provider} refuses the run" if is_named else f"no provider takes the run; the default one, {provider}, says"
    )


def _mention_other_engine(engine: str | None, provider: ProviderType | None, settings: "Settings") -> None:
    """Print a note if the provider of the run does not stand for the engine: it runs the workflow in its own way."""
    if engine is None or provider is None:
        return
    engines, name = settings.engine_providers, engine.strip().lower()
    if engines.get(name) == provider:
        return
    known = sorted(each for each, stands_for in engines.items() if stands_for == provider)
    print_message(
        f"--engine {engine} has no effect: the run goes to {provider}, whose engines are {', '.join(known) or 'none'}; "
        "DAEMON_ENGINE_PROVIDERS says which provider stands for which engine"
    )


def _mention_missing_provider(application: "Application", provider: ProviderType | None) -> None:
    """Print a note if the provider is not configured here; the daemon may have other settings."""
    from wes_daemon.application.ports.errors import Misconfigured

    if provider is None or application.published_providers().get(provider) == "":
        return
    try:
        application.require_provider(provider)
    except Misconfigured as error:
        advice = _advice_to_run_here(application.settings, provider)
        print_message(f"with the settings here the run goes to {provider}, which is not set up: {error}{advice}")


def _advice_to_run_here(settings: "Settings", provider: ProviderType) -> str:
    """Return how to run it on this machine, as the end of a sentence; empty if `provider` does that."""
    for name, each in settings.providers.items():
        if each.plugin and each.plugin.traits.runs_here and each.plugin.traits.try_out and name != provider:
            variables = " and ".join(f"{variable}=…" for variable in each.plugin.traits.try_out)
            return f"; --provider {name} with {variables} runs it on this machine"
    return ""


def _print_id(run_id: RunId, as_json: bool) -> None:
    from wes_daemon.entrypoints.cli.documents import json_text

    click.echo(json_text({"run_id": run_id}) if as_json else run_id)
    # So that a program that reads the id from a pipe does not have to wait for the run's end.
    sys.stdout.flush()


def _wait(application: "Application", run_id: RunId, timeout: float | None, as_json: bool) -> int:
    from wes_daemon.entrypoints.cli.progress import wait_for_runs

    limit = None if timeout is None else timedelta(seconds=timeout)
    try:
        [record] = wait_for_runs(application, {run_id: run_id}, timeout=limit)
    except KeyboardInterrupt:
        ignore_interrupts()
        print_message(f"no longer waiting; the run continues. `wes-daemon cancel {run_id}` would end it")
        return ExitCode.INTERRUPTED
    _print_result(record, as_json)
    if not record.run.state.has_ended:
        raise Failed(f"run {run_id} is still {record.run.state} after {timeout:g} seconds; it continues")
    if record.run.state is RunState.COMPLETE:
        return ExitCode.DONE
    print_message(f"`wes-daemon show {run_id}` shows more")
    return ExitCode.FAILED


def _print_result(record: "RunRecord", as_json: bool) -> None:
    from wes_daemon.entrypoints.cli.documents import json_text, run_log
    from wes_daemon.entrypoints.cli.run_tables import print_tasks

    if as_json:
        click.echo(json_text(run_log(record)))
        return
    print_tasks(record)
    if record.run.state is RunState.COMPLETE or record.details.outputs:
        click.echo(json_text(dict(record.details.outputs)))
    if record.run.error:
        click.echo(f"error: {many_lines(record.run.error)}")
