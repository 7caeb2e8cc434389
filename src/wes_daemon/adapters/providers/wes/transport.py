"""HTTP with one credential: no redirects, no retries, limited answers, and a proof whether a request was sent.

This is the only module of the package that imports `requests`. It is imported when the first call is made.
"""

import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.utils import prepend_scheme_if_needed
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ClosedPoolError,
    ConnectTimeoutError,
    EmptyPoolError,
    HTTPError,
    LocationValueError,
    NewConnectionError,
)

from wes_daemon.adapters.http_connections import (
    Adapter,
    NoConnection,
    causes_of,
    is_raised_before_sending,
    proxy_for,
    unusable_certificates,
    without_proxy_secrets,
)
from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.adapters.providers.wes.errors import Failure, FailureKind

MAX_BODY = 64 * 1024 * 1024
"""Bytes of the longest answer that is read. Some servers put whole logs into an answer."""

_READ_SIZE = 65536
# As urllib3 begins the messages of its connections.
_CONNECTION = re.compile(r"^\w+\(host=[^)]*\): ")
_NOT_FOLLOWED = 300

_UNUSABLE = (
    ssl.SSLCertVerificationError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidProxyURL,
    LocationValueError,
)
_NOT_SENT = (NoConnection, ConnectTimeoutError, NewConnectionError, ClosedPoolError, EmptyPoolError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of the server, whatever its status is.

    Attributes:
        headers: by name in any case.
        is_complete: whether `body` is the whole body; False if only its end was read.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    is_complete: bool = True

    @property
    def is_success(self) -> bool:
        """Whether the request was carried out."""
        return 200 <= self.status < _NOT_FOLLOWED


class Transport:
    """Sends requests with one credential. Safe to use from several threads.

    Args:
        monotonic: the process's monotonic clock.
    """

    def __init__(self, config: WesConfig, monotonic: Callable[[], timedelta]) -> None:
        self._config = config
        self._monotonic = monotonic
        self._session = self._make_session()

    def get(self, url: str, params: Mapping[str, object] | None = None) -> Answer:
        """Read.

        Raises:
            Failure: there is no answer.
        """
        return self._exchange(self._session, "GET", url, is_write=False, params=dict(params or {}))

    def get_end(self, url: str, limit: int, *, only_end: bool) -> Answer:
        """Read the last `limit` bytes of a text.

        Args:
            only_end: ask the server for no more than that; it may send the whole text all the same.
        """
        headers = {"Accept": "text/plain, */*", **({"Range": f"bytes=-{limit}"} if only_end else {})}
        return self._exchange(self._session, "GET", url, is_write=False, keep=limit, headers=headers)

    def post(self, url: str, *, headers: Mapping[str, str], parts: Sequence[tuple[str, Any]] = ()) -> Answer:
        """Change something at the server.

        It is sent over a connection of its own: the server may close a connection that was kept open just while it is
        used again, and then nothing shows whether the request arrived.

        Args:
            parts: of a multipart form, as requests takes them; none for a request without a body.
        """
        with self._make_session() as session:
            return self._exchange(session, "POST", url, is_write=True, headers=dict(headers), files=list(parts) or None)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _exchange(
        self,
        session: requests.Session,
        method: str,
        url: str,
        *,
        is_write: bool,
        keep: int | None = None,
        **parts: Any,
    ) -> Answer:
        if problem := unusable_proxy(url):
            raise Failure(FailureKind.UNUSABLE, f"cannot be called: {problem}", is_write=is_write)
        timeouts = (self._config.connect_timeout.total_seconds(), self._config.read_timeout.total_seconds())
        try:
            with session.request(
                method, url, timeout=timeouts, allow_redirects=False, stream=True, **parts
            ) as response:
                body, is_complete = self._body(response, is_write, keep=keep)
                return Answer(status=response.status_code, headers=response.headers, body=body, is_complete=is_complete)
        except (OSError, HTTPError, UnicodeError) as error:
            # Before it sends anything, requests raises a plain OSError if the file that REQUESTS_CA_BUNDLE names does
            # not exist, and a UnicodeError for a proxy's login.
            raise self._unanswered(error, is_write) from None

    def _body(self, response: requests.Response, is_write: bool, *, keep: int | None) -> tuple[bytes, bool]:
        """As `_read`; a refusal that is cut off is one all the same."""
        try:
            return self._read(response, is_write, keep=keep)
        except (OSError, HTTPError):
            if not 400 <= response.status_code < 500:
                raise
            return b"", False

    def _read(self, response: requests.Response, is_write: bool, *, keep: int | None) -> tuple[bytes, bool]:
        """Return the body, or its last `keep` bytes, and whether that is all of it."""
        ends_at = self._monotonic() + 2 * self._config.read_timeout
        body, length = bytearray(), 0
        for part in response.iter_content(_READ_SIZE):
            body += part
            length += len(part)
            if length > MAX_BODY:
                raise Failure(FailureKind.NO_ANSWER, f"sent more than {MAX_BODY >> 20} MiB", is_write=is_write)
            if self._monotonic() > ends_at:
                raise Failure(FailureKind.NO_ANSWER, "took too long to send its answer", is_write=is_write)
            if keep is not None and len(body) > 2 * keep:
                del body[:-keep]
        if keep is None or len(body) <= keep:
            return bytes(body), length == len(body)
        return bytes(body[-keep:]), False

    def _make_session(self) -> requests.Session:
        session = requests.Session()
        session.headers["User-Agent"] = f"wes-daemon/{version('wes-daemon')}"
        session.headers["Accept"] = "application/json"
        # Without an `auth`, requests takes a login from the user's .netrc, also in place of a token.
        session.auth = _Authorization(self._config.authorization)
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            session.mount(scheme, Adapter(connections=self._config.connections, pools=_POOLS))
        return session

    def _unanswered(self, error: BaseException, is_write: bool) -> Failure:
        """Return the failure for a call without an answer; `error` is the one of the HTTP library.

        It is not chained: it may quote the user and the password of a proxy.
        """
        causes = list(causes_of(error))
        is_unsent = is_raised_before_sending(error) or any(isinstance(cause, _NOT_SENT) for cause in causes)
        if is_unsent and (problem := unusable_certificates()):
            return Failure(FailureKind.UNUSABLE, f"cannot be called: {problem}", is_write=is_write)
        reason = self._public(
            next((str(each.args[0]) for each in causes if isinstance(each, NoConnection)), str(error))
        )
        if is_raised_before_sending(error) or any(isinstance(cause, _UNUSABLE) for cause in causes):
            text = f"cannot be called: {reason}: check WES_ENDPOINT, REQUESTS_CA_BUNDLE and the proxy"
            return Failure(FailureKind.UNUSABLE, text, is_write=is_write)
        if is_unsent:
            host = urlsplit(self._config.base_url).netloc
            return Failure(FailureKind.NOT_SENT, f"cannot be reached at {host}: {reason}", is_write=is_write)
        return Failure(FailureKind.NO_ANSWER, f"gave no answer: {reason}", is_write=is_write)

    def _public(self, text: str) -> str:
        for secret in self._config.secrets:
            text = text.replace(secret, "***")
        return without_proxy_secrets(self._config.base_url, text)[:500]


def unusable_proxy(url: str) -> str | None:
    """Return what is wrong with the address of the proxy for `url`; None if nothing is, or if there is no proxy."""
    proxy = proxy_for(url)
    if proxy is None:
        return None
    try:
        parts = urlsplit(prepend_scheme_if_needed(proxy, "http"))
        is_usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        unquote(parts.netloc.rpartition("@")[0]).encode("latin-1")
    except (ValueError, TypeError):
        # requests itself fails with a TypeError for an address without a host.
        is_usable = False
    if is_usable:
        return None
    return "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names a proxy that cannot be used: write http://host:port"


class _Authorization(requests.auth.AuthBase):
    def __init__(self, value: str | None) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request


class _MarkingConnection(HTTPConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except (OSError, HTTPError) as error:
            raise NoConnection(_reason(error), error) from error


class _MarkingTlsConnection(HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except (OSError, HTTPError) as error:
            raise NoConnection(_reason(error), error) from error


class _MarkingPool(HTTPConnectionPool):
    ConnectionCls = _MarkingConnection


class _MarkingTlsPool(HTTPSConnectionPool):
    ConnectionCls = _MarkingTlsConnection


_POOLS = MappingProxyType({"http": _MarkingPool, "https": _MarkingTlsPool})


def _reason(error: Exception) -> str:
    """Return urllib3's message without the class of the connection."""
    return _CONNECTION.sub("", str(error))
