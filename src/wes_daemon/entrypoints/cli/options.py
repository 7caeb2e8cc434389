"""Options that several commands have, and the settings that they override."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import click

from wes_daemon.entrypoints.cli.paths import at_home

Command = TypeVar("Command", bound=Callable[..., Any])

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says of the settings, under their fields' names; None where it says nothing."""

    database_uri: str | None = None
    log_level: str | None = None
    log_file: str | None = None
    poll_interval_seconds: float | None = None
    status_check_interval_seconds: float | None = None
    max_concurrent_workflows: int | None = None

    @property
    def given(self) -> dict[str, object]:
        """What it does say."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Word(click.Choice[str]):
    """One of a few words in capitals, in any case; shown and completed as they are."""

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__(list(words), case_sensitive=False)

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """What is compared, and shown where a word is none of them."""
        del ctx
        return str(choice).upper()


class Seconds(click.FloatRange):
    """A duration that the settings would take."""

    name = "number of seconds"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=86_400)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As a range does, which lets "nan" through."""
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value!r} is no number of seconds, such as 60 or 0.5.", param, ctx)
        return seconds


def _checked_uri(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is None or ctx.resilient_parsing:
        return value
    from wes_daemon.adapters.persistence.engine import database_url
    from wes_daemon.application.ports.errors import StorageMisconfigured

    try:
        database_url(value)
    except StorageMisconfigured as error:
        raise click.BadParameter(f"{error}.") from error
    return value


def _checked_path(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not ctx.resilient_parsing:
        at_home(value, "--log-file")
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
"""For a sub-command: it finds the value in `ctx.obj`, with the other overrides."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_DAEMON_OPTIONS = (
    click.option(
        "--log-level",
        type=Word(LOG_LEVELS),
        metavar="LEVEL",
        help=f"{', '.join(LOG_LEVELS)}; overrides DAEMON_LOG_LEVEL (INFO; sub-commands: WARNING).",
    ),
    click.option(
        "--log-file",
        type=click.Path(dir_okay=False),
        metavar="PATH",
        callback=_checked_path,
        help="Log there, too; overrides DAEMON_LOG_FILE.",
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
        "poll_interval_seconds",
        type=Seconds(),
        metavar="SECONDS",
        help="Between two looks for queued runs; overrides DAEMON_POLL_INTERVAL (60).",
    ),
    click.option(
        "--status-check-interval",
        "status_check_interval_seconds",
        type=Seconds(),
        metavar="SECONDS",
        help="Between two looks at one active run; overrides DAEMON_STATUS_CHECK_INTERVAL (300).",
    ),
    click.option(
        "--max-concurrent-workflows",
        type=click.IntRange(1, 1_000_000),
        metavar="N",
        help="Runs that providers may hold at once; overrides DAEMON_MAX_CONCURRENT_WORKFLOWS (10).",
    ),
)


def daemon_options(command: Command) -> Command:
    """The documented options of the daemon, passed on under the names of `Overrides`."""
    for option in reversed(_DAEMON_OPTIONS):
        command = option(command)
    return command
