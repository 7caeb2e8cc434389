"""The public and the secret parts of a database URI.

The URI is parsed as SQLAlchemy parses it, but without SQLAlchemy, which the settings do not import.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus

# Source: the pattern of sqlalchemy.engine.url._parse_url, where a password ends before the first `@`. Here it ends
# before the last one, so that no part of a password with an unescaped `@` is shown.
_URI = re.compile(r"(?P<scheme>[\w+]+://)(?:(?P<user>[^:/]*)(?::(?P<password>.*))?@)?(?P<rest>[^@]*)", re.DOTALL)
SCHEME = re.compile(r"[\w+]+://")
"""The beginning of a URI."""

_HOST = r"(?:\[[^\]]*\]|[^:,]*)(?::\d*)?"
_HOSTS = re.compile(f"{_HOST}(?:,{_HOST})*")
_PARAMETER = re.compile(r"[?&]([^=&]*)=([^&]*)")
_SQLITE = "sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAddress:
    """The public and the secret parts of a database URI.

    Attributes:
        shown: the URI for messages, with `***` for its password; the scheme alone if the password cannot be located.
        secrets: every text that may be the password, escaped and unescaped.
    """

    shown: str
    secrets: frozenset[str]


def read_address(uri: str) -> DatabaseAddress:
    """Separate the parts of a URI. Text that is not a URI is treated as a secret."""
    return DatabaseAddress(shown=_shown(uri), secrets=frozenset(_spellings(_passwords(uri))) - _public(uri))


def _public(uri: str) -> frozenset[str]:
    """User and database. A password that is equal to one of them would be hidden in each message that names it."""
    found = _URI.fullmatch(uri)
    if found is None or found["user"] is None:
        return frozenset()
    database = found["rest"].partition("/")[2].partition("?")[0]
    return frozenset({unquote(found["user"]), unquote(database)})


def _shown(uri: str) -> str:
    found = _URI.fullmatch(uri)
    if found is None or (found["password"] and "@" in found["password"]):
        return _scheme_alone(uri)
    location, separator, query = found["rest"].partition("?")
    user = f"{found['user']}{'' if found['password'] is None else ':***'}@" if found["user"] is not None else ""
    shown = f"{found['scheme']}{user}{location}"
    # A port that is no number is a password, of a URI that names no host.
    if _names_password(shown) or not _HOSTS.fullmatch(location.partition("/")[0]):
        return _scheme_alone(uri)
    return f"{shown}{separator}{'***' if _names_password(query) else query}"


def _scheme_alone(uri: str) -> str:
    scheme = SCHEME.match(uri)
    # The path of a SQLite file may contain any character, and is not secret.
    if scheme and uri.startswith(_SQLITE) and not _names_password(uri) and not _has_user(uri):
        return uri
    return f"{scheme[0] if scheme else ''}***"


def _passwords(uri: str) -> Iterator[str]:
    scheme = SCHEME.match(uri)
    if scheme is None:
        yield uri
        return
    for name, value in _PARAMETER.findall(uri):
        # libpq accepts passwords in the query, too: `password`, `sslpassword`.
        if _names_password(name):
            yield from (value, value.partition("@")[0])
    if _has_user(uri) or not uri.startswith(_SQLITE):
        _, colon, after_user = uri[scheme.end() :].partition(":")
        if colon and "@" in after_user:
            # The password as SQLAlchemy reads it, and as it was meant if it has an unescaped `@`.
            yield after_user.partition("@")[0]
            yield after_user.rpartition("@")[0]


def _has_user(uri: str) -> bool:
    found = _URI.fullmatch(uri)
    return found is not None and found["user"] is not None


def _names_password(text: str) -> bool:
    return "password" in unquote(text).casefold()


def _spellings(passwords: Iterator[str]) -> Iterator[str]:
    return (text for found in passwords for text in (found, unquote(found), unquote_plus(found)) if text)
