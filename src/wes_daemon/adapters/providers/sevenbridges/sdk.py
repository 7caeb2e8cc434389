"""The SDK without its sleeping, retries and redirects, with timeouts on every call, and with no body in any log.

This is the only module that imports `sevenbridges`. It is imported when the first call is made.
"""

import json
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from importlib.metadata import version

import requests
import sevenbridges
import sevenbridges.http.client
from sevenbridges.errors import SbgError, URITooLong
from urllib3.exceptions import (
    ClosedPoolError,
    ConnectTimeoutError,
    EmptyPoolError,
    HTTPError,
    LocationValueError,
)

from wes_daemon.adapters.http_connections import (
    Adapter,
    NoConnection,
    causes_of,
    is_raised_before_sending,
    unusable_certificates,
    without_proxy_secrets,
)
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.errors import Failure, FailureKind
from wes_daemon.adapters.providers.sevenbridges.transport import POOLS, proxy_failure, unreadable_proxy, unusable_proxy
from wes_daemon.application.ports.errors import Misconfigured

OnAnswer = Callable[[int, Mapping[str, str]], timedelta | None]
"""Receives status and headers of every answer; returns how long the service asked the caller to wait."""

_UNUSABLE = (
    ssl.SSLCertVerificationError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.TooManyRedirects,
    LocationValueError,
)
_NOT_SENT = (ConnectTimeoutError, NoConnection, ClosedPoolError, EmptyPoolError)


class Sdk:
    """One `sevenbridges.Api` with one credential, shared by all threads.

    Only the low-level verbs are used: the SDK's resource classes store the last used `Api` as a class attribute.
    """

    def __init__(self, config: SevenBridgesConfig, on_answer: OnAnswer) -> None:
        self._config = config
        self._on_answer = on_answer
        self._api = self._make_api()

    def request(
        self, verb: str, path: str, *, params: Mapping[str, object], body: object, is_write: bool
    ) -> Mapping[str, object]:
        """Make one call and return the answered object; an empty one if the answer has no content.

        Raises:
            Failure: the service answered with an error, with something other than a JSON object, or not at all.
        """
        try:
            response = getattr(self._api, verb)(path, params=dict(params), **({} if body is None else {"data": body}))
        except _ErrorAnswer as answer:
            raise self._refused(answer, is_write) from None
        except URITooLong as error:
            raise Failure(FailureKind.REFUSED, str(error), is_write=is_write, status=414) from error
        except SbgError as error:
            # The SDK wraps every error of requests in an `SbgError`, whose context is the original error.
            raise self._unanswered(error.__context__ or error, is_write) from None
        except (OSError, HTTPError, UnicodeError) as error:
            # Before it sends anything, requests raises a plain OSError if the file that REQUESTS_CA_BUNDLE names does
            # not exist, and a UnicodeError for a proxy's login. It passes some errors of urllib3 on.
            raise self._unanswered(error, is_write) from None
        except ValueError:
            # Before it sends anything, requests raises a plain ValueError, which quotes a proxy's address.
            if (problem := unreadable_proxy(self._config.endpoint)) is None:
                raise
            raise Failure(FailureKind.UNUSABLE, problem, is_write=is_write) from None
        return {} if response is None else _parse(response, is_write)

    def close(self) -> None:
        """Close the connections."""
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
        # Replaces `maintenance_sleeper`, which sleeps for five minutes and then repeats the request, also a POST.
        api.error_handlers = [self._handle_answer]
        api.session.mount("https://", Adapter(connections=self._config.connections, pools=POOLS))
        # requests would send the token's header to the host that it is redirected to, and a POST as a GET.
        api.session.max_redirects = 0
        api.headers["User-Agent"] = f"wes-daemon/{version('wes-daemon')} {api.headers['User-Agent']}"
        return api

    def _handle_answer(self, api: sevenbridges.Api, response: requests.Response) -> requests.Response:
        """Report an answer, and raise `_ErrorAnswer` if it is an error. The SDK passes every answer to its handlers.

        The SDK itself would decide by the body alone, which may be a page of a load balancer.
        """
        del api
        retry_after = self._on_answer(response.status_code, response.headers)
        if response.status_code not in range(200, 205):
            raise _ErrorAnswer(response.status_code, body=response.content, retry_after=retry_after)
        return response

    def _refused(self, answer: "_ErrorAnswer", is_write: bool) -> Failure:
        fields = _json(answer.body)
        fields = fields if isinstance(fields, Mapping) else {}
        code, message = _code_and_message(fields)
        return Failure(
            FailureKind.REFUSED,
            self._without_token(message) or "answered with an error",
            is_write=is_write,
            status=answer.status,
            code=code,
            retry_after=answer.retry_after,
            answer=fields,
        )

    def _unanswered(self, error: BaseException, is_write: bool) -> Failure:
        """Return the failure for a call without an answer; `error` is the one of the HTTP library.

        It is not chained: it may quote the user and the password of a proxy.
        """
        causes = list(causes_of(error))
        message = self._public(
            next((str(each.args[0]) for each in causes if isinstance(each, NoConnection)), str(error))
        )
        if problem := unusable_proxy(self._config.endpoint, causes) or self._certificate_problem(causes):
            return Failure(FailureKind.UNUSABLE, problem, is_write=is_write)
        if is_raised_before_sending(error) or any(isinstance(cause, _UNUSABLE) for cause in causes):
            hint = "check SEVENBRIDGES_API_ENDPOINT and REQUESTS_CA_BUNDLE"
            return Failure(FailureKind.UNUSABLE, f"{message}: {hint}", is_write=is_write)
        is_unsent = any(isinstance(cause, _NOT_SENT) for cause in causes)
        kind = FailureKind.NOT_SENT if is_unsent else FailureKind.NO_ANSWER
        return Failure(kind, message + proxy_failure(self._config.endpoint, causes), is_write=is_write)

    def _certificate_problem(self, causes: Sequence[object]) -> str | None:
        """Return what is wrong with the certificate authorities, if they prevented the connection."""
        is_unsent = is_raised_before_sending(causes[0]) or any(isinstance(each, NoConnection) for each in causes)
        return unusable_certificates() if is_unsent else None

    def _public(self, text: str) -> str:
        return without_proxy_secrets(self._config.endpoint, self._without_token(text))

    def _without_token(self, text: str) -> str:
        return text.replace(self._config.token, "[token]")


class _ErrorAnswer(Exception):
    """Carries an error answer through the SDK."""

    def __init__(self, status: int, *, body: bytes, retry_after: timedelta | None) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body
        self.retry_after = retry_after


def _parse(response: requests.Response, is_write: bool) -> Mapping[str, object]:
    answer = _json(response.content)
    if not isinstance(answer, Mapping):
        message = "the answer is not a JSON object: check that SEVENBRIDGES_API_ENDPOINT is the address of the API"
        raise Failure(FailureKind.NO_ANSWER, message, is_write=is_write)
    return answer


def _code_and_message(answer: Mapping[str, object]) -> tuple[int | None, str]:
    """Read the service's number for an error, and its message; None and "" if the answer has none."""
    code, message = answer.get("code"), answer.get("message")
    return (
        code if isinstance(code, int) and not isinstance(code, bool) else None,
        message if isinstance(message, str) else "",
    )


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _keep_bodies_out_of_logs() -> None:
    """Drop the DEBUG records of the SDK, which contain the whole body of each request."""
    logging.getLogger(sevenbridges.http.client.__name__).addFilter(_is_above_debug)


def _is_above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
