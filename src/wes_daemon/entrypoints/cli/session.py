"""What a command works with: the settings, and the container that is wired from them."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from wes_daemon.domain.runs import ProviderType
from wes_daemon.entrypoints.cli.exits import HIDE, say
from wes_daemon.entrypoints.cli.options import Overrides

if TYPE_CHECKING:
    from wes_daemon.bootstrap.container import Container
    from wes_daemon.bootstrap.settings import Settings

_WORKDIR = 'DAEMON_LOCAL_WORKDIR="$PWD/local-runs" '


@contextmanager
def session(ctx: click.Context) -> "Iterator[Container]":
    """A container over a database whose schema is as the code needs it, for as long as a sub-command takes.

    Without DATABASE_URI the database is a file of the user's own, and it says so.
    """
    settings = sub_command_settings(ctx)
    log_to_stderr(ctx, settings)
    with container_for(settings) as container:
        prepare_schema(container)
        yield container


@contextmanager
def reading_session(ctx: click.Context) -> "Iterator[Container]":
    """A session for a command that makes no database; a file of the user's own is made where none is named.

    Raises:
        Failed: the SQLite file that is named is not there.
    """
    from wes_daemon.entrypoints.cli.databases import require_database

    require_database(read(ctx))
    with session(ctx) as container:
        yield container


def read(ctx: click.Context, **further: object) -> "Settings":
    """The settings; those in `further` come before what the command line says. From here on, secrets are hidden."""
    from wes_daemon.bootstrap.settings import read_settings
    from wes_daemon.entrypoints.cli.logs import Hiding

    overrides: Overrides = ctx.obj
    settings = read_settings(**{**overrides.given, **further})
    ctx.meta[HIDE] = Hiding(settings.secrets)
    return settings


def sub_command_settings(ctx: click.Context) -> "Settings":
    """The settings, with a database in any case."""
    settings = read(ctx)
    if settings.database_uri is not None:
        return settings
    from wes_daemon.entrypoints.cli.databases import misspelt_database

    uri = f"sqlite:///{user_data() / 'runs.db'}"
    say(f"DATABASE_URI is not set{misspelt_database()}: using {uri}")
    return read(ctx, database_uri=uri)


def log_as_configured(ctx: click.Context, settings: "Settings", stream: TextIO) -> None:
    """The log of what works as the daemon does."""
    from wes_daemon.entrypoints.cli.logs import set_up_logging

    set_up_logging(stream=stream, level=settings.log_level, file=settings.log_file, hide=ctx.meta[HIDE])


def log_to_stderr(ctx: click.Context, settings: "Settings") -> None:
    """The log of a command that prints a result: what is grave, or what the command line asks for.

    DAEMON_LOG_LEVEL and DAEMON_LOG_FILE are the daemon's: whoever lists runs may not write to its file.
    """
    from wes_daemon.entrypoints.cli.logs import set_up_logging

    overrides: Overrides = ctx.obj
    level = settings.log_level if overrides.log_level else "WARNING"
    file = settings.log_file if overrides.log_file else None
    set_up_logging(stream=sys.stderr, level=level, file=file, hide=ctx.meta[HIDE])


@contextmanager
def container_for(settings: "Settings") -> "Iterator[Container]":
    """A container; its connections are closed at the end.

    Raises:
        ConfigurationError: there is no database, or what is said to be one cannot be.
    """
    from wes_daemon.application.ports.errors import StorageMisconfigured
    from wes_daemon.bootstrap.container import Container
    from wes_daemon.bootstrap.settings import ConfigurationError

    container = Container(settings=settings)
    try:
        engine = container.engine()
    except StorageMisconfigured as error:
        # What --db-uri gives was looked at before.
        raise ConfigurationError(f"DATABASE_URI: {error}") from error
    try:
        yield container
    finally:
        engine.dispose()


def prepare_schema(container: "Container") -> None:
    """Bring the schema up to date where that is allowed and needed; else raise what is wrong with it."""
    schema = container.schema()
    if not container.settings().auto_migrate:
        schema.check()
    elif schema.current() != schema.head():
        schema.upgrade()


def user_data() -> Path:
    """Where this user's runs are kept when nothing else is said."""
    from platformdirs import user_data_path

    return user_data_path("wes-daemon")


def public_uri(uri: str) -> str:
    """The database's URI without its password, for people."""
    from wes_daemon.adapters.persistence.address import read_address

    return read_address(uri).shown


def mention_absent_daemon(container: "Container", *, for_provider: ProviderType | None = None) -> None:
    """Say how to start a daemon where none is at work on this database: without one, nothing happens to a run."""
    if not container.queries().daemons():
        command = daemon_command(container.settings(), for_provider=for_provider)
        say(f"no daemon is at work on this database; this starts one: {command}")


def daemon_command(settings: "Settings", *, for_provider: ProviderType | None = None) -> str:
    """A line for the shell that starts a daemon with these settings, as far as its own would differ.

    Args:
        for_provider: it can work for this one then, as far as the line can see to that.
    """
    from wes_daemon.bootstrap.settings import read_settings

    words = ["wes-daemon"]
    uri = settings.database_uri
    if uri is not None and read_settings().database_uri != uri:
        words += ["--db-uri", public_uri(uri.get_secret_value())]
    needs_workdir = for_provider is ProviderType.LOCAL and settings.local_workdir is None
    return f"{_WORKDIR if needs_workdir else ''}{shlex.join(words)}"
