"""The ways in which a call to the service fails, and the tables that translate each failure for the core.

Inside this package a failed call raises `Failure`. The provider's methods translate it once, at the port.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum

from wes_daemon.application.ports.errors import (
    AnswerLost,
    Misconfigured,
    NotNow,
    OutcomeUnknown,
    ProviderError,
    Rejected,
    Throttled,
    Unavailable,
    in_doubt,
)


class FailureKind(StrEnum):
    """How far a failed call got."""

    REFUSED = "refused"
    """The service answered with an error."""

    NOT_SENT = "not sent"
    """Nothing reached the service."""

    NO_ANSWER = "no answer"
    """The call may have been carried out: no answer came, or it cannot be read."""

    UNUSABLE = "unusable"
    """No call can be made until a person corrects the certificates or the address."""


class Failure(Exception):
    """A call to the service failed.

    Attributes:
        is_write: whether the call would have changed something at the service.
        status: the HTTP status of the answer, if there was one.
        code: the service's own number for the error, if it gave one.
        retry_after: how long the service asked the caller to wait.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        is_write: bool,
        status: int | None = None,
        code: int | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.is_write = is_write
        self.status = status
        self.code = code
        self.retry_after = retry_after

    @property
    def is_unprocessed(self) -> bool:
        """Whether the service certainly neither examined the request nor did anything."""
        return self.kind in (FailureKind.NOT_SENT, FailureKind.UNUSABLE) or self.status in (401, 429)

    @property
    def is_transient(self) -> bool:
        """Whether the same call may succeed later without any intervention."""
        return isinstance(provider_error(self), NotNow | OutcomeUnknown)

    @property
    def is_permanent_refusal(self) -> bool:
        """Whether the service understood the request and will refuse every repetition of it."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in (401, 408, 429)

    def __str__(self) -> str:
        numbers = [
            f"{name} {value}" for name, value in (("HTTP", self.status), ("code", self.code)) if value is not None
        ]
        return f"Seven Bridges: {self.message}" + (f" ({', '.join(numbers)})" if numbers else "")


TASK_NOT_FOUND = 7002
TASK_FORBIDDEN = 7001
NO_TASK_ID = 7005
NO_DRAFT = 7010
FILE_NOT_FOUND = 5002
FILE_EXISTS = 5003

PROJECT_CODES = frozenset({3001, 3002})
"""Project forbidden, project not found: an error of the run that names it, or else of the settings."""

_UNAVAILABLE = (0, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 90005)
# The cloud that holds a volume does not answer.
_CLOUD_UNAVAILABLE = (9000, 9100)
_TOO_MANY = 1000
_STATE_HAS_CHANGED = (7007, 7008, NO_DRAFT, 7011, 7026, 90007)
_BAD_REQUEST = (
    *(3001, 3002, 5001, 5002, 5003, 6001, 6002, 6003, 6011),
    *(7002, 7005, 7006, 7012, 7015, 7016, 7018, 7019, 7020, 7021, 7022, 7023, 7024),
    *(9001, 9007, 9026, 9101, 9103, 9104, 9105, 9107, 9108),
    90000,
)
_NEEDS_A_PERSON = (7001, 90001, 90002, 90003)
# Method not allowed, media type, undecodable body: this package sent a malformed request.
_BUGS = frozenset({90006, 90008, 90009})

# Source: the vendor's table of API codes (sevenbridges-r, R/api-http.R) and the documentation of API status codes.
# The HTTP status of most codes is not documented, so a code takes precedence over the status.
CODES: Mapping[int, type[ProviderError]] = {
    **dict.fromkeys(_UNAVAILABLE, Unavailable),
    **dict.fromkeys(_CLOUD_UNAVAILABLE, NotNow),
    _TOO_MANY: Throttled,
    **dict.fromkeys(_STATE_HAS_CHANGED, OutcomeUnknown),
    **dict.fromkeys(_BAD_REQUEST, Rejected),
    **dict.fromkeys(_NEEDS_A_PERSON, Misconfigured),
}

# 404 without a code from the table is not about a task or a file: the endpoint is wrong.
STATUSES: Mapping[int, type[ProviderError]] = {
    400: Rejected,
    401: Misconfigured,
    403: Misconfigured,
    404: Misconfigured,
    408: OutcomeUnknown,
    409: OutcomeUnknown,
    413: Rejected,
    414: Rejected,
    422: Rejected,
    429: Throttled,
    **dict.fromkeys(range(500, 600), AnswerLost),
}

_KINDS: Mapping[FailureKind, type[ProviderError]] = {
    FailureKind.NOT_SENT: Unavailable,
    FailureKind.NO_ANSWER: AnswerLost,
    FailureKind.UNUSABLE: Misconfigured,
}

# A read can be repeated, so its outcome is never in doubt.
_FOR_READS: Mapping[type[ProviderError], type[ProviderError]] = {OutcomeUnknown: NotNow, AnswerLost: Unavailable}

# These statuses take precedence over the code: the token is not known, or there are too many calls.
_STATUS_BEFORE_CODE = (401, 429)

_HINTS: Mapping[int, str] = {
    401: "check SEVENBRIDGES_API_TOKEN, and that it is a token of SEVENBRIDGES_API_ENDPOINT's platform",
    403: "give the token's owner the permissions to read, write and execute in the project",
    404: "check SEVENBRIDGES_API_ENDPOINT, which ends with /v2",
}


def provider_error(failure: Failure) -> ProviderError | Failure:
    """Return the port's error for the failure, or the failure itself if it is in no table, which is a bug."""
    kind = _KINDS.get(failure.kind) or _refusal_kind(failure)
    if kind is None:
        return failure
    if not failure.is_write:
        kind = _FOR_READS.get(kind, kind)
    if issubclass(kind, NotNow):
        return kind(str(failure), retry_after=failure.retry_after)
    hint = _HINTS.get(failure.status or 0) if kind is Misconfigured else None
    return kind(f"{failure}: {hint}" if hint else str(failure))


def outcome_unknown(evidence: str, error: Failure | ProviderError) -> OutcomeUnknown:
    """Return the port's error for a call that may have had an effect, if `error` prevented the check for it."""
    return in_doubt(evidence, provider_error(error) if isinstance(error, Failure) else error)


@contextmanager
def translated() -> Iterator[None]:
    """Raise the port's error for each `Failure`."""
    try:
        yield
    except Failure as failure:
        error = provider_error(failure)
        if isinstance(error, Failure):
            raise
        raise error from failure


@contextmanager
def translated_unless_rejected() -> Iterator[None]:
    """Raise the port's error for each `Failure`, for operations that cannot be rejected: a rejection is a bug."""
    try:
        yield
    except Failure as failure:
        error = provider_error(failure)
        if isinstance(error, Failure | Rejected):
            raise
        raise error from failure


def _refusal_kind(failure: Failure) -> type[ProviderError] | None:
    if failure.status in _STATUS_BEFORE_CODE:
        return STATUSES[failure.status]
    if failure.code in _BUGS:
        return None
    return CODES.get(failure.code if failure.code is not None else -1) or STATUSES.get(failure.status or 0)
