"""The settings, the log, the database and the application that a command uses."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from wes_daemon.domain.runs import ProviderType
from wes_daemon.entrypoints.cli.errors import Failed, print_message
from wes_daemon.entrypoints.cli.options import Overrides

if TYPE_CHECKING:
    from wes_daemon.bootstrap.application import Application
    from wes_daemon.bootstrap.settings import Settings

HIDE_SECRETS = "wes_daemon.hide_secrets"
"""The key in `click.Context.meta` of the function that hides secrets in a text; set once the settings are read."""

_LOCAL_WORKDIR = 'DAEMON_LOCAL_WORKDIR="$PWD/local-runs" '
_SQLITE = "sqlite:///"


@contextmanager
def session(ctx: click.Context) -> "Iterator[Application]":
    """Open the application for a sub-command, over a database with a current schema.

    Without DATABASE_URI the database is a file in the user's data directory, and a message says so.
    """
    settings = sub_command_settings(ctx)
    log_to_stderr(ctx, settings)
    with open_application(settings) as application:
        prepare_schema(application)
        yield application


@contextmanager
def reading_session(ctx: click.Context) -> "Iterator[Application]":
    """Open the application for a command that does not create the database that is named.

    If none is named, it uses the file in the user's data directory, and creates that if necessary.

    Raises:
        Failed: the SQLite file that is named does not exist.
    """
    require_database(settings_of(ctx))
    with session(ctx) as application:
        yield application


@contextmanager
def open_application(settings: "Settings") -> "Iterator[Application]":
    """Build the application; close its connections at the end.

    Raises:
        ConfigurationError: no database is named, or its URI cannot be used.
    """
    from wes_daemon.bootstrap.application import build_application

    application = build_application(settings)
    with closing(application):
        yield application


def settings_of(ctx: click.Context, **arguments: object) -> "Settings":
    """Read the settings; `arguments` override the options of the command line. From here on, secrets are hidden."""
    from wes_daemon.bootstrap.settings import read_settings
    from wes_daemon.entrypoints.cli.logs import SecretHider

    overrides: Overrides = ctx.obj
    settings = read_settings(**{**overrides.given, **arguments})
    ctx.meta[HIDE_SECRETS] = SecretHider(settings.secrets)
    return settings


def sub_command_settings(ctx: click.Context) -> "Settings":
    """Read the settings. Without DATABASE_URI the database is a file in the user's data directory."""
    settings = settings_of(ctx)
    if settings.database_uri is not None:
        return settings
    uri = f"{_SQLITE}{user_data_directory() / 'runs.db'}"
    print_message(f"DATABASE_URI is not set{misspelt_database()}: using {uri}")
    return settings_of(ctx, database_uri=uri)


def log_as_configured(ctx: click.Context, settings: "Settings", stream: TextIO) -> None:
    """Set up the log as the settings say, for the daemon and for `run-once`."""
    from wes_daemon.entrypoints.cli.logs import set_up_logging

    set_up_logging(stream=stream, level=settings.log_level, file=settings.log_file, hide=ctx.meta[HIDE_SECRETS])


def log_to_stderr(ctx: click.Context, settings: "Settings") -> None:
    """Set up the log of a command that prints a result: warnings, or what the command line requests.

    DAEMON_LOG_LEVEL and DAEMON_LOG_FILE are for the daemon: a person who lists runs may not be allowed to write to
    its file.
    """
    from wes_daemon.entrypoints.cli.logs import set_up_logging

    overrides: Overrides = ctx.obj
    level = settings.log_level if overrides.log_level else "WARNING"
    file = settings.log_file if overrides.log_file else None
    set_up_logging(stream=sys.stderr, level=level, file=file, hide=ctx.meta[HIDE_SECRETS])


def prepare_schema(application: "Application") -> None:
    """Upgrade the schema if that is needed and allowed, else check it; raises `StorageMisconfigured`."""
    schema = application.schema
    if not application.settings.auto_migrate:
        schema.check()
    elif schema.current() != schema.head():
        schema.upgrade()


def user_data_directory() -> Path:
    """Return the directory of this user's data."""
    from platformdirs import user_data_path

    return user_data_path("wes-daemon")


def mention_absent_daemon(application: "Application", *, for_provider: ProviderType | None = None) -> None:
    """Print how to start a daemon if none works on this database: without one, runs make no progress."""
    if not application.daemons():
        command = daemon_command(application.settings, for_provider=for_provider)
        print_message(f"no daemon is at work on this database; this starts one: {command}")


def daemon_command(settings: "Settings", *, for_provider: ProviderType | None = None) -> str:
    """Return a shell command that starts a daemon, with the settings that it would not find by itself.

    Args:
        for_provider: the command also enables this provider, if it is the local one.
    """
    from wes_daemon.adapters.persistence.address import read_address
    from wes_daemon.bootstrap.settings import read_settings

    words = ["wes-daemon"]
    uri = settings.database_uri
    if uri is not None and read_settings().database_uri != uri:
        words += ["--db-uri", read_address(uri.get_secret_value()).shown]
    needs_workdir = for_provider is ProviderType.LOCAL and settings.local_workdir is None
    return f"{_LOCAL_WORKDIR if needs_workdir else ''}{shlex.join(words)}"


def require_database(settings: "Settings") -> None:
    """Check that the SQLite file that the settings name exists.

    Raises:
        Failed: the file does not exist; the message names the commands that create it.
    """
    file = _sqlite_file(settings)
    if file is not None and not file.exists():
        raise Failed(
            f"there is no database at {file} yet; "
            "`wes-daemon`, `wes-daemon submit` and `wes-daemon db upgrade` create it"
        )


def shown_database(settings: "Settings") -> str:
    """Return the database's URI without its password; a relative SQLite file becomes absolute."""
    from wes_daemon.adapters.persistence.address import read_address

    if settings.database_uri is None:
        return "not set"
    shown, file = read_address(settings.database_uri.get_secret_value()).shown, _sqlite_file(settings)
    if file is None or shown.startswith(f"{_SQLITE}/") or not shown.startswith(_SQLITE):
        return shown
    _, mark, query = shown.partition("?")
    # A `~` was replaced: the path does not depend on the working directory.
    origin = "" if shown.startswith(f"{_SQLITE}~") else f" (relative to {Path.cwd()})"
    return f"{_SQLITE}{file}{mark}{query}{origin}"


def searched_database(settings: "Settings") -> str:
    """Return the message for a person whose run does not exist."""
    return f"looked in {shown_database(settings)}; `wes-daemon list` shows the runs in it"


def misspelt_database() -> str:
    """Return ` (DATABASE_URL is: did you mean that?)` if a name like DATABASE_URI is set instead, or an empty text."""
    from wes_daemon.bootstrap.settings import misspelt, names_in_env_file

    names = [name for name, meant in misspelt({*os.environ, *names_in_env_file()}) if meant == "DATABASE_URI"]
    return f" ({' and '.join(names)} is: did you mean that?)" if names else ""


def _sqlite_file(settings: "Settings") -> Path | None:
    """Return the absolute path of a SQLite database; None for other databases and unreadable URIs."""
    from wes_daemon.adapters.persistence.engine import database_url
    from wes_daemon.application.ports.errors import StorageMisconfigured

    if settings.database_uri is None:
        return None
    with suppress(StorageMisconfigured):
        url = database_url(settings.database_uri.get_secret_value())
        if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith("file:"):
            return Path(url.database).absolute()
    return None
