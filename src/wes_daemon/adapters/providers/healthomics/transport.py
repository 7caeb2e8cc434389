"""The CA bundle and the proxy that the SDK uses, checked before a request is sent.

botocore reads the CA bundle at each connection and the proxy at each request. It raises for an unusable one an error
that it also raises for a connection that broke after the request was sent.
"""

import os
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from wes_daemon.application.ports.errors import Misconfigured

_CA_BUNDLE = "AWS_CA_BUNDLE"
_REQUESTS_CA_BUNDLE = "REQUESTS_CA_BUNDLE"
_PROXY_SCHEMES = ("", "http", "https")


def check_ca_bundle(session: Any) -> None:
    """Load the CA bundle that botocore will load.

    Args:
        session: a session of botocore.

    Raises:
        Misconfigured: the file is missing or holds no certificate; the message names the setting and the file.
    """
    setting, path = _ca_bundle(session)
    if path is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise Misconfigured(
            f"{setting}: {path} holds no certificate in PEM form; nothing was sent. Name a PEM file"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path of a file"
        raise Misconfigured(
            f"{setting}: {path!r} cannot be read: {reason}; nothing was sent. Name a PEM file, or unset the variable"
        ) from None


def is_address(endpoint: str) -> bool:
    """Whether an endpoint has a host, and a port that is a number: botocore finds out only when it signs a request."""
    try:
        parts = urlsplit(endpoint)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def check_proxy(endpoint: str) -> None:
    """Parse the proxy that botocore will use for this endpoint.

    Raises:
        Misconfigured: the proxy's address cannot be used. The message names its variable, and does not repeat the
            address, which may contain a password.
    """
    from botocore.httpsession import ProxyConfiguration
    from botocore.utils import get_environ_proxies
    from urllib3 import proxy_from_url
    from urllib3.exceptions import HTTPError

    scheme = urlsplit(endpoint).scheme
    given = get_environ_proxies(endpoint).get(scheme)
    if not given:
        return
    if _scheme_of(given) not in _PROXY_SCHEMES:
        raise _unusable_proxy(scheme, "the scheme is neither http nor https")
    configuration = ProxyConfiguration(proxies={scheme: given})
    try:
        url = str(configuration.proxy_url_for(endpoint))
        configuration.proxy_headers_for(url)
        proxy = proxy_from_url(url).proxy
    except (ValueError, HTTPError, AssertionError) as error:
        # Without the error's text, which can repeat the password.
        raise _unusable_proxy(scheme, f"it is not an address ({type(error).__name__})") from None
    if proxy is None or not proxy.host:
        raise _unusable_proxy(scheme, "it has no host")


def proxy_variables(*schemes: str) -> str:
    """Return the names of the variables that name a proxy now; of all schemes if none is given."""
    return ", ".join(_set_proxy_variables(schemes or ("https", "http"))) or "the proxy of this machine"


def _unusable_proxy(scheme: str, reason: str) -> Misconfigured:
    return Misconfigured(
        f"{proxy_variables(scheme)}: the proxy cannot be used: {reason}; nothing was sent. "
        "The form is http://host:port, with user and password in ASCII"
    )


def _set_proxy_variables(schemes: tuple[str, ...]) -> Iterator[str]:
    for scheme in schemes:
        # In lower case the variable has precedence.
        names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
        yield from [name for name in names if os.environ.get(name)][:1]


def _ca_bundle(session: Any) -> tuple[str, str | None]:
    """Return setting and path, in botocore's order: the variable, the profile, the variable of requests."""
    if path := session.get_config_variable("ca_bundle"):
        is_variable = os.environ.get(_CA_BUNDLE) == path
        return (_CA_BUNDLE if is_variable else f"ca_bundle of profile {session.profile or 'default'!r}"), path
    return _REQUESTS_CA_BUNDLE, os.environ.get(_REQUESTS_CA_BUNDLE) or None


def _scheme_of(address: str) -> str:
    scheme, separator, _ = address.partition("://")
    return scheme.lower() if separator else ""
