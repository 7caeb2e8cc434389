"""How `requests` connects to a service: proof that no request was sent, certificate authorities and proxies.

A failure before a connection exists proves that no request was sent. The HTTP library reports some failures of a TLS
handshake in the same way as failures after the request, so each provider's connections mark their own with
`NoConnection`.
"""

import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import requests
from requests.utils import get_environ_proxies, select_proxy
from urllib3 import HTTPConnectionPool, ProxyManager, Retry
from urllib3.exceptions import ProtocolError

from wes_daemon.domain.addresses import without_secrets_of

# In the order in which requests reads them.
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class NoConnection(ProtocolError):
    """No connection was made, so no request was sent; `args` holds a message and the original error.

    urllib3's `ProxyError` proves nothing: it is also raised if a connection through a proxy ends after the request.
    """

    def __init__(self, message: str, error: Exception, *, is_through_proxy: bool = False) -> None:
        super().__init__(message, error)
        self.is_through_proxy = is_through_proxy


class Adapter(requests.adapters.HTTPAdapter):
    """Makes connections from the given pools; never retries.

    Args:
        connections: that are kept open to one host.
        pools: by scheme; their connections raise `NoConnection` if they fail before the request.
    """

    def __init__(self, *, connections: int, pools: Mapping[str, type[HTTPConnectionPool]]) -> None:
        # HTTPAdapter's constructor makes the first manager.
        self._pools = pools
        super().__init__(max_retries=Retry(0), pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._use_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        # The manager for SOCKS proxies has connections of its own.
        if type(manager) is ProxyManager:
            self._use_pools(manager)
        return manager

    def _use_pools(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, **self._pools}


def causes_of(error: object) -> Iterator[object]:
    """Yield an error of requests and its causes: urllib3 keeps a cause in the attribute `reason` or in `args`."""
    if isinstance(error, BaseException):
        yield error
        yield from causes_of(getattr(error, "reason", None))
        for argument in error.args:
            yield from causes_of(argument)


def is_raised_before_sending(error: object) -> bool:
    """Whether the error is from the preparation of a request: requests wraps the errors that follow."""
    return isinstance(error, OSError | UnicodeError) and not isinstance(error, requests.RequestException)


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


def proxy_for(url: str) -> str | None:
    """Return the address of the proxy that the environment names for `url`; None if there is none."""
    return select_proxy(url, get_environ_proxies(url))


def without_proxy_secrets(url: str, text: str) -> str:
    """Return the text with user and password of the proxy for `url` hidden."""
    proxy = proxy_for(url)
    return without_secrets_of(proxy, text) if proxy else text
