"""`wes-daemon demo`."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wes_daemon.domain.runs import RunId, WorkflowRequest
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.escaping import many_lines, one_line
from wes_daemon.entrypoints.cli.exits import ExitCode, Failed, ignore_interrupts

if TYPE_CHECKING:
    from wes_daemon.application.ports.queries import RunRecord
    from wes_daemon.bootstrap.container import Container
    from wes_daemon.entrypoints.cli.demo_directory import DemoDirectory

_EXPECTED: Mapping[str, RunState] = {
    "count_words": RunState.COMPLETE,
    "greet_all": RunState.COMPLETE,
    "fail_on_purpose": RunState.EXECUTOR_ERROR,
}
_LONGEST = timedelta(minutes=5)
_CANCEL_PATIENCE = timedelta(seconds=5)


@click.command("demo")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIRECTORY",
    help="Where everything is put and kept; else a new directory among the user's data.",
)
@click.pass_context
def demo(ctx: click.Context, directory: Path | None) -> int:
    """Run a few real CWL workflows on this machine, and watch.

    Queues three runs in a database of its own, runs the daemon with the local provider until they have ended, one
    of them badly and on purpose, prints what came out, and how to go on. Needs no account, no container, no network.
    """
    from wes_daemon.entrypoints.cli.demo_directory import prepare_directory

    if ctx.obj.database_uri:
        raise click.UsageError("demo has a database of its own; --dir says where it is kept.")
    _require_cwltool()
    place = prepare_directory(directory)
    with _container(ctx, place) as container:
        click.echo(f"Three workflows on this machine, in {place.path}\n", err=True)
        try:
            records = _run_all(container, place)
        except KeyboardInterrupt:
            ignore_interrupts()
            click.echo(f"What there is by now stays in {place.path}; remove it when you no longer need it.", err=True)
            return ExitCode.INTERRUPTED
    return _conclude(place, records)


def _require_cwltool() -> None:
    if find_spec("cwltool") is None or find_spec("psutil") is None:
        raise Failed(
            "the demonstration runs CWL with cwltool, which is not installed here: pip install 'wes-daemon[local]' "
            "or, in a clone, pip install '.[local]'",
            ExitCode.MISCONFIGURED,
        )


@contextmanager
def _container(ctx: click.Context, place: "DemoDirectory") -> "Iterator[Container]":
    from wes_daemon.entrypoints.cli.session import container_for, log_to_stderr, prepare_schema, read

    settings = read(ctx, **place.settings)
    log_to_stderr(ctx, settings)
    with container_for(settings) as container:
        prepare_schema(container)
        yield container


def _run_all(container: "Container", place: "DemoDirectory") -> "Mapping[str, RunRecord]":
    from wes_daemon.entrypoints.cli.following import follow

    names = _queue(container, place)
    with _daemon(container):
        try:
            records = follow(container, names, timeout=_LONGEST)
        except KeyboardInterrupt:
            _cancel_all(container, names)
            raise
    return {names[record.run.id]: record for record in records}


def _queue(container: "Container", place: "DemoDirectory") -> dict[RunId, str]:
    create_run, parameters = container.create_run(), place.parameters
    return {
        create_run(
            WorkflowRequest(
                workflow_url=place.workflow(name).as_uri(),
                workflow_type="CWL",
                workflow_type_version="v1.2",
                workflow_params=parameters.get(name, {}),
            )
        ): name
        for name in _EXPECTED
    }


@contextmanager
def _daemon(container: "Container") -> Iterator[None]:
    """The daemon, in threads of this process."""
    daemon = container.daemon()
    running = threading.Thread(target=daemon.run, name="daemon", daemon=True)
    running.start()
    try:
        yield
    finally:
        daemon.stop()
        running.join()


def _cancel_all(container: "Container", names: Mapping[RunId, str]) -> None:
    """Leave no process behind: the local provider's runs would go on without the daemon."""
    from wes_daemon.domain.errors import IllegalTransition
    from wes_daemon.entrypoints.cli.following import follow

    click.echo("\nStopping.", err=True)
    for run_id in names:
        try:
            container.request_cancel()(run_id)
        except IllegalTransition:
            continue
    follow(container, names, timeout=_CANCEL_PATIENCE)


def _conclude(place: "DemoDirectory", records: "Mapping[str, RunRecord]") -> int:
    click.echo(f"\nFiles are below {place.path}.")
    for name, record in records.items():
        _print_result(name, record, place.path)
    click.echo(place.how_to_go_on(records["fail_on_purpose"].run.id))
    surprises = [name for name, record in records.items() if record.run.state is not _EXPECTED[name]]
    if surprises:
        raise Failed(f"not as expected: {', '.join(surprises)}; the run's own page above the hints says why")
    return ExitCode.DONE


def _print_result(name: str, record: "RunRecord", directory: Path) -> None:
    click.echo(f"\n{name}: {record.run.state}")
    for line in many_lines(record.run.error or "").splitlines():
        click.echo(f"  {line}")
    for output, value in record.details.outputs.items():
        click.echo(f"  {output}: {', '.join(_brief(value, directory))}")


def _brief(value: object, directory: Path) -> Iterator[str]:
    """Where the files are in the directory, and other values as they are."""
    if isinstance(value, Mapping):
        path = Path(str(value.get("path") or value.get("location")))
        yield one_line(str(path.relative_to(directory) if path.is_relative_to(directory) else path))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _brief(item, directory)
    else:
        yield one_line(str(value))
