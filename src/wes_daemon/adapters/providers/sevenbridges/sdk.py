"""The SDK, tamed: no sleeping, no retries, no redirects, timeouts on every call, and no body in any log.

The only module that imports it; imported itself when the first call is made.
"""

import json
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from importlib.metadata import version

import requests
import sevenbridges
import sevenbridges.http.client
from sevenbridges.errors import SbgError, URITooLong
from urllib3 import Retry
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.errors import Failure, FailureKind
from wes_daemon.adapters.providers.sevenbridges.reading import as_object, as_text
from wes_daemon.application.ports.errors import Misconfigured

Inspect = Callable[[int, Mapping[str, str]], timedelta | None]
"""Hears status and headers of every answer; returns how long the service asks us to wait."""

_UNUSABLE = (
    ssl.SSLCertVerificationError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.TooManyRedirects,
)
_NOT_SENT = (NewConnectionError, ConnectTimeoutError, ProxyError)


class Sdk:
    """One `sevenbridges.Api` of one credential, shared by all threads.

    Only the low-level verbs are used: the resource classes keep the `Api` that was used last on the class.
    """

    def __init__(self, config: SevenBridgesConfig, inspect: Inspect) -> None:
        self._config = config
        self._inspect = inspect
        self._api = self._make_api()

    def request(
        self, verb: str, path: str, *, params: Mapping[str, object], body: object, acts: bool
    ) -> Mapping[str, object]:
        """Make one call and return the object that was answered; empty where there was no content.

        Raises:
            Failure: there was no answer, or another one.
        """
        try:
            response = getattr(self._api, verb)(path, params=dict(params), **({} if body is None else {"data": body}))
        except _Refusal as refusal:
            raise self._refused(refusal, acts) from None
        except URITooLong as error:
            raise Failure(FailureKind.REFUSED, str(error), acts=acts, status=414) from error
        except SbgError as error:
            raise self._not_answered(error, acts) from error
        except OSError as error:
            # What requests raises bare: the file that REQUESTS_CA_BUNDLE names cannot be read.
            raise Failure(FailureKind.UNUSABLE, self._without_token(str(error)), acts=acts) from error
        return {} if response is None else _parsed(response, acts)

    def close(self) -> None:
        """Give the connections back."""
        self._api.session.close()

    def _make_api(self) -> sevenbridges.Api:
        _keep_bodies_out_of_logs()
        timeouts = (self._config.connect_timeout.total_seconds(), self._config.read_timeout.total_seconds())
        try:
            api = sevenbridges.Api(
                url=self._config.endpoint,
                token=self._config.token,
                timeout=timeouts,
                max_parallel_requests=self._config.connections,
            )
        except SbgError as error:
            raise Misconfigured(f"SEVENBRIDGES_API_ENDPOINT: {self._without_token(str(error))}") from error
        # Takes the place of `maintenance_sleeper`, which sleeps for five minutes and then sends a POST again.
        api.error_handlers = [self._look_at]
        pool = requests.adapters.HTTPAdapter(max_retries=Retry(0), pool_maxsize=self._config.connections)
        api.session.mount("https://", pool)
        # requests would send the token's header along to whatever host it is redirected to, and a POST as a GET.
        api.session.max_redirects = 0
        api.headers["User-Agent"] = f"wes-daemon/{version('wes-daemon')} {api.headers['User-Agent']}"
        return api

    def _look_at(self, api: sevenbridges.Api, response: requests.Response) -> requests.Response:
        """As a handler of the SDK sees every answer.

        Raising here keeps the SDK from judging by the body alone, which may be a page of a load balancer.
        """
        del api
        asked = self._inspect(response.status_code, response.headers)
        if response.status_code not in range(200, 205):
            raise _Refusal(response.status_code, response.content, asked)
        return response

    def _refused(self, refusal: "_Refusal", acts: bool) -> Failure:
        body = as_object(_json(refusal.body))
        code = body.get("code")
        return Failure(
            FailureKind.REFUSED,
            self._without_token(as_text(body.get("message"))) or "answered with an error",
            acts=acts,
            status=refusal.status,
            code=code if isinstance(code, int) and not isinstance(code, bool) else None,
            retry_after=refusal.asked,
        )

    def _not_answered(self, error: SbgError, acts: bool) -> Failure:
        """The SDK wraps every error of requests in a bare one; the original is its context."""
        causes = list(_causes(error.__context__))
        if any(isinstance(cause, _UNUSABLE) for cause in causes):
            kind, hint = FailureKind.UNUSABLE, ": check SEVENBRIDGES_API_ENDPOINT and REQUESTS_CA_BUNDLE"
        elif any(isinstance(cause, _NOT_SENT) for cause in causes):
            kind, hint = FailureKind.NOT_SENT, ""
        else:
            kind, hint = FailureKind.NO_ANSWER, ""
        return Failure(kind, f"{self._without_token(str(error))}{hint}", acts=acts)

    def _without_token(self, text: str) -> str:
        return text.replace(self._config.token, "[token]")


class _Refusal(Exception):
    """An answer that is no success, on its way through the SDK."""

    def __init__(self, status: int, body: bytes, asked: timedelta | None) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body
        self.asked = asked


def _parsed(response: requests.Response, acts: bool) -> Mapping[str, object]:
    found = _json(response.content)
    if not isinstance(found, Mapping):
        what = "the answer is no JSON object; is SEVENBRIDGES_API_ENDPOINT the address of the API?"
        raise Failure(FailureKind.NO_ANSWER, what, acts=acts)
    return found


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _causes(error: object) -> Iterator[object]:
    """An error of requests and what it was made of: urllib3 hides the reason in attributes and arguments."""
    if isinstance(error, BaseException):
        yield error
        yield from _causes(getattr(error, "reason", None))
        for argument in error.args:
            yield from _causes(argument)


def _keep_bodies_out_of_logs() -> None:
    """The SDK logs each request with its whole body at DEBUG."""
    logging.getLogger(sevenbridges.http.client.__name__).addFilter(_is_above_debug)


def _is_above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
