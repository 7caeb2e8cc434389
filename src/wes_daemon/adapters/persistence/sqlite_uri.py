"""Reads URIs of SQLite."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from wes_daemon.application.ports.errors import StorageMisconfigured

_EXAMPLE = "use sqlite:////absolute/path/to/file.db"
_FILE = "file:"
_YES = ("1", "true", "yes", "on")
_NO = ("0", "false", "no", "off")

# Source: "Uniform Resource Identifiers" in SQLite's manual; `timeout` and `uri` are parameters of Python's module.
_OPTIONS: Mapping[str, Sequence[str]] = {
    "cache": ("private", "shared"),
    "immutable": (*_YES, *_NO),
    "mode": ("ro", "rw", "rwc"),
    "nolock": (*_YES, *_NO),
    "uri": ("true",),
}
_TIMEOUT = "timeout"


def read_sqlite_uri(uri: str) -> URL:
    """The URI with the user's home in place of a `~` at its beginning.

    Raises:
        StorageMisconfigured: it cannot be read, names no file, or has an option that has no effect.
    """
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        raise StorageMisconfigured(f"the database URI cannot be read: {_EXAMPLE}") from None
    if url.host or url.username is not None:
        raise StorageMisconfigured(f"the database URI has too few slashes: {_EXAMPLE}")
    if not url.database or ":memory:" in url.database or url.query.get("mode") == "memory":
        raise StorageMisconfigured(
            f"the database URI names a SQLite database in memory, which threads cannot share: {_EXAMPLE}"
        )
    problems = [problem for name, value in url.query.items() for problem in _problems_of(name, value)]
    if problems:
        raise StorageMisconfigured("; ".join(problems))
    return url.set(database=_without_tilde(url.database))


def is_read_only(url: URL) -> bool:
    """Whether the URI permits reading only."""
    return url.query.get("mode") == "ro" or url.query.get("immutable") in _YES


def sqlite_path(url: URL) -> Path:
    """The file that the URI names, as an absolute path."""
    database = url.database or ""
    if not database.startswith(_FILE):
        return Path(database).absolute()
    # A host may stand after two slashes: file://localhost/path.
    path = database.removeprefix(_FILE)
    return Path(unquote(f"/{path[2:].partition('/')[2]}" if path.startswith("//") else path)).absolute()


def connection_url(url: URL) -> URL:
    """The URL that SQLAlchemy passes on completely: it drops options of SQLite if the path is no URI itself."""
    if url.query.keys() <= {_TIMEOUT}:
        return url.difference_update_query([_TIMEOUT])
    database = url.database or ""
    if not database.startswith(_FILE):
        database = f"{_FILE}{quote(str(sqlite_path(url)))}"
    return url.set(database=database).difference_update_query([_TIMEOUT]).update_query_dict({"uri": "true"})


def _without_tilde(database: str) -> str:
    if database.startswith("/~"):
        raise StorageMisconfigured(
            "the database URI has a ~ after a slash, where it is no home: "
            "use sqlite:///~/path/to/file.db or sqlite:////absolute/path/to/file.db"
        )
    mark = _FILE if database.startswith(_FILE) else ""
    path = database.removeprefix(mark)
    if not path.startswith("~"):
        return database
    try:
        return f"{mark}{Path(path).expanduser()}"
    except RuntimeError:
        raise StorageMisconfigured(f"the database URI names a home that does not exist: {_EXAMPLE}") from None


def _problems_of(name: str, value: str | tuple[str, ...]) -> Iterator[str]:
    if name not in (*_OPTIONS, _TIMEOUT):
        known = ", ".join(sorted((*_OPTIONS, _TIMEOUT)))
        yield f"the database URI has the option {name}, which has no effect: leave it out; SQLite's are {known}"
    elif not isinstance(value, str):
        yield f"the database URI has the option {name} more than once: leave one of them"
    elif name == _TIMEOUT and not value.isdecimal():
        yield "the database URI has a timeout that is no number of seconds: write one, such as timeout=30"
    elif name in _OPTIONS and value not in _OPTIONS[name]:
        yield f"the database URI has the option {name} with an unknown value: use one of {', '.join(_OPTIONS[name])}"
