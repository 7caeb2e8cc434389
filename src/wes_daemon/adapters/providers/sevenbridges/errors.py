"""How a call to the service can fail, and the table of what each failure means to our callers.

Inside this package a failed call is a `Failure`; at the port it is translated, once.
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
    """What a failed call leaves us knowing."""

    REFUSED = "refused"
    """The service answered with an error."""

    NOT_SENT = "not sent"
    """Nothing reached the service."""

    NO_ANSWER = "no answer"
    """The call may have been carried out; no answer came, or none that can be read."""

    UNUSABLE = "unusable"
    """No call can be made until a person acts: certificates, address."""


class Failure(Exception):
    """One call to the service failed.

    Attributes:
        acts: whether the call would have changed something at the service.
        status: of HTTP, where there was an answer.
        code: the service's own number for the error, where it gave one.
        retry_after: how long the service asked us to wait.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        acts: bool,
        status: int | None = None,
        code: int | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.acts = acts
        self.status = status
        self.code = code
        self.retry_after = retry_after

    @property
    def is_certainly_nothing(self) -> bool:
        """Whether the service certainly did nothing and did not look at what was asked either."""
        return self.kind in (FailureKind.NOT_SENT, FailureKind.UNUSABLE) or self.status in (401, 429)

    @property
    def is_passing(self) -> bool:
        """Whether the same call may be answered later without anybody's doing."""
        return isinstance(meaning(self), NotNow | OutcomeUnknown)

    @property
    def is_about_the_thing(self) -> bool:
        """Whether the service has understood us and will not give what was asked for, however often it is asked."""
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
"""Project forbidden, or not found: the run's mistake where the run named it, ours where the settings did."""

_UNAVAILABLE = (0, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 90005)
# What does not answer is the cloud in which a volume is.
_CLOUD_UNAVAILABLE = (9000, 9100)
_TOO_MANY = 1000
_STATE_HAS_MOVED = (7007, 7008, NO_DRAFT, 7011, 7026, 90007)
_BAD_REQUEST = (
    *(3001, 3002, 5001, 5002, 5003, 6001, 6002, 6003, 6011),
    *(7002, 7005, 7006, 7012, 7015, 7016, 7018, 7019, 7020, 7021, 7022, 7023, 7024),
    *(9001, 9007, 9026, 9101, 9103, 9104, 9105, 9107, 9108),
    90000,
)
_NEEDS_A_PERSON = (7001, 90001, 90002, 90003)
# Method not allowed, media type, undecodable body: we have spoken wrongly.
_BUGS = frozenset({90006, 90008, 90009})

# Source: the vendor's table of API codes (sevenbridges-r, R/api-http.R) and the documentation of API status codes.
# The HTTP status of most codes is not documented, so a code decides before the status does.
CODES: Mapping[int, type[ProviderError]] = {
    **dict.fromkeys(_UNAVAILABLE, Unavailable),
    **dict.fromkeys(_CLOUD_UNAVAILABLE, NotNow),
    _TOO_MANY: Throttled,
    **dict.fromkeys(_STATE_HAS_MOVED, OutcomeUnknown),
    **dict.fromkeys(_BAD_REQUEST, Rejected),
    **dict.fromkeys(_NEEDS_A_PERSON, Misconfigured),
}

# 404 without a code of the table is no word on a task or a file: the address itself is wrong.
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

# A question can simply be asked again.
_OF_A_QUESTION: Mapping[type[ProviderError], type[ProviderError]] = {OutcomeUnknown: NotNow, AnswerLost: Unavailable}

# Whatever its code: who is not known to the service, or calls too often, is told so by the status alone.
_BY_STATUS_ALONE = (401, 429)

_HINTS: Mapping[int, str] = {
    401: "check SEVENBRIDGES_API_TOKEN, and that it is a token of SEVENBRIDGES_API_ENDPOINT's platform",
    403: "give the token's owner the permissions to read, write and execute in the project",
    404: "check SEVENBRIDGES_API_ENDPOINT, which ends with /v2",
}


def meaning(failure: Failure) -> ProviderError | Failure:
    """What our caller may conclude; the failure itself where the table does not know it, for that is a bug."""
    found = _KINDS.get(failure.kind) or _refusal(failure)
    if found is None:
        return failure
    if not failure.acts:
        found = _OF_A_QUESTION.get(found, found)
    if issubclass(found, NotNow):
        return found(str(failure), retry_after=failure.retry_after)
    hint = _HINTS.get(failure.status or 0) if found is Misconfigured else None
    return found(f"{failure}: {hint}" if hint else str(failure))


def doubt(evidence: str, error: Failure | ProviderError) -> OutcomeUnknown:
    """What is left where something may have happened and `error` keeps it from being looked up."""
    return in_doubt(evidence, meaning(error) if isinstance(error, Failure) else error)


def _refusal(failure: Failure) -> type[ProviderError] | None:
    if failure.status in _BY_STATUS_ALONE:
        return STATUSES[failure.status]
    if failure.code in _BUGS:
        return None
    return CODES.get(failure.code if failure.code is not None else -1) or STATUSES.get(failure.status or 0)


@contextmanager
def translated(*, rejects: bool = True) -> Iterator[None]:
    """Let failures leave as what they mean.

    Args:
        rejects: whether the operation can be refused for good; where it cannot, a refusal is a bug of ours.
    """
    try:
        yield
    except Failure as failure:
        meant = meaning(failure)
        if isinstance(meant, Failure) or (isinstance(meant, Rejected) and not rejects):
            raise
        raise meant from failure
