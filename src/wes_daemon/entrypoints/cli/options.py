"""Options that several commands share, and the settings that they override."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from wes_daemon.domain.runs import ProviderType
from wes_daemon.entrypoints.cli.local_files import expand_home

Command = TypeVar("Command", bound=Callable[..., Any])

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """The settings that the command line gives, by their field in `Settings`; None for those that it does not give."""

    database_uri: str | None = None
    log_level: str | None = None
    log_file: str | None = None
    poll_interval: float | None = None
    status_check_interval: float | None = None
    max_concurrent_workflows: int | None = None

    @property
    def given(self) -> dict[str, object]:
        """The settings that are given."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class UpperCaseChoice(click.Choice[str]):
    """One of a few words in capitals; accepted in any case, shown and completed in capitals."""

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__(list(words), case_sensitive=False)

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """Return the text that click compares and shows."""
        del ctx
        return str(choice).upper()


class Count(click.IntRange):
    """A number of things, from 1 on."""

    def __init__(self, at_most: int) -> None:
        super().__init__(1, at_most)
        self.name = f"whole number from 1 to {at_most:,}"


class RunCommand(click.Command):
    """A command about runs: says where their ids are found if none is given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; raises `click.UsageError`."""
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as error:
            message = f"{error.format_message()} It is the id of a run: `wes-daemon list` shows the ids."
            raise click.UsageError(message, ctx) from error


_DAEMON_OPTION_NAMES = frozenset(
    {"--log-level", "--log-file", "--poll-interval", "--status-check-interval", "--max-concurrent-workflows"}
)


class Seconds(click.FloatRange):
    """A duration, with the same bounds as in the settings."""

    name = "number of seconds"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=86_400)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Convert the value; refuse a number with a unit, and "nan", which a range accepts."""
        from wes_daemon.plugins.setting_types import seconds_with_unit

        if isinstance(value, str) and (meant := seconds_with_unit(value)) is not None:
            self.fail(f"{value!r} has a unit; write the number of seconds, {meant:g}.", param, ctx)
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds, such as 60 or 0.5.", param, ctx)
        return seconds


class ProviderName(click.ParamType[ProviderType]):
    """The name of a provider; whether it exists is checked by `require_provider_name` of `session`."""

    name = "provider"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ProviderType:
        """Convert the value, in any case."""
        try:
            return ProviderType(str(value).strip().lower())
        except ValueError as error:
            self.fail(f"{error}; `wes-daemon providers` shows them.", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the names of installed providers."""
        from wes_daemon.bootstrap.plug_ins import installed_plugins

        del ctx, param
        return [CompletionItem(name) for name in installed_plugins() if name.startswith(incomplete.lower())]


def _checked_uri(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is None or ctx.resilient_parsing:
        return value
    from wes_daemon.adapters.persistence.engine import database_url
    from wes_daemon.application.ports.errors import StorageMisconfigured
    from wes_daemon.plugins.setting_types import without_quotation_marks

    try:
        without_quotation_marks(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error
    try:
        database_url(value)
    except StorageMisconfigured as error:
        raise click.BadParameter(f"{error}.") from error
    return value


def _checked_path(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not ctx.resilient_parsing:
        expand_home(value, "--log-file")
    return value


def _override_database(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None and not ctx.resilient_parsing:
        ctx.obj = replace(ctx.obj, database_uri=_checked_uri(ctx, parameter, value))


database_option = click.option(
    "--db-uri",
    metavar="URI",
    expose_value=False,
    callback=_override_database,
    help="The database; overrides DATABASE_URI.",
)
"""For a sub-command; the value is stored in `ctx.obj`, with the other overrides."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_DAEMON_OPTIONS = (
    click.option(
        "--log-level",
        type=UpperCaseChoice(LOG_LEVELS),
        metavar="LEVEL",
        help=f"{', '.join(LOG_LEVELS)}; overrides DAEMON_LOG_LEVEL (INFO; sub-commands: WARNING).",
    ),
    click.option(
        "--log-file",
        type=click.Path(dir_okay=False),
        metavar="PATH",
        callback=_checked_path,
        help="Also log to this file; overrides DAEMON_LOG_FILE.",
    ),
    click.option(
        "--db-uri",
        "database_uri",
        metavar="URI",
        callback=_checked_uri,
        help="postgresql://user:password@host/name or sqlite:////path/to/file; overrides DATABASE_URI.",
    ),
    click.option(
        "--poll-interval",
        type=Seconds(),
        metavar="SECONDS",
        help="Time between two queries for queued runs; overrides DAEMON_POLL_INTERVAL (60).",
    ),
    click.option(
        "--status-check-interval",
        type=Seconds(),
        metavar="SECONDS",
        help="Longest time between two status requests for a run; overrides DAEMON_STATUS_CHECK_INTERVAL (300).",
    ),
    click.option(
        "--max-concurrent-workflows",
        type=Count(1_000_000),
        metavar="N",
        help="Runs that may be active at once; overrides DAEMON_MAX_CONCURRENT_WORKFLOWS (10).",
    ),
)


def is_daemon_option(name: str) -> bool:
    """Return whether an option stands before the name of a command."""
    return name in _DAEMON_OPTION_NAMES


def daemon_options(command: Command) -> Command:
    """Add the options of the daemon; the values have the names of the fields of `Overrides`."""
    for option in reversed(_DAEMON_OPTIONS):
        command = option(command)
    return command
