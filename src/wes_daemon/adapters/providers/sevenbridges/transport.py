"""How connections to the service are made: certificates, proxies, and what is wrong with either.

A failure before a connection exists proves that no request was sent. The HTTP library reports some failures of a TLS
handshake in the same way as failures after the request, so each connection marks its own: see `NoConnection`.
"""

import os
import re
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy
from urllib3 import HTTPSConnectionPool, ProxyManager, Retry
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    ProtocolError,
    ProxyError,
)
from urllib3.util import parse_url

from wes_daemon.domain.addresses import without_secrets_of

# In the order in which requests reads them.
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
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


class NoConnection(ProtocolError):
    """No connection was made, so no request was sent; `args` holds a message and the original error.

    urllib3's `ProxyError` proves nothing: it is also raised if a connection through a proxy ends after the request.
    """

    def __init__(self, message: str, error: Exception, *, is_through_proxy: bool = False) -> None:
        super().__init__(message, error)
        self.is_through_proxy = is_through_proxy


class Adapter(requests.adapters.HTTPAdapter):
    """Makes connections that raise `NoConnection` if they fail before the request; never retries."""

    def __init__(self, *, connections: int) -> None:
        super().__init__(max_retries=Retry(0), pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _use_marking_connections(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        # The manager for SOCKS proxies has connections of its own.
        if type(manager) is ProxyManager:
            _use_marking_connections(manager)
        return manager


def unusable_certificates() -> str | None:
    """Return what is wrong with the file of certificate authorities that the environment names; None if nothing is."""
    variable, path = next(((name, os.environ[name]) for name in _CA_VARIABLES if os.environ.get(name)), (None, ""))
    if variable is None or Path(path).is_dir():
        return None
    try:
        ssl.create_default_context(cafile=path)
    except FileNotFoundError:
        problem = "does not exist"
    except ssl.SSLError:
        problem = "contains no certificate in PEM form"
    except OSError as error:
        problem = f"cannot be read ({type(error).__name__})"
    else:
        return None
    return f"{variable} names the file {path}, which {problem}: name a file of certificate authorities in PEM form"


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
    proxy = _proxy(url)
    return next((name for name in _PROXY_VARIABLES if proxy and os.environ.get(name) == proxy), None)


def without_proxy_secrets(url: str, text: str) -> str:
    """Return the text with user and password of the proxy for `url` hidden."""
    proxy = _proxy(url)
    return without_secrets_of(proxy, text) if proxy else text


def _is_through_proxy(cause: object) -> bool:
    return isinstance(cause, ProxyError) or (isinstance(cause, NoConnection) and cause.is_through_proxy)


def _proxy(url: str) -> str | None:
    return select_proxy(url, get_environ_proxies(url))


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


def _use_marking_connections(manager: Any) -> None:
    manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": _MarkingPool}
