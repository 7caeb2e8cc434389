"""How connections to the service are made, and what is wrong with the proxy."""

import os
import re
from collections.abc import Iterable
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

import requests
from requests.utils import prepend_scheme_if_needed
from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    ProxyError,
)
from urllib3.util import parse_url

from wes_daemon.adapters.http_connections import NoConnection, proxy_for

_PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")

# Source: `http.client.HTTPConnection._tunnel`, which puts a proxy's status into the text of a plain OSError.
_REFUSED_TUNNEL = re.compile(r"Tunnel connection failed: (4\d\d)\b")
# A proxy that answers these may let the next request pass.
_TRANSIENT_REFUSALS = ("408", "429")
_PROXY_UNUSABLE = (
    LocationValueError,
    UnicodeError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
)


def unusable_proxy(url: str, causes: Iterable[object]) -> str | None:
    """Return what is wrong with the proxy for `url` if a person has to correct it; None otherwise.

    Args:
        url: the address of the service.
        causes: the error of the HTTP library and its causes.
    """
    variable = proxy_variable(url)
    if variable is None:
        return None
    for cause in causes:
        if isinstance(cause, _PROXY_UNUSABLE) and (problem := unreadable_proxy(url)):
            return problem
        refusal = _REFUSED_TUNNEL.match(str(cause)) if isinstance(cause, OSError) else None
        if refusal and refusal[1] not in _TRANSIENT_REFUSALS:
            return (
                f"the proxy of {variable} refuses the connection with HTTP {refusal[1]}: "
                "check its user and password, and that it permits the host"
            )
    return None


def unreadable_proxy(url: str) -> str | None:
    """Return what is wrong with the address of the proxy for `url`; None if nothing is, or if there is no proxy."""
    variable = proxy_variable(url)
    if variable is None or _is_http_address(os.environ[variable]):
        return None
    return f"{variable} names a proxy that cannot be used: write http://host:port"


def proxy_failure(url: str, causes: Iterable[object]) -> str:
    """Return which variable's proxy failed, for the end of a message; empty if no proxy did."""
    variable = proxy_variable(url)
    if variable is None or not any(_is_through_proxy(cause) for cause in causes):
        return ""
    return f" (through the proxy of {variable})"


def proxy_variable(url: str) -> str | None:
    """Return the environment variable that names the proxy for `url`, if one does."""
    proxy = proxy_for(url)
    return next((name for name in _PROXY_VARIABLES if proxy and os.environ.get(name) == proxy), None)


def _is_through_proxy(cause: object) -> bool:
    return isinstance(cause, ProxyError) or (isinstance(cause, NoConnection) and cause.is_through_proxy)


def _is_http_address(proxy: str) -> bool:
    try:
        # requests reads the address with both libraries, of which each accepts what the other refuses.
        urlsplit(proxy)
        address = parse_url(prepend_scheme_if_needed(proxy, "http"))
        # As the libraries encode the login and the host.
        unquote(address.auth or "").encode("latin-1")
        (address.host or "").encode("idna")
    except ValueError:
        # Also the base class of the errors of urllib3 and of the encodings.
        return False
    return address.scheme in ("http", "https") and bool(address.host)


class _MarkingConnection(HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except ConnectTimeoutError:
            # Raised before a request only, as by a host that does not exist or does not answer.
            raise
        except (OSError, HTTPError) as error:
            raise NoConnection(str(error), error, is_through_proxy=self.proxy is not None) from error


class _MarkingPool(HTTPSConnectionPool):
    ConnectionCls = _MarkingConnection


POOLS = MappingProxyType({"https": _MarkingPool})
"""Classes of connection pools by scheme; their connections raise `NoConnection` if they fail before the request."""
