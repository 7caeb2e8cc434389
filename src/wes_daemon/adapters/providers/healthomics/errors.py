"""Classification of the SDK's exceptions and of AWS error responses, and their translation into the port's errors.

Exceptions are looked up by class name: older SDKs lack some of the classes, and this module imports nothing of the SDK.
An exception that is in none of the tables is a bug and passes unchanged.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Any

from wes_daemon.application.ports.errors import (
    AnswerLost,
    Misconfigured,
    NotNow,
    OutcomeUnknown,
    ProviderError,
    Rejected,
    Throttled,
    Unavailable,
)


class ErrorKind(Enum):
    """What an error says about the effect of the call."""

    NOTHING_SENT = auto()
    """Nothing was sent, because the service cannot be reached."""
    THROTTLED = auto()
    """The service refused the call because of its rate limit; the same call may succeed later."""
    QUOTA = auto()
    """A quota of the account is used up, and stays so for some minutes at least."""
    IN_DOUBT = auto()
    """The call may have been carried out."""
    FAILED = auto()
    """The call may have been carried out, and the service or the network has failed."""
    REFUSED = auto()
    """The request as it was sent can never succeed."""
    DENIED = auto()
    CREDENTIALS = auto()
    SETUP = auto()


# Sources: botocore.exceptions, and the places in botocore.httpsession that raise them.
EXCEPTIONS: Mapping[str, ErrorKind] = {
    "EndpointConnectionError": ErrorKind.NOTHING_SENT,
    "ConnectTimeoutError": ErrorKind.NOTHING_SENT,
    "ProxyConnectionError": ErrorKind.NOTHING_SENT,
    "ReadTimeoutError": ErrorKind.FAILED,
    "ConnectionClosedError": ErrorKind.FAILED,
    "HTTPClientError": ErrorKind.FAILED,
    "ResponseStreamingError": ErrorKind.FAILED,
    "IncompleteReadError": ErrorKind.FAILED,
    "ResponseParserError": ErrorKind.FAILED,
    "SSLError": ErrorKind.FAILED,
    "NoCredentialsError": ErrorKind.CREDENTIALS,
    "NoAuthTokenError": ErrorKind.CREDENTIALS,
    "PartialCredentialsError": ErrorKind.CREDENTIALS,
    "CredentialRetrievalError": ErrorKind.CREDENTIALS,
    "TokenRetrievalError": ErrorKind.CREDENTIALS,
    "MetadataRetrievalError": ErrorKind.CREDENTIALS,
    "UnknownCredentialError": ErrorKind.CREDENTIALS,
    "RefreshWithMFAUnsupportedError": ErrorKind.CREDENTIALS,
    "SSOError": ErrorKind.CREDENTIALS,
    "LoginError": ErrorKind.CREDENTIALS,
    "ProfileNotFound": ErrorKind.SETUP,
    "ConfigNotFound": ErrorKind.SETUP,
    "ConfigParseError": ErrorKind.SETUP,
    "InvalidConfigError": ErrorKind.SETUP,
    "InvalidProxiesConfigError": ErrorKind.SETUP,
    "MissingDependencyException": ErrorKind.SETUP,
    "BaseEndpointResolverError": ErrorKind.SETUP,
    "EndpointProviderError": ErrorKind.SETUP,
    "InvalidRegionError": ErrorKind.SETUP,
}

# Sources: the eight errors of every HealthOmics operation in botocore's model; AWS' common errors; S3's.
CODES: Mapping[str, ErrorKind] = {
    "ThrottlingException": ErrorKind.THROTTLED,
    "Throttling": ErrorKind.THROTTLED,
    "TooManyRequestsException": ErrorKind.THROTTLED,
    "RequestLimitExceeded": ErrorKind.THROTTLED,
    "SlowDown": ErrorKind.THROTTLED,
    "ServiceQuotaExceededException": ErrorKind.QUOTA,
    "InternalServerException": ErrorKind.FAILED,
    "RequestTimeoutException": ErrorKind.IN_DOUBT,
    "ConflictException": ErrorKind.IN_DOUBT,
    "ValidationException": ErrorKind.REFUSED,
    "ResourceNotFoundException": ErrorKind.REFUSED,
    "AccessDeniedException": ErrorKind.DENIED,
    "AccessDenied": ErrorKind.DENIED,
    "UnrecognizedClientException": ErrorKind.CREDENTIALS,
    "InvalidClientTokenId": ErrorKind.CREDENTIALS,
    "InvalidAccessKeyId": ErrorKind.CREDENTIALS,
    "InvalidSignatureException": ErrorKind.CREDENTIALS,
    "SignatureDoesNotMatch": ErrorKind.CREDENTIALS,
    "IncompleteSignatureException": ErrorKind.CREDENTIALS,
    "MissingAuthenticationTokenException": ErrorKind.CREDENTIALS,
    "MissingAuthenticationToken": ErrorKind.CREDENTIALS,
    "ExpiredTokenException": ErrorKind.CREDENTIALS,
    "ExpiredToken": ErrorKind.CREDENTIALS,
    "InvalidToken": ErrorKind.CREDENTIALS,
    "AuthFailure": ErrorKind.CREDENTIALS,
    "RequestExpired": ErrorKind.CREDENTIALS,
    "RequestTimeTooSkewed": ErrorKind.CREDENTIALS,
    "OptInRequired": ErrorKind.SETUP,
    "SubscriptionRequiredException": ErrorKind.SETUP,
    "UnknownOperationException": ErrorKind.SETUP,
}

# For responses without one of these codes, such as those of load balancers and proxies.
# A plain 404 comes from an address at which there is no HealthOmics.
HTTP_STATUSES: Mapping[int, ErrorKind] = {
    401: ErrorKind.DENIED,
    402: ErrorKind.QUOTA,
    403: ErrorKind.DENIED,
    404: ErrorKind.SETUP,
    407: ErrorKind.SETUP,
    408: ErrorKind.IN_DOUBT,
    429: ErrorKind.THROTTLED,
}

QUOTA_PAUSE = timedelta(minutes=1)
SEE_PERMISSIONS = "docs/providers/healthomics.md lists the required permissions"
_MAX_MESSAGE_LENGTH = 500
# A longer Retry-After is shortened to this.
_MAX_RETRY_AFTER = timedelta(minutes=15)


def error_kind(error: Exception) -> ErrorKind | None:
    """Return the kind that the tables give for an error; None for a bug."""
    if _is_response(error):
        status = _http_status(error)
        return (
            CODES.get(error_code(error)) or HTTP_STATUSES.get(status) or (ErrorKind.FAILED if status >= 500 else None)
        )
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ErrorKind.SETUP
    return next((EXCEPTIONS[cls.__name__] for cls in type(error).__mro__ if cls.__name__ in EXCEPTIONS), None)


def translate(
    error: Exception, operation: str, *, when_unknown: type[OutcomeUnknown] | type[NotNow], now: datetime
) -> ProviderError | None:
    """Return the port's error for an error of the SDK; None for a bug.

    Args:
        when_unknown: the error for an unknown outcome: `NotNow` for operations that only read, which can be repeated.
    """
    wait, message = retry_after(error, now), error_message(error)
    match error_kind(error):
        case None:
            return None
        case ErrorKind.NOTHING_SENT:
            return Unavailable(f"{operation} did not reach the service: {message}; check network, proxy and AWS_REGION")
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
        case ErrorKind.REFUSED:
            return Rejected(f"AWS HealthOmics refused {operation}: {message}")
        case ErrorKind.DENIED:
            return Misconfigured(f"AWS does not allow {operation}: {message}; {SEE_PERMISSIONS}")
        case ErrorKind.SETUP:
            return Misconfigured(f"AWS HealthOmics is not set up correctly: {operation}: {message}")
        case ErrorKind.CREDENTIALS:
            return _bad_credentials(error, operation)


def is_permanent_s3_refusal(error: Exception) -> bool:
    """Whether a repeated GetObject would get the same refusal, which concerns this object alone."""
    if type(error).__name__ == "ParamValidationError":
        return True
    refusing = (None, ErrorKind.REFUSED, ErrorKind.DENIED, ErrorKind.SETUP)
    return 300 <= _http_status(error) < 500 and error_kind(error) in refusing


def error_code(error: Exception) -> str:
    """Return the code in an error response; empty without a response."""
    return str(_response_part(error, "Error").get("Code") or "") if _is_response(error) else ""


def retry_after(error: Exception, now: datetime) -> timedelta | None:
    """Return the time of the Retry-After header, which holds seconds or a date; at most 15 minutes."""
    header = str(_response_part(error, "ResponseMetadata").get("HTTPHeaders", {}).get("retry-after", "")).strip()
    if not _is_response(error) or not header:
        return None
    try:
        wait = timedelta(seconds=float(header)) if not header[-1].isalpha() else parsedate_to_datetime(header) - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(wait, _MAX_RETRY_AFTER) if wait > timedelta(0) else None


def error_message(error: Exception) -> str:
    """Return the service's or the SDK's message, on one line and shortened."""
    message = str(_response_part(error, "Error").get("Message") or "") if _is_response(error) else str(error)
    text = " ".join(f"{error_code(error)} {message}".split())
    return text if len(text) <= _MAX_MESSAGE_LENGTH else f"{text[:_MAX_MESSAGE_LENGTH]}…"


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
