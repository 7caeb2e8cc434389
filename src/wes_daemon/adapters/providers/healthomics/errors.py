"""What the SDK's exceptions and the services' refusals mean for a call.

Exceptions are looked up by the names of their classes: older SDKs lack some of them, and nothing is imported here.
What is in none of the tables is a bug and passes unchanged.
"""

from collections.abc import Callable, Mapping
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


class Meaning(Enum):
    """What may be concluded."""

    NOTHING_SENT = auto()
    """Certainly nothing happened: the service is out of reach."""
    THROTTLED = auto()
    """The service turned the call away; later it may not."""
    QUOTA = auto()
    """The account is full; it takes minutes at least until there is room."""
    DOUBT = auto()
    """Perhaps it happened."""
    FAILED = auto()
    """Perhaps it happened, and the service or the way to it has broken down."""
    REFUSED = auto()
    """It will never happen as it was asked for."""
    DENIED = auto()
    CREDENTIALS = auto()
    SETUP = auto()


# Sources: botocore.exceptions; what botocore.httpsession raises each of them for.
EXCEPTIONS: Mapping[str, Meaning] = {
    "EndpointConnectionError": Meaning.NOTHING_SENT,
    "ConnectTimeoutError": Meaning.NOTHING_SENT,
    "ProxyConnectionError": Meaning.NOTHING_SENT,
    "ReadTimeoutError": Meaning.FAILED,
    "ConnectionClosedError": Meaning.FAILED,
    "HTTPClientError": Meaning.FAILED,
    "ResponseStreamingError": Meaning.FAILED,
    "IncompleteReadError": Meaning.FAILED,
    "ResponseParserError": Meaning.FAILED,
    "SSLError": Meaning.FAILED,
    "NoCredentialsError": Meaning.CREDENTIALS,
    "NoAuthTokenError": Meaning.CREDENTIALS,
    "PartialCredentialsError": Meaning.CREDENTIALS,
    "CredentialRetrievalError": Meaning.CREDENTIALS,
    "TokenRetrievalError": Meaning.CREDENTIALS,
    "MetadataRetrievalError": Meaning.CREDENTIALS,
    "UnknownCredentialError": Meaning.CREDENTIALS,
    "RefreshWithMFAUnsupportedError": Meaning.CREDENTIALS,
    "SSOError": Meaning.CREDENTIALS,
    "LoginError": Meaning.CREDENTIALS,
    "ProfileNotFound": Meaning.SETUP,
    "ConfigNotFound": Meaning.SETUP,
    "ConfigParseError": Meaning.SETUP,
    "InvalidConfigError": Meaning.SETUP,
    "InvalidProxiesConfigError": Meaning.SETUP,
    "MissingDependencyException": Meaning.SETUP,
    "BaseEndpointResolverError": Meaning.SETUP,
    "EndpointProviderError": Meaning.SETUP,
    "InvalidRegionError": Meaning.SETUP,
}

# Sources: the eight errors of every HealthOmics operation in botocore's model; AWS' common errors; S3's.
CODES: Mapping[str, Meaning] = {
    "ThrottlingException": Meaning.THROTTLED,
    "Throttling": Meaning.THROTTLED,
    "TooManyRequestsException": Meaning.THROTTLED,
    "RequestLimitExceeded": Meaning.THROTTLED,
    "SlowDown": Meaning.THROTTLED,
    "ServiceQuotaExceededException": Meaning.QUOTA,
    "InternalServerException": Meaning.FAILED,
    "RequestTimeoutException": Meaning.DOUBT,
    "ConflictException": Meaning.DOUBT,
    "ValidationException": Meaning.REFUSED,
    "ResourceNotFoundException": Meaning.REFUSED,
    "AccessDeniedException": Meaning.DENIED,
    "AccessDenied": Meaning.DENIED,
    "UnrecognizedClientException": Meaning.CREDENTIALS,
    "InvalidClientTokenId": Meaning.CREDENTIALS,
    "InvalidAccessKeyId": Meaning.CREDENTIALS,
    "InvalidSignatureException": Meaning.CREDENTIALS,
    "SignatureDoesNotMatch": Meaning.CREDENTIALS,
    "IncompleteSignatureException": Meaning.CREDENTIALS,
    "MissingAuthenticationTokenException": Meaning.CREDENTIALS,
    "MissingAuthenticationToken": Meaning.CREDENTIALS,
    "ExpiredTokenException": Meaning.CREDENTIALS,
    "ExpiredToken": Meaning.CREDENTIALS,
    "InvalidToken": Meaning.CREDENTIALS,
    "AuthFailure": Meaning.CREDENTIALS,
    "RequestExpired": Meaning.CREDENTIALS,
    "RequestTimeTooSkewed": Meaning.CREDENTIALS,
    "OptInRequired": Meaning.SETUP,
    "SubscriptionRequiredException": Meaning.SETUP,
    "UnknownOperationException": Meaning.SETUP,
}

# For answers without a code of ours: those of balancers and proxies. A plain 404 is an address without a HealthOmics.
HTTP_STATUSES: Mapping[int, Meaning] = {
    401: Meaning.DENIED,
    402: Meaning.QUOTA,
    403: Meaning.DENIED,
    404: Meaning.SETUP,
    407: Meaning.SETUP,
    408: Meaning.DOUBT,
    429: Meaning.THROTTLED,
}

QUOTA_PAUSE = timedelta(minutes=1)
SEE_PERMISSIONS = "docs/providers/healthomics.md lists the permissions that are needed"
_LONGEST_QUOTE = 500
# Whoever names a longer one is asked again all the same.
_LONGEST_WAIT = timedelta(minutes=15)


def meaning(error: Exception) -> Meaning | None:
    """What the tables say; None for a bug."""
    if is_answer(error):
        status = http_status(error)
        return CODES.get(code(error)) or HTTP_STATUSES.get(status) or (Meaning.FAILED if status >= 500 else None)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Meaning.SETUP
    return next((EXCEPTIONS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in EXCEPTIONS), None)


def translated(
    error: Exception, operation: str, *, doubt: type[OutcomeUnknown] | type[NotNow], now: datetime
) -> ProviderError | None:
    """The port's error for an SDK's; None for a bug.

    Args:
        doubt: what "perhaps it happened" means for this operation: a question can simply be asked again.
    """
    found = meaning(error)
    wait, words = asked_wait(error, now), f"{operation} got no certain answer: {quoted(error)}"
    if found is Meaning.DOUBT:
        return OutcomeUnknown(words) if doubt is OutcomeUnknown else NotNow(words, retry_after=wait)
    if found is Meaning.FAILED:
        return AnswerLost(words) if doubt is OutcomeUnknown else Unavailable(words, retry_after=wait)
    return _EXPLANATIONS[found](error, operation, wait) if found else None


def _not_sent(error: Exception, operation: str, _: timedelta | None) -> ProviderError:
    return Unavailable(f"{operation} did not reach the service: {quoted(error)}; check network, proxy and AWS_REGION")


def _throttled(error: Exception, operation: str, wait: timedelta | None) -> ProviderError:
    return Throttled(f"{operation} was throttled: {quoted(error)}", retry_after=wait)


def _over_quota(error: Exception, operation: str, wait: timedelta | None) -> ProviderError:
    wait = max(wait or QUOTA_PAUSE, QUOTA_PAUSE)
    return Throttled(f"{operation} is over a quota of the account: {quoted(error)}", retry_after=wait)


def _refused(error: Exception, operation: str, _: timedelta | None) -> ProviderError:
    return Rejected(f"AWS HealthOmics refused {operation}: {quoted(error)}")


def _denied(error: Exception, operation: str, _: timedelta | None) -> ProviderError:
    return Misconfigured(f"AWS does not allow {operation}: {quoted(error)}; {SEE_PERMISSIONS}")


def _set_up_wrongly(error: Exception, operation: str, _: timedelta | None) -> ProviderError:
    return Misconfigured(f"AWS HealthOmics cannot be used as it is set up: {operation}: {quoted(error)}")


def _bad_credentials(error: Exception, operation: str, _: timedelta | None) -> ProviderError:
    """Only the error's name is told: what the services say of a wrong signature repeats the signed headers."""
    return Misconfigured(
        f"{operation}: AWS does not accept the credentials ({code(error) or type(error).__name__}): renew "
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile or role in their place; "
        "if they are right, set this machine's clock"
    )


def is_final(error: Exception) -> bool:
    """For a question to S3: whether asking again would get the same refusal, which is about this object alone."""
    if type(error).__name__ == "ParamValidationError":
        return True
    refusing = (None, Meaning.REFUSED, Meaning.DENIED, Meaning.SETUP)
    return 300 <= http_status(error) < 500 and meaning(error) in refusing


def is_answer(error: Exception) -> bool:
    """Whether a service has answered with an error."""
    return hasattr(error, "response") and hasattr(error, "operation_name")


def code(error: Exception) -> str:
    """The name of the error that a service answered with; empty where there was no answer."""
    return str(_of(error, "Error").get("Code") or "") if is_answer(error) else ""


def http_status(error: Exception) -> int:
    """The answer's status, 0 without an answer."""
    return int(_of(error, "ResponseMetadata").get("HTTPStatusCode") or 0) if is_answer(error) else 0


def asked_wait(error: Exception, now: datetime) -> timedelta | None:
    """How long the service asks us to wait, by a header that may hold seconds or a date."""
    asked = str(_of(error, "ResponseMetadata").get("HTTPHeaders", {}).get("retry-after", "")).strip()
    if not is_answer(error) or not asked:
        return None
    try:
        wait = timedelta(seconds=float(asked)) if not asked[-1].isalpha() else parsedate_to_datetime(asked) - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(wait, _LONGEST_WAIT) if wait > timedelta(0) else None


def quoted(error: Exception) -> str:
    """The error in the service's or the SDK's own words, on one line and not too long."""
    words = str(_of(error, "Error").get("Message") or "") if is_answer(error) else str(error)
    text = " ".join(f"{code(error)} {words}".split())
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


def _of(error: Exception, part: str) -> Mapping[str, Any]:
    found = getattr(error, "response", None)
    return found.get(part) or {} if isinstance(found, Mapping) else {}


_EXPLANATIONS: Mapping[Meaning, Callable[[Exception, str, timedelta | None], ProviderError]] = {
    Meaning.NOTHING_SENT: _not_sent,
    Meaning.THROTTLED: _throttled,
    Meaning.QUOTA: _over_quota,
    Meaning.REFUSED: _refused,
    Meaning.DENIED: _denied,
    Meaning.CREDENTIALS: _bad_credentials,
    Meaning.SETUP: _set_up_wrongly,
}
