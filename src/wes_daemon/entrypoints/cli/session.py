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
from wes_daemon.entrypoints.cli.errors import ExitCode, Failed, print_message
from wes_daemon.entrypoints.cli.options import Overrides

if TYPE_CHECKING:
    from wes_daemon.bootstrap.application import Application
    from wes_daemon.bootstrap.settings import Settings

HIDE_SECRETS = "wes_daemon.hide_secrets"
"""The key in `click.Context.meta` of the function that hides secrets in a text; set once the settings are read."""

_SQLITE = "sqlite:///"
_SEARCHED_RUNS = 1_000
_DATABASE_URI = "DATABASE_URI"


@contextmanager
def session(ctx: click.Context) -> "Iterator[Application]":
    """Open the application for a command that may create the database, but does not upgrade an existing one.

    Without DATABASE_URI the database is a file in the user's data directory, and a message says so.
    """
    settings = sub_command_settings(ctx)
    log_to_stderr(ctx, settings)
    _require_no_directory(settings)
    create_data_directory(settings)
    with open_application(settings) as application:
        create_schema(application)
        yield application


@contextmanager
def reading_session(ctx: click.Context) -> "Iterator[Application]":
    """Open the application for a command that neither creates nor upgrades a database.

    Raises:
        Failed: the SQLite file does not exist.
        StorageMisconfigured: the database was never prepared, or its schema is older or newer than this version.
    """
    settings = sub_command_settings(ctx)
    _require_no_directory(settings)
    require_database(settings)
    log_to_stderr(ctx, settings)
    with open_application(settings) as application:
        application.schema.require_head()
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
    _mention_misspelt()
    if settings.database_uri is not None:
        return settings
    uri = f"{_SQLITE}{user_data_directory() / 'runs.db'}"
    print_message(f"DATABASE_URI is not set{misspelt_database()}: using {uri}")
    return settings_of(ctx, database_uri=uri)


def _mention_misspelt() -> None:
    """Print which names in the environment and in `.env` resemble those of settings, and have no effect."""
    from wes_daemon.bootstrap.env_file import ENV_FILE, names_in_env_file
    from wes_daemon.bootstrap.setting_problems import misspelt
    from wes_daemon.bootstrap.settings import setting_names, setting_prefixes

    for where, names in (("the environment", os.environ), (ENV_FILE, names_in_env_file())):
        for name, meant in misspelt(names, setting_names(), setting_prefixes()):
            # A message of its own mentions it where it matters.
            if meant != _DATABASE_URI:
                print_message(f"{name} in {where} is no setting: did you mean {meant}?")


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


def create_schema(application: "Application") -> None:
    """Create the daemon's tables if there are none and that is allowed, else check the revision.

    An existing schema is upgraded by the daemon, `run-once` and `db upgrade` only: daemons may be at work on it.
    """
    schema = application.schema
    if application.settings.auto_migrate and schema.current() is None:
        schema.upgrade()
    else:
        schema.require_head()


def prepare_schema(application: "Application") -> None:
    """Upgrade the schema if that is needed and allowed, else check it; raises `StorageMisconfigured`."""
    schema = application.schema
    if not application.settings.auto_migrate:
        schema.check()
    elif schema.current() != schema.head():
        schema.upgrade()


def create_data_directory(settings: "Settings") -> None:
    """Create the directory of this user's data if the database is a file in it. Other folders must exist.

    Raises:
        Failed: it cannot be created.
    """
    folder, file = user_data_directory(), _sqlite_file(settings)
    if file is None or file.parent != folder:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failed(
            f"{folder} cannot be created: {error.strerror}: set DATABASE_URI to a database elsewhere",
            ExitCode.MISCONFIGURED,
        ) from error


def user_data_directory() -> Path:
    """Return the directory of this user's data."""
    from platformdirs import user_data_path

    return user_data_path("wes-daemon")


def mention_absent_daemon(application: "Application", *, for_provider: ProviderType | None = None) -> None:
    """Print how to start a daemon if none works on this database: without one, runs make no progress."""
    if not application.daemons():
        command = daemon_command(application.settings, for_provider=for_provider)
        print_message(f"no daemon is at work on {shown_database(application.settings)}; this starts one: {command}")


def daemon_command(settings: "Settings", *, for_provider: ProviderType | None = None) -> str:
    """Return a shell command that starts a daemon, with the settings that it would not find by itself.

    Args:
        for_provider: the command also enables this provider, if that takes no more than a setting to try it out.
    """
    from wes_daemon.adapters.persistence.address import read_address
    from wes_daemon.bootstrap.settings import read_settings

    words = ["wes-daemon"]
    uri = settings.database_uri
    if uri is not None and read_settings().database_uri != uri:
        words += ["--db-uri", read_address(uri.get_secret_value()).shown]
    instance = settings.providers.get(for_provider) if for_provider else None
    needed = instance.plugin.traits.try_out if instance and instance.plugin and not instance.is_enabled else {}
    return " ".join([*(f"{name}={value}" for name, value in needed.items()), shlex.join(words)])


def require_provider_name(application: "Application", name: ProviderType | None) -> None:
    """Check that a provider of this name is known here, to a daemon that is at work, or from earlier runs.

    Raises:
        click.UsageError: it is not; the message names those that are.
    """
    if name is None or name in application.settings.providers:
        return
    known = {*application.settings.providers, *application.published_providers()}
    if not application.known_providers([name]):
        raise click.UsageError(f"there is no provider {str(name)!r}: the providers are {', '.join(sorted(known))}.")


def require_database(settings: "Settings") -> None:
    """Check that the SQLite file that the settings name exists.

    Raises:
        Failed: the file does not exist; the message names the commands that create it.
    """
    file = _sqlite_file(settings)
    # Unlike those of `Path`, these functions raise nothing for a name that is too long.
    if file is None or os.path.exists(file):
        return
    if file.parent != user_data_directory() and not os.path.isdir(file.parent):
        raise Failed(
            f"there is no database at {file}: the folder {file.parent} does not exist; "
            f"correct the path in the database URI, or create the folder{_slashes(file)}"
        )
    raise Failed(
        f"there is no database at {file} yet; `wes-daemon`, `wes-daemon submit` and `wes-daemon db upgrade` create it"
    )


def _require_no_directory(settings: "Settings") -> None:
    file = _sqlite_file(settings)
    if file is not None and os.path.isdir(file):
        raise Failed(
            f"the SQLite database {file} is a directory: name a file in it, such as {_SQLITE}{file}/runs.db",
            ExitCode.MISCONFIGURED,
        )


def _slashes(file: Path) -> str:
    """Return a hint if the path would exist with one more slash, as one that begins at the root."""
    relative = os.path.relpath(file.parent, Path.cwd())
    is_below = not relative.startswith("..") and relative != "."
    return f"; a path from the root has four slashes: {_SQLITE}/…" if is_below and os.path.isdir(f"/{relative}") else ""


def shown_database(settings: "Settings") -> str:
    """Return the database's URI without its password; a relative SQLite file becomes absolute."""
    from wes_daemon.adapters.persistence.address import read_address

    if settings.database_uri is None:
        return "not set"
    shown, file = read_address(settings.database_uri.get_secret_value()).shown, _sqlite_file(settings)
    if file is None or shown.startswith((f"{_SQLITE}/", f"{_SQLITE}file:")) or not shown.startswith(_SQLITE):
        return shown
    _, mark, query = shown.partition("?")
    # A `~` was replaced: the path does not depend on the working directory.
    origin = "" if shown.startswith(f"{_SQLITE}~") else f" (relative to {Path.cwd()})"
    return f"{_SQLITE}{file}{mark}{query}{origin}"


def searched_database(application: "Application", run_id: str) -> str:
    """Return the message for a person whose run does not exist."""
    from wes_daemon.application.ports.queries import RunFilter

    found = [record.run.id for record in application.list_runs(RunFilter(limit=_SEARCHED_RUNS))]
    similar = [id for id in found if run_id and id.casefold().startswith(run_id.casefold())]
    meant = f"did you mean {similar[0]}? An id is given in full\n" if len(similar) == 1 else ""
    return f"{meant}looked in {shown_database(application.settings)}; `wes-daemon list` shows the runs in it"


def misspelt_database() -> str:
    """Return ` (DATABASE_URL is: did you mean that?)` if a name like DATABASE_URI is set instead, or an empty text."""
    from wes_daemon.bootstrap.env_file import names_in_env_file
    from wes_daemon.bootstrap.setting_problems import misspelt
    from wes_daemon.bootstrap.settings import setting_names, setting_prefixes

    given = {*os.environ, *names_in_env_file()}
    found = misspelt(given, setting_names(), setting_prefixes())
    names = [name for name, meant in found if meant == _DATABASE_URI]
    return f" ({' and '.join(names)} is: did you mean that?)" if names else ""


def _sqlite_file(settings: "Settings") -> Path | None:
    """Return the absolute path of a SQLite database; None for other databases and unreadable URIs."""
    from wes_daemon.adapters.persistence.engine import database_url
    from wes_daemon.adapters.persistence.sqlite_uri import sqlite_path
    from wes_daemon.application.ports.errors import StorageMisconfigured

    if settings.database_uri is None:
        return None
    with suppress(StorageMisconfigured):
        url = database_url(settings.database_uri.get_secret_value())
        if url.get_backend_name() == "sqlite":
            return sqlite_path(url)
    return None
