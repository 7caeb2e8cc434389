"""Reads URIs of PostgreSQL: all forms that libpq accepts, as SQLAlchemy's URL for the driver psycopg2.

Options are checked here, because libpq only says that it does not know one. Other programs call the same things by
other names, and their URIs are copied.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

import psycopg2
from psycopg2.extensions import make_dsn
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from wes_daemon.application.ports.errors import StorageMisconfigured

_DRIVER = "postgresql+psycopg2"
_EXAMPLE = "use postgresql://user:password@host:5432/database"
_HOSTS = "use postgresql://user:password@host1:5432,host2:5433/database"

# As sqlalchemy.engine.url._parse_url reads user and password.
_PARTS = re.compile(r"(?P<before>[\w+]+://(?:[^:/]*(?::[^@]*)?@)?)(?P<hosts>[^/?]*)(?P<after>.*)", re.DOTALL)
# Brackets are round the address of IPv6 if a port may follow.
_HOST = re.compile(r"(?P<name>\[[^\]]*\]|[^:\[\]]*:[^\[\]]*:[^\[\]]*|[^:\[\]]*)(?::(?P<port>\d*))?")
_NAME = re.compile(r"[A-Za-z][\w.-]{0,40}", re.ASCII)
_MANY = ("host", "port")

# Source: "Parameter Key Words" in libpq's manual.
_NUMBERS = frozenset(
    {"connect_timeout", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "tcp_user_timeout"}
)
_VALUES: Mapping[str, Sequence[str]] = {
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_MEANT: Mapping[str, Mapping[str, str]] = {
    "sslmode": {"required": "require", "true": "require", "no-verify": "require", "preferred": "prefer"},
}

_LEAVE_OUT = "leave it out: the daemon needs nothing in its place"
_TLS = "write sslmode=require (encrypted) or sslmode=verify-full (and the server's certificate is verified)"
_SEARCH_PATH = "write options=-csearch_path%3DNAME"
_TIMEOUT = "write connect_timeout=SECONDS"
_COPIED: Mapping[str, str] = {
    "applicationname": "write application_name=NAME",
    "charset": "write client_encoding=NAME",
    "connection_limit": _LEAVE_OUT,
    "connecttimeout": _TIMEOUT,
    "currentschema": _SEARCH_PATH,
    "encoding": "write client_encoding=NAME",
    "max_overflow": _LEAVE_OUT,
    "pgbouncer": "leave it out: a pooler needs no option",
    "pool_size": _LEAVE_OUT,
    "pool_timeout": _LEAVE_OUT,
    "preparethreshold": _LEAVE_OUT,
    "schema": _SEARCH_PATH,
    "search_path": _SEARCH_PATH,
    "socket_timeout": _LEAVE_OUT,
    "sockettimeout": _LEAVE_OUT,
    "ssl": _TLS,
    "sslaccept": _TLS,
    "statement_cache_size": _LEAVE_OUT,
    "statement_timeout": "write options=-cstatement_timeout%3DMILLISECONDS",
    "targetservertype": "write target_session_attrs=read-write",
    "timeout": _TIMEOUT,
    "tls": _TLS,
}
_UNKNOWN = "use the names under `Parameter Key Words` in libpq's manual, or leave it out"


def read_postgresql_uri(uri: str) -> URL:
    """The URL; several hosts, and a socket that is named as a host, are in its query.

    Raises:
        StorageMisconfigured: it cannot be read, an option or its value is unknown, or it is not clear where the
            password ends. No part of a password is in the message.
    """
    parts = _PARTS.fullmatch(uri)
    # SQLAlchemy reads a single host as libpq does, unless libpq would have to unquote it.
    ours = parts["hosts"] if parts and not {",", "%"}.isdisjoint(parts["hosts"]) else ""
    url = _parsed(f"{parts['before']}{parts['after']}" if parts and ours else uri)
    if _is_ambiguous(uri):
        raise StorageMisconfigured(
            "the database URI has an unescaped @, / or ?: percent-encode those in user and password (%40, %2F, %3F)"
        )
    _check_options(url)
    asked = url.query.get("host")
    if ours:
        url = _with_hosts(url, [unquote(host) for host in ours.split(",")])
    elif isinstance(asked, str) and "," in asked:
        url = _with_hosts(url, asked.split(","))
    return _checked(url)


def is_libpq_option(name: str) -> bool:
    """Whether the installed libpq knows an option of this name."""
    if name == "dsn" or not _NAME.fullmatch(name):
        return False
    try:
        make_dsn(**{name: "0"})
    except (psycopg2.Error, TypeError):
        return False
    return True


def _parsed(uri: str) -> URL:
    try:
        return make_url(uri).set(drivername=_DRIVER)
    except (ArgumentError, ValueError):
        # Not `from error`: its text may repeat the URI with the password in it.
        raise StorageMisconfigured(f"the database URI cannot be read: {_EXAMPLE}") from None


def _is_ambiguous(uri: str) -> bool:
    """Whether a part of the password may have been read as something else, or an option as the password."""
    before_at, _, after_at = uri.partition("://")[2].partition("@")
    location, _, query = after_at.partition("?")
    return (
        (bool(after_at) and _has_option(before_at))
        or "@" in location
        or any("@" in option and not _has_option(f"?{option}") for option in query.split("&"))
        # Two passwords: the second one may be the end of the first.
        or (":" in before_at and any("@" in option and "password=" in option for option in query.split("&")))
    )


def _has_option(text: str) -> bool:
    _, mark, query = text.partition("?")
    return bool(mark) and any(is_libpq_option(option.partition("=")[0]) for option in query.split("&") if "=" in option)


def _check_options(url: URL) -> None:
    problems = [problem for name, value in url.query.items() for problem in _problems_of(name, value)]
    if problems:
        raise StorageMisconfigured("; ".join(problems))


def _problems_of(name: str, value: str | tuple[str, ...]) -> Iterator[str]:
    if not is_libpq_option(name):
        shown = f"the option {name}" if _NAME.fullmatch(name) else "an option"
        yield f"the database URI has {shown}, which PostgreSQL's library does not know: {_advice(name)}"
    elif not isinstance(value, str):
        if name not in _MANY:
            yield f"the database URI has the option {name} more than once: leave one of them"
    elif name in _NUMBERS and not value.isdecimal():
        yield f"the database URI has a {name} that is not a number: write one, such as {name}=10"
    elif name in _VALUES and value not in _VALUES[name]:
        meant = _MEANT.get(name, {}).get(value.casefold())
        use = f"write {name}={meant}" if meant else f"use one of {', '.join(_VALUES[name])}"
        yield f"the database URI has a {name} that PostgreSQL's library does not know: {use}"
    elif name == "sslrootcert" and value != "system" and not Path(value).is_file():
        yield f"the database URI has an sslrootcert that is not a file: {value}; name the file of the certificates"


def _advice(name: str) -> str:
    return _COPIED.get(name.casefold().replace("-", "_"), _UNKNOWN)


def _with_hosts(url: URL, hosts: Sequence[str]) -> URL:
    """The URL with these hosts, each with its port, in its query."""
    found = [_HOST.fullmatch(host) for host in hosts]
    if not all(found):
        raise StorageMisconfigured(f"the database URI has a host or a port that cannot be read: {_HOSTS}")
    names = [host["name"].strip("[]") for host in found if host]
    ports = [host["port"] or "" for host in found if host]
    asked = url.query.get("port")
    if isinstance(asked, str):
        ports = asked.split(",")
    # As libpq, which uses a single port for all hosts.
    ports = ports * len(names) if len(ports) == 1 else ports
    if len(ports) != len(names):
        raise StorageMisconfigured(
            f"the database URI names {len(names)} hosts, but {len(ports)} ports: name one port for each: {_HOSTS}"
        )
    located = {"host": ",".join(names), **({"port": ",".join(ports)} if any(ports) else {})}
    return url.difference_update_query(_MANY).update_query_dict(located)


def _checked(url: URL) -> URL:
    try:
        url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError):
        raise StorageMisconfigured(f"the database URI has a host or a port that cannot be read: {_HOSTS}") from None
    return url
