"""Which database a command works on, for people, and whether it is there."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wes_daemon.entrypoints.cli.exits import Failed

if TYPE_CHECKING:
    from wes_daemon.bootstrap.settings import Settings

_SQLITE = "sqlite:///"


def require_database(settings: "Settings") -> None:
    """See that a SQLite database which the settings name is there; the user's own file is made when it is not.

    Raises:
        Failed: it is not.
    """
    file = _sqlite_file(settings)
    if file is not None and not file.exists():
        raise Failed(
            f"there is no database at {file} yet; `wes-daemon`, `wes-daemon submit` and `wes-daemon db upgrade` make it"
        )


def shown_database(settings: "Settings") -> str:
    """The database without its password; a relative SQLite file as the absolute one that it is here."""
    from wes_daemon.adapters.persistence.address import read_address

    if settings.database_uri is None:
        return "not set"
    shown, file = read_address(settings.database_uri.get_secret_value()).shown, _sqlite_file(settings)
    if file is None or shown.startswith(f"{_SQLITE}/") or not shown.startswith(_SQLITE):
        return shown
    _, mark, query = shown.partition("?")
    return f"{_SQLITE}{file}{mark}{query} (relative to {Path.cwd()})"


def where_runs_are(settings: "Settings") -> str:
    """What to say to somebody whose run is not there."""
    return f"looked in {shown_database(settings)}; `wes-daemon list` shows what is there"


def misspelt_database() -> str:
    """` (DATABASE_URL is: did you mean that?)` where DATABASE_URI is not set and something like it is; else empty."""
    from wes_daemon.bootstrap.settings import misspelt, names_in_env_file

    names = [name for name, meant in misspelt({*os.environ, *names_in_env_file()}) if meant == "DATABASE_URI"]
    return f" ({' and '.join(names)} is: did you mean that?)" if names else ""


def _sqlite_file(settings: "Settings") -> Path | None:
    """The file of a SQLite database, absolute; None for others, and for what is not understood."""
    from wes_daemon.adapters.persistence.engine import database_url
    from wes_daemon.application.ports.errors import StorageMisconfigured

    if settings.database_uri is None:
        return None
    with suppress(StorageMisconfigured):
        url = database_url(settings.database_uri.get_secret_value())
        if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith("file:"):
            return Path(url.database).absolute()
    return None
