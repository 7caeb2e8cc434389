"""Settings for one WES server and one credential."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

from wes_daemon.application.ports.errors import Misconfigured

DEFAULT_PATH = "/ga4gh/wes/v1"
"""The path that the WES specification proposes; it is added to an endpoint without a path."""

_VISIBLE = re.compile(r"[\x21-\x7e]+")
# Addresses of single resources, which people copy from a browser.
_RESOURCES = ("/service-info", "/runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class WesConfig:
    """One endpoint, one credential, and the limits of calls and searches.

    Attributes:
        endpoint: the server's address, such as `https://host` or `https://host/ga4gh/wes/v1`; http as well.
        name: the name under which the provider serves runs.
        token: sent as `Authorization: Bearer`; empty for none.
        user, password: sent as `Authorization: Basic`; empty for none.
        read_secret: reads the token, or the user's password, again from where it is kept; None if it cannot change
            while the process runs. It raises `Misconfigured` if the secret cannot be read.
        connect_timeout, read_timeout: of each call. A call whose answer takes more than twice `read_timeout` in all is
            ended as well.
        connections: the number of connections that are kept open for later calls.
        honours_key: whether the server is known to start one run for each `Idempotency-Key`, however often it is sent.
        settling_time: how long a run that was submitted may be missing from the server's list: because its request is
            still under way, or because the list is updated late.
        search_pages, search_calls: how many pages of the list, and how many single runs, one search reads at most.
        clock_margin: how much the server's times may differ from this machine's; some servers give their local time.
    """

    endpoint: str
    name: str = "wes"
    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    read_secret: Callable[[], str] | None = field(default=None, repr=False, compare=False)
    connect_timeout: timedelta = timedelta(seconds=5)
    read_timeout: timedelta = timedelta(seconds=30)
    connections: int = 32
    honours_key: bool = False
    settling_time: timedelta = timedelta(minutes=10)
    search_pages: int = 20
    search_calls: int = 200
    clock_margin: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        _base_url(self.endpoint)
        self._check_credential()

    @property
    def base_url(self) -> str:
        """The address before `/runs` and `/service-info`, without a slash at its end."""
        return _base_url(self.endpoint)

    @property
    def authorization(self) -> str | None:
        """The value of the header `Authorization`; None without a credential."""
        if self.token:
            return f"Bearer {self.token}"
        if not self.user:
            return None
        login = base64.b64encode(f"{self.user}:{self.password}".encode())
        return f"Basic {login.decode()}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must stand in no message."""
        header = (self.authorization or "").partition(" ")[2]
        return tuple(text for text in (self.token, self.password, header) if text)

    def with_secret(self, secret: str) -> "WesConfig":
        """Return the same settings with another password, if there is a user, or with another token."""
        return replace(self, password=secret) if self.user else replace(self, token=secret)

    def is_same_server(self, url: str) -> bool:
        """Whether the credential may be sent to this address."""
        try:
            own, other = _origin(urlsplit(self.base_url)), _origin(urlsplit(url))
        except ValueError:
            return False
        return own == other

    def _check_credential(self) -> None:
        if self.token and self.user:
            raise Misconfigured("WES_TOKEN and WES_USER are both given: give the one that the server takes")
        if self.password and not self.user:
            raise Misconfigured("WES_PASSWORD is given without WES_USER: give both, or neither")
        # The HTTP library's error about a header that cannot be sent quotes the header in full.
        if self.token and not _VISIBLE.fullmatch(self.token):
            raise Misconfigured(
                "WES_TOKEN contains blanks or characters that no token contains: give the token alone, without 'Bearer'"
            )
        if ":" in self.user:
            raise Misconfigured("WES_USER contains a colon, which Basic authentication cannot send")


def _base_url(endpoint: str) -> str:
    parts = _parts(endpoint.strip())
    path = parts.path.rstrip("/") or DEFAULT_PATH
    for resource in _RESOURCES:
        if path.endswith(resource):
            raise Misconfigured(f"WES_ENDPOINT ends with {resource}: give the address before it")
    return f"{parts.scheme.lower()}://{parts.netloc}{path}"


def _parts(endpoint: str) -> SplitResult:
    """Return the parts of a usable endpoint. No message quotes the endpoint, which may contain a password."""
    advice = "write https://host or https://host/ga4gh/wes/v1"
    if not _VISIBLE.fullmatch(endpoint):
        raise Misconfigured(f"WES_ENDPOINT is empty, or contains blanks or characters that no address has: {advice}")
    try:
        parts = urlsplit(endpoint)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise Misconfigured(f"WES_ENDPOINT is not an address with a valid host and port: {advice}") from None
    if parts.scheme.lower() not in ("http", "https") or not has_host:
        raise Misconfigured(f"WES_ENDPOINT is not an address that begins with https:// or http://: {advice}")
    if "@" in parts.netloc:
        raise Misconfigured("WES_ENDPOINT contains a user or a password: give them as WES_USER and WES_PASSWORD")
    if parts.query or parts.fragment:
        raise Misconfigured(f"WES_ENDPOINT contains a query or a fragment: {advice}")
    return parts


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    scheme = parts.scheme.lower()
    default = {"http": 80, "https": 443}.get(scheme)
    if "@" in parts.netloc:
        # A login in an address replaces the credential of the settings.
        return scheme, "", None
    return scheme, (parts.hostname or "").lower(), parts.port or default
