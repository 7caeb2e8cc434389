"""The ways in which a call to the service fails, and the tables that translate each failure for the core.

Inside this package a failed call raises `Failure`. The provider's methods translate it once, at the port.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

from wes_daemon.adapters.providers.sevenbridges.codes import CODES, PROJECT_CODES, Verdict, advice
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
    """No call can be made until a person corrects the certificates, the proxy or the address."""


class Failure(Exception):
    """A call to the service failed.

    Attributes:
        is_write: whether the call would have changed something at the service.
        status: the HTTP status of the answer, if there was one.
        code: the service's own number for the error, if it gave one.
        retry_after: how long the service asked the caller to wait.
        answer: the answer's JSON object; empty if there is none.
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
        answer: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.is_write = is_write
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.answer = answer

    def with_note(self, note: str) -> "Failure":
        """Return the same failure with a note at the end of its message."""
        return Failure(
            self.kind,
            f"{self.message}; {note}",
            is_write=self.is_write,
            status=self.status,
            code=self.code,
            retry_after=self.retry_after,
            answer=self.answer,
        )

    @property
    def is_unprocessed(self) -> bool:
        """Whether the service certainly neither examined the request nor did anything."""
        return self.kind in (FailureKind.NOT_SENT, FailureKind.UNUSABLE) or self.status in (401, 429)

    @property
    def is_transient(self) -> bool:
        """Whether the same call may succeed later without any intervention."""
        return isinstance(provider_error(self), NotNow | OutcomeUnknown)

    @property
    def is_about_access(self) -> bool:
        """Whether the service refuses access to something, or does not find it."""
        return self.code in PROJECT_CODES or self.status in (403, 404)

    @property
    def is_permanent_refusal(self) -> bool:
        """Whether the service understood the request and will refuse every repetition of it."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in (401, 408, 429)

    def __str__(self) -> str:
        numbers = [
            f"{name} {value}" for name, value in (("HTTP", self.status), ("code", self.code)) if value is not None
        ]
        return f"Seven Bridges: {self.message}" + (f" ({', '.join(numbers)})" if numbers else "")


# By the code's verdict. Most codes say whose fault the refusal is, whatever its HTTP status.
_VERDICTS: Mapping[Verdict, type[ProviderError] | None] = {
    Verdict.UNAVAILABLE: Unavailable,
    Verdict.CLOUD: NotNow,
    Verdict.TOO_MANY: Throttled,
    Verdict.FAILED: AnswerLost,
    Verdict.STATE: OutcomeUnknown,
    Verdict.RUN: Rejected,
    Verdict.PROJECT: Rejected,
    Verdict.SETTINGS: Misconfigured,
    Verdict.UNCLEAR: AmbiguousRefusal,
    Verdict.PACKAGE: None,
}

# For answers without a code. A refusal without one does not say whose fault it is: a 403 may come from a missing
# permission of the token's owner, a 404 from a wrong endpoint, a 405 from a proxy, and all from a thing that the run
# names.
STATUSES: Mapping[int, type[ProviderError]] = {
    **dict.fromkeys(range(400, 500), AmbiguousRefusal),
    400: Rejected,
    401: Misconfigured,
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

# With a code, also one that this version does not know, these statuses refuse the run.
_REFUSED_BY_CODE = (400, 402, 403, 404, 410, 413, 414, 422, 423)

# These statuses take precedence over the code: the token is not known, or there are too many calls.
_STATUS_BEFORE_CODE = (401, 429)

_HINTS: Mapping[int, str] = {
    401: "check SEVENBRIDGES_API_TOKEN, and that it is a token of SEVENBRIDGES_API_ENDPOINT's platform",
    403: "give the token's owner the permissions to read, write and execute in the project, "
    "and check what the run names",
    404: "check SEVENBRIDGES_API_ENDPOINT, which ends with /v2, and what the run names",
}
_OTHER_HINT = "check SEVENBRIDGES_API_ENDPOINT, and what the run names"
_PROJECT_HINT = "check SEVENBRIDGES_PROJECT, and that the token's owner is a member of the project"


def provider_error(failure: Failure) -> ProviderError | Failure:
    """Return the port's error for the failure, or the failure itself if it is in no table, which is a bug."""
    kind = _KINDS.get(failure.kind) or _refusal_kind(failure)
    if kind is None:
        return failure
    if not failure.is_write:
        kind = _FOR_READS.get(kind, kind)
    if issubclass(kind, NotNow):
        return kind(str(failure), retry_after=failure.retry_after)
    hint = _hint(kind, failure)
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
    """Raise the port's error for each `Failure`, for operations that cannot be rejected.

    A refusal of access is `Misconfigured`: such an operation names nothing but the project of the settings, and tasks
    of this package. Any other rejection is a bug.
    """
    try:
        yield
    except Failure as failure:
        error = provider_error(failure)
        if isinstance(error, Rejected) and failure.is_about_access:
            raise Misconfigured(f"{failure}: {_hint(Misconfigured, failure)}") from failure
        if isinstance(error, Failure | Rejected):
            raise
        raise error from failure


def _hint(kind: type[ProviderError], failure: Failure) -> str | None:
    """Return what a person checks."""
    code, status = failure.code, failure.status
    if kind is Rejected:
        return None if code is None else advice(code)
    if not issubclass(kind, Misconfigured) or status is None:
        return None
    if code in PROJECT_CODES:
        return _PROJECT_HINT
    return _HINTS[401] if CODES.get(code or 0) is Verdict.SETTINGS else _HINTS.get(status, _OTHER_HINT)


def _refusal_kind(failure: Failure) -> type[ProviderError] | None:
    code, status = failure.code, failure.status or 0
    if status in _STATUS_BEFORE_CODE or code is None:
        return STATUSES.get(status)
    if code in CODES:
        return _VERDICTS[CODES[code]]
    # A code that this version does not know: a coded refusal is about what the run names, unless the status says more.
    return Rejected if status in _REFUSED_BY_CODE else STATUSES.get(status)
