"""Translation of the SDK's exceptions and of AWS error responses into the port's errors.

An exception that is in none of the tables is a bug and passes unchanged. Codes, statuses and classes decide, and never
a text that can contain a value of a run.
"""

import re
import ssl
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from wes_daemon.adapters.providers.healthomics.error_tables import CODES, EXCEPTIONS, HTTP_STATUSES, ErrorKind
from wes_daemon.adapters.providers.healthomics.transport import proxy_variables
from wes_daemon.adapters.retry_after import retry_at
from wes_daemon.application.ports.errors import (
    AmbiguousRefusal,
    AnswerLost,
    Misconfigured,
    NotNow,
    OutcomeUnknown,
    ProviderError,
    Rejected,
    Throttled,
    Unavailable,
)

START_RUN = "StartRun"
QUOTA_PAUSE = timedelta(minutes=1)
SEE_PERMISSIONS = "docs/providers/healthomics.md lists the required permissions"
_MAX_MESSAGE_LENGTH = 500
# A longer Retry-After is shortened to this.
_MAX_RETRY_AFTER = timedelta(minutes=15)
# OpenSSL's parts that read certificates; the errors of a connection come from others.
_CERTIFICATE_LIBRARIES = ("X509", "PEM")
# Source: http.client. The proxy itself refuses the daemon.
_PROXY_DENIAL = re.compile(r"Tunnel connection failed: (401|403|407)\b", re.ASCII)
# What urllib3 raises, behind its `ProxyError`, before a connection through a proxy exists; of `http.client` see above.
_OF_CONNECTING = frozenset({"NewConnectionError", "ConnectTimeoutError", "SSLError"})
_REFUSED_TUNNEL = re.compile(r"Tunnel connection failed: ")
# User and password in the address of an endpoint.
_LOGIN = re.compile(r"//[^/\s\"']*@")
# Source: botocore.validate, whose messages repeat values behind this.
_INVALID_PARAMETER = re.compile(
    r"^(?:Missing required parameter in|Unknown parameter in|Invalid \w+ for(?: document)? parameter) [^,:\n]{1,100}",
    re.MULTILINE,
)


def sdk_errors() -> tuple[type[Exception], ...]:
    """Return the SDK's exception classes; called in an `except` clause, so that boto3 is imported only on an error."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    return BotoCoreError, ClientError, ResponseParserError


def error_kind(error: Exception) -> ErrorKind | None:
    """Return the kind that the tables give for an error; None for a bug."""
    if _is_response(error):
        status = _http_status(error)
        return CODES.get(error_code(error)) or HTTP_STATUSES.get(status) or _kind_of_other_status(status)
    if _is_wrong_setup(error):
        return ErrorKind.SETUP
    if _is_broken_at_proxy(error):
        return ErrorKind.FAILED
    names = (cls.__name__ for cls in type(error).__mro__ if cls.__module__.startswith("botocore."))
    return next((EXCEPTIONS[name] for name in names if name in EXCEPTIONS), None)


def translate(
    error: Exception, operation: str, *, when_unknown: type[OutcomeUnknown] | type[NotNow], now: datetime
) -> ProviderError | None:
    """Return the port's error for an error of the SDK; None for a bug.

    Args:
        when_unknown: the error for an unknown outcome: `NotNow` for operations that only read, which can be repeated.
    """
    wait, message = retry_after(error, now), error_message(error)
    match kind := error_kind(error):
        case None:
            return None
        case ErrorKind.NOTHING_SENT:
            return Unavailable(f"{operation} did not reach the service: {message}; {_check_what(error)}")
        case ErrorKind.THROTTLED:
            return Throttled(f"{operation} was throttled: {message}", retry_after=wait)
        case ErrorKind.QUOTA:
            wait = max(wait or QUOTA_PAUSE, QUOTA_PAUSE)
            return Throttled(f"{operation} is over a quota of the account: {message}", retry_after=wait)
        case ErrorKind.IN_DOUBT:
            text = f"{operation} got no certain answer: {message}"
            return OutcomeUnknown(text) if when_unknown is OutcomeUnknown else NotNow(text, retry_after=wait)
        case ErrorKind.FAILED:
            text = f"{operation} got no certain answer: {message}"
            return AnswerLost(text) if when_unknown is OutcomeUnknown else Unavailable(text, retry_after=wait)
        case ErrorKind.REFUSED if when_unknown is NotNow:
            # What is only read proves nothing about the run.
            return NotNow(f"{operation} was refused: {message}", retry_after=wait)
        case ErrorKind.REFUSED:
            return Rejected(f"AWS HealthOmics refused {operation}: {message}")
        case ErrorKind.DENIED | ErrorKind.UNCLEAR:
            return _unclear_refusal(operation, message, kind)
        case ErrorKind.SETUP:
            return Misconfigured(
                f"AWS HealthOmics is not set up correctly: {operation}: {message}{_setup_advice(error)}"
            )
        case ErrorKind.CREDENTIALS:
            return _bad_credentials(error, operation)


def is_permanent_s3_refusal(error: Exception) -> bool:
    """Whether a repeated GetObject would get the same refusal, which concerns this object alone."""
    kind = error_kind(error)
    if not _is_response(error):
        return kind is ErrorKind.REFUSED
    refusing = (None, ErrorKind.REFUSED, ErrorKind.DENIED, ErrorKind.UNCLEAR, ErrorKind.SETUP)
    return 300 <= _http_status(error) < 500 and kind in refusing


def may_show_secrets(error: Exception) -> bool:
    """Whether the error's own text may contain a signed header, a password or a value of the request."""
    is_value = type(error).__name__ == "ParamValidationError" or isinstance(_cause(error), ValueError)
    has_login = not _is_response(error) and _LOGIN.search(str(error)) is not None
    return is_value or has_login or error_kind(error) is ErrorKind.CREDENTIALS


def error_code(error: Exception) -> str:
    """Return the code in an error response; empty without a response."""
    return str(_response_part(error, "Error").get("Code") or "") if _is_response(error) else ""


def retry_after(error: Exception, now: datetime) -> timedelta | None:
    """Return the time of the Retry-After header, which holds seconds or a date; at most 15 minutes."""
    if not _is_response(error):
        return None
    at = retry_at(_response_part(error, "ResponseMetadata").get("HTTPHeaders", {}).get("retry-after"), now)
    return min(at - now, _MAX_RETRY_AFTER) if at and at > now else None


def error_message(error: Exception) -> str:
    """Return the service's or the SDK's message, on one line and shortened."""
    text = " ".join(f"{error_code(error)} {service_message(error)}".split())
    return text if len(text) <= _MAX_MESSAGE_LENGTH else f"{text[:_MAX_MESSAGE_LENGTH]}…"


def service_message(error: Exception) -> str:
    """Return the text in an error response, or the SDK's text without secrets and values."""
    if _is_response(error):
        return str(_response_part(error, "Error").get("Message") or "")
    if type(error).__name__ == "ParamValidationError":
        return "; ".join(_INVALID_PARAMETER.findall(str(error))) or "a value cannot be sent"
    if isinstance(_cause(error), ValueError):
        return f"{type(error).__name__} ({type(_cause(error)).__name__})"
    if _is_broken_at_proxy(error):
        return f"the connection through the proxy in {proxy_variables()} ended before an answer"
    return _LOGIN.sub("//***@", str(error))


def without_values(error: Exception, values: Collection[str]) -> Exception:
    """Return the error without these values in the service's message; the same error if it contains none of them."""
    text = service_message(error)
    if not any(value in text for value in values):
        return error
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return error
    for value in values:
        text = text.replace(value, "***")
    response = {**error.response, "Error": {**error.response["Error"], "Message": text}}
    public: Exception = ClientError(response, error.operation_name)
    return public


def _kind_of_other_status(status: int) -> ErrorKind | None:
    if status >= 500:
        return ErrorKind.FAILED
    return ErrorKind.UNCLEAR if 400 <= status < 500 else None


def _unclear_refusal(operation: str, message: str, kind: ErrorKind) -> ProviderError:
    """A refused StartRun may concern its run alone; the other operations send no value of a run but its id."""
    is_denial = kind is ErrorKind.DENIED
    text = f"AWS does not allow {operation}" if is_denial else f"AWS or a proxy refused {operation}"
    advice = f"; {SEE_PERMISSIONS}" if is_denial else ""
    return (AmbiguousRefusal if operation == START_RUN else Misconfigured)(f"{text}: {message}{advice}")


def _is_wrong_setup(error: Exception) -> bool:
    """Whether the connection failed before the request was sent, because of this machine's certificates or proxy."""
    cause = _cause(error)
    match type(error).__name__:
        case "SSLError":
            if isinstance(cause, ssl.SSLError):
                is_certificate = isinstance(cause, ssl.SSLCertVerificationError)
                return is_certificate or getattr(cause, "library", None) in _CERTIFICATE_LIBRARIES
            # urllib3 raises its own SSLError for a CA bundle that cannot be read.
            return isinstance(cause, OSError)
        case "ProxyConnectionError":
            return any(_PROXY_DENIAL.match(str(part)) for part in getattr(cause, "args", ()))
        case "HTTPClientError":
            # A proxy's address that cannot be parsed, and its user or password that cannot be encoded.
            names = {cls.__name__ for cls in type(cause).__mro__}
            return bool(names & {"LocationValueError", "UnicodeEncodeError"})
    return False


def _is_broken_at_proxy(error: Exception) -> bool:
    """Whether a connection through a proxy ended, so that the request may have been sent.

    The SDK says in both cases that it failed to connect to the proxy: urllib3 forgets that there was a connection.
    """
    if type(error).__name__ != "ProxyConnectionError":
        return False
    original = getattr(_cause(error), "original_error", None)
    is_of_connecting = not _OF_CONNECTING.isdisjoint(cls.__name__ for cls in type(original).__mro__)
    return not (is_of_connecting or _REFUSED_TUNNEL.match(str(original)))


def _cause(error: Exception) -> object:
    """Return the error of urllib3, of OpenSSL or of Python that an error of the SDK was raised for."""
    kwargs = getattr(error, "kwargs", None)
    cause = kwargs.get("error") if isinstance(kwargs, Mapping) else None
    args = getattr(cause, "args", ())
    is_wrapped = type(cause).__module__ == "urllib3.exceptions" and type(cause).__name__ == "SSLError"
    return args[0] if is_wrapped and args else cause


def _check_what(error: Exception) -> str:
    if type(error).__name__ == "ProxyConnectionError":
        return f"check the proxy in {proxy_variables()}"
    return "check network, proxy and AWS_REGION"


def _setup_advice(error: Exception) -> str:
    match type(error).__name__:
        case "SSLError":
            return "; AWS_CA_BUNDLE or REQUESTS_CA_BUNDLE names a PEM file with the certificates to trust"
        case "ProxyConnectionError":
            return f"; correct the proxy in {proxy_variables()}"
        case "HTTPClientError":
            return f"; correct the address of the endpoint in AWS_ENDPOINT_URL, or of the proxy in {proxy_variables()}"
    return f"; correct the proxy in {proxy_variables()}" if _http_status(error) == 407 else ""


def _bad_credentials(error: Exception, operation: str) -> ProviderError:
    """Quote the code only: the services' messages about a wrong signature repeat the signed headers."""
    return Misconfigured(
        f"{operation}: AWS does not accept the credentials ({error_code(error) or type(error).__name__}): renew "
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile or role in their place; "
        "if they are right, set this machine's clock"
    )


def _response_part(error: Exception, part: str) -> Mapping[str, Any]:
    response = getattr(error, "response", None)
    return response.get(part) or {} if isinstance(response, Mapping) else {}


def _is_response(error: Exception) -> bool:
    """Whether the error is an error response of an AWS service."""
    return hasattr(error, "response") and hasattr(error, "operation_name")


def _http_status(error: Exception) -> int:
    """Return the status of an error response; 0 without a response."""
    return int(_response_part(error, "ResponseMetadata").get("HTTPStatusCode") or 0) if _is_response(error) else 0
