"""`wes-daemon demo`: runs a few CWL workflows on this machine, in a directory of their own."""

import os
import shlex
import shutil
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import as_file, files
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wes_daemon.domain.errors import IllegalTransition
from wes_daemon.domain.runs import ProviderType, RunId, WorkflowRequest
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.errors import ExitCode, Failed, many_lines, one_line
from wes_daemon.entrypoints.cli.local_files import expand_home
from wes_daemon.entrypoints.cli.process import ignore_interrupts
from wes_daemon.entrypoints.cli.session import (
    log_to_stderr,
    open_application,
    prepare_schema,
    settings_of,
    user_data_directory,
)

if TYPE_CHECKING:
    from wes_daemon.application.ports.queries import RunRecord
    from wes_daemon.bootstrap.application import Application
    from wes_daemon.bootstrap.plug_ins import InstalledPlugin

_DATA = "demo_data"
_EXPECTED: Mapping[str, RunState] = {
    "count_words": RunState.COMPLETE,
    "greet_all": RunState.COMPLETE,
    "fail_on_purpose": RunState.EXECUTOR_ERROR,
}
_OF_OTHER_DATABASES = ("DAEMON_SERVICE_TABLES", "DAEMON_SCHEMA")
_TIMEOUT = timedelta(minutes=5)
_CANCEL_TIMEOUT = timedelta(seconds=5)


@click.command("demo")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIRECTORY",
    help="Directory for all files of the demonstration; by default a new one in the user's data directory.",
)
@click.pass_context
def demo(ctx: click.Context, directory: Path | None) -> int:
    """Run a few real CWL workflows on this machine, and watch.

    Queues three runs in a database of its own, and runs the daemon on this machine until they have ended.
    One of them fails on purpose. Then prints the results and what to try next. Needs no account, no container and no
    network.
    """
    if ctx.obj.database_uri:
        raise click.UsageError("demo has a database of its own; --dir says where it is kept.")
    provider = _require_provider()
    place = _prepare_directory(directory, provider)
    with _session(ctx, place) as application:
        _require_checks(application, provider.kind)
        click.echo(f"Three workflows on this machine, in {place.path}\n", err=True)
        try:
            records = _run_all(application, place)
        except KeyboardInterrupt:
            ignore_interrupts()
            click.echo(f"The files so far stay in {place.path}; remove it when you no longer need it.", err=True)
            return ExitCode.INTERRUPTED
    return _conclude(place, records)


def _require_provider() -> "InstalledPlugin":
    """Return the provider that runs workflows on this machine; raises `Failed` if it cannot be used."""
    from wes_daemon.bootstrap.plug_ins import installed_plugins

    found = [each for each in installed_plugins().values() if each.plugin and each.plugin.traits.runs_here]
    if not found:
        raise Failed("no provider that runs workflows on this machine is installed here", ExitCode.MISCONFIGURED)
    return found[0]


def _require_checks(application: "Application", provider: ProviderType) -> None:
    from wes_daemon.bootstrap.providers import examine

    settings = application.settings
    for found in examine(settings.providers[provider], settings):
        if found.problem:
            raise Failed(f"the demonstration cannot run here: {found.problem}", ExitCode.MISCONFIGURED)


@contextmanager
def _session(ctx: click.Context, place: "DemoDirectory") -> "Iterator[Application]":
    settings = settings_of(ctx, **place.settings)
    log_to_stderr(ctx, settings)
    with open_application(settings) as application:
        prepare_schema(application)
        yield application


def _run_all(application: "Application", place: "DemoDirectory") -> "Mapping[str, RunRecord]":
    from wes_daemon.entrypoints.cli.progress import wait_for_runs

    names = _queue(application, place)
    with _running_daemon(application):
        try:
            records = wait_for_runs(application, names, timeout=_TIMEOUT)
        except KeyboardInterrupt:
            _cancel_all(application, names)
            raise
    return {names[record.run.id]: record for record in records}


def _queue(application: "Application", place: "DemoDirectory") -> dict[RunId, str]:
    return {
        application.create_run(
            WorkflowRequest(
                workflow_url=place.workflow(name).as_uri(),
                workflow_type="CWL",
                workflow_type_version="v1.2",
                workflow_params=place.parameters.get(name, {}),
            )
        ): name
        for name in _EXPECTED
    }


@contextmanager
def _running_daemon(application: "Application") -> Iterator[None]:
    """Run the daemon in threads of this process during the block."""
    daemon = application.daemon()
    running = threading.Thread(target=daemon.run, name="daemon", daemon=True)
    running.start()
    try:
        yield
    finally:
        daemon.stop()
        running.join()


def _cancel_all(application: "Application", names: Mapping[RunId, str]) -> None:
    """Cancel the runs: their processes would continue without the daemon."""
    from wes_daemon.entrypoints.cli.progress import wait_for_runs

    click.echo("\nStopping.", err=True)
    for run_id in names:
        try:
            application.request_cancel(run_id)
        except IllegalTransition:
            continue
    wait_for_runs(application, names, timeout=_CANCEL_TIMEOUT)


def _conclude(place: "DemoDirectory", records: "Mapping[str, RunRecord]") -> int:
    click.echo(f"\nFiles are below {place.path}.")
    for name, record in records.items():
        _print_result(name, record, place.path)
    click.echo(place.next_steps(records["fail_on_purpose"].run.id))
    unexpected = [name for name, record in records.items() if record.run.state is not _EXPECTED[name]]
    if unexpected:
        raise Failed(f"did not end as expected: {', '.join(unexpected)}; the errors above say why")
    return ExitCode.DONE


def _print_result(name: str, record: "RunRecord", directory: Path) -> None:
    click.echo(f"\n{name}: {record.run.state}")
    for line in many_lines(record.run.error or "").splitlines():
        click.echo(f"  {line}")
    for output, value in record.details.outputs.items():
        click.echo(f"  {output}: {', '.join(_brief(value, directory))}")


def _brief(value: object, directory: Path) -> Iterator[str]:
    """Yield the paths of files, relative to the directory if possible, and other values as they are."""
    if isinstance(value, Mapping):
        path = Path(str(value.get("path") or value.get("location")))
        yield one_line(str(path.relative_to(directory) if path.is_relative_to(directory) else path))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _brief(item, directory)
    else:
        yield one_line(str(value))


@dataclass(frozen=True, slots=True)
class DemoDirectory:
    """The files of one demonstration."""

    path: Path
    provider: ProviderType
    provider_variables: Collection[str]

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables in .env: commands that are called in the directory use its database."""
        return {
            "DATABASE_URI": f"sqlite:///{self.path / 'runs.db'}",
            **{variable: str(self.path / "runs") for variable in self.provider_variables},
            "DAEMON_DEFAULT_PROVIDER": str(self.provider),
            "DAEMON_POLL_INTERVAL": "1",
            "DAEMON_STATUS_CHECK_INTERVAL": "1",
        }

    @property
    def settings(self) -> Mapping[str, object]:
        """The settings of the demonstration itself; they override the environment."""
        return {
            "database_uri": self.environment["DATABASE_URI"],
            **dict.fromkeys(self.provider_variables, self.path / "runs"),
            "default_provider": self.provider,
            "poll_interval": 0.5,
            "status_check_interval": 0.5,
            "max_concurrent_workflows": 4,
            "auto_migrate": True,
            "service_tables": "create",
            "daemon_schema": "",
        }

    @property
    def parameters(self) -> Mapping[str, Mapping[str, object]]:
        """The parameters, by the names of the workflows."""
        return {
            "count_words": {"text": {"class": "File", "location": (self.path / "text.txt").as_uri()}},
            "greet_all": {"names": ["Ada", "Grace", "Rosalind"]},
        }

    def workflow(self, name: str) -> Path:
        """Return the file of a workflow."""
        return self.path / f"{name}.cwl"

    def next_steps(self, failed: RunId) -> str:
        """Return shell commands to try one after the other."""
        overriding = [name for name in (*self.environment, *_OF_OTHER_DATABASES) if name in os.environ]
        program = _program()
        return "\n  ".join(
            (
                "\nGo on:",
                f"cd {shlex.quote(str(self.path))}",
                *([f"unset {' '.join(overriding)}"] if overriding else []),
                f"{program} list",
                f"{program} show {failed}",
                f"{program} > daemon.log &",
                f"{program} submit count_words.cwl text=@text.txt --wait",
                "kill %1",
            )
        )


def _prepare_directory(given: Path | None, provider: "InstalledPlugin") -> DemoDirectory:
    """Create and fill the directory. The directory of an earlier demonstration can be used again.

    Raises:
        click.BadParameter: it cannot be created, or has a .env that the demonstration did not write.
    """
    try:
        place = DemoDirectory(_create(given) if given else _create_new(), provider.kind, _variables(provider))
        _fill(place)
    except OSError as error:
        raise click.BadParameter(
            f"{error.filename}: {error.strerror}; name a directory that may be written to.", param_hint="--dir"
        ) from error
    return place


def _variables(provider: "InstalledPlugin") -> Collection[str]:
    """Return the variables that enable the provider; each takes a directory."""
    return list(provider.plugin.traits.try_out) if provider.plugin else []


def _program() -> str:
    """Return the shell words that call this program: its name if the shell finds it, else as it was called."""
    here = Path(sys.executable).parent.resolve()
    found = shutil.which("wes-daemon")
    if found and Path(found).resolve().parent == here:
        return "wes-daemon"
    called = Path(sys.argv[0]).absolute()
    return shlex.join([sys.executable, "-m", "wes_daemon"] if called.suffix == ".py" else [str(called)])


def _create(path: Path) -> Path:
    directory = expand_home(str(path), "--dir")
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


def _create_new() -> Path:
    parent = user_data_directory()
    parent.mkdir(parents=True, exist_ok=True)
    return next(_created_with_number(parent)).resolve()


def _created_with_number(parent: Path) -> Iterator[Path]:
    for number in count(1):
        path = parent / f"demo-{number}"
        if not path.exists():
            path.mkdir()
            yield path


def _fill(place: DemoDirectory) -> None:
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in place.environment.items())
    env = place.path / ".env"
    if env.exists() and env.read_text("utf-8", "replace") != text:
        raise click.BadParameter(f"{place.path} has a .env of its own; name another directory.", param_hint="--dir")
    env.write_text(text, "utf-8")
    with as_file(files("wes_daemon.entrypoints.cli") / _DATA) as data:
        for file in data.iterdir():
            shutil.copyfile(file, place.path / file.name)
