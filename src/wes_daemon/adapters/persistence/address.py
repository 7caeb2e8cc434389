"""What of a database's URI people may see, and what of it is secret; told without SQLAlchemy, and as it reads it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus

# Source: the pattern of sqlalchemy.engine.url._parse_url, where a password ends before the first `@`. Here it ends
# before the last one, so that of a password that holds an unescaped `@` nothing is left over.
_URI = re.compile(r"(?P<scheme>[\w+]+://)(?:(?P<user>[^:/]*)(?::(?P<password>.*))?@)?(?P<rest>[^@]*)", re.DOTALL)
_SCHEME = re.compile(r"[\w+]+://")
_PARAMETER = re.compile(r"[?&]([^=&]*)=([^&]*)")
_SQLITE = "sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAddress:
    """A database's URI, judged.

    Attributes:
        shown: the URI with `***` for its password, for people; where the password cannot be told, the scheme alone.
        secrets: every text that may be the password, as written and as meant.
    """

    shown: str
    secrets: frozenset[str]


def read_address(uri: str) -> DatabaseAddress:
    """Judge a URI, which may be none."""
    return DatabaseAddress(shown=_shown(uri), secrets=frozenset(_spelt(_passwords(uri))))


def _shown(uri: str) -> str:
    found = _URI.fullmatch(uri)
    if found is None or (found["password"] and "@" in found["password"]):
        return _scheme_alone(uri)
    place, mark, query = found["rest"].partition("?")
    user = f"{found['user']}{'' if found['password'] is None else ':***'}@" if found["user"] is not None else ""
    shown = f"{found['scheme']}{user}{place}"
    if _names_password(shown):
        return _scheme_alone(uri)
    return f"{shown}{mark}{'***' if _names_password(query) else query}"


def _scheme_alone(uri: str) -> str:
    scheme = _SCHEME.match(uri)
    # A file may be named as it likes.
    if scheme and uri.startswith(_SQLITE) and not _names_password(uri) and not _has_user(uri):
        return uri
    return f"{scheme[0] if scheme else ''}***"


def _passwords(uri: str) -> Iterator[str]:
    scheme = _SCHEME.match(uri)
    if scheme is None:
        yield uri
        return
    for name, value in _PARAMETER.findall(uri):
        # libpq takes passwords there, too: `password`, `sslpassword`.
        if _names_password(name):
            yield from (value, value.partition("@")[0])
    if _has_user(uri) or not uri.startswith(_SQLITE):
        _, colon, behind = uri[scheme.end() :].partition(":")
        if colon and "@" in behind:
            # What SQLAlchemy takes, and what was meant if an `@` in it was not escaped.
            yield behind.partition("@")[0]
            yield behind.rpartition("@")[0]


def _has_user(uri: str) -> bool:
    found = _URI.fullmatch(uri)
    return found is not None and found["user"] is not None


def _names_password(text: str) -> bool:
    return "password" in unquote(text).casefold()


def _spelt(passwords: Iterator[str]) -> Iterator[str]:
    return (form for found in passwords for form in (found, unquote(found), unquote_plus(found)) if form)
