"""The ways in which a call to the server fails, and the tables that translate each failure for the core.

Inside this package a failed call raises `Failure`. The provider's methods translate it once, at the port. Kind and
HTTP status decide; the server's words are for a person only.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum

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


class FailureKind(StrEnum):
    """How far a failed call got."""

    REFUSED = "refused"
    """The server answered with an error."""

    NOT_SENT = "not sent"
    """Nothing reached the server."""

    NO_ANSWER = "no answer"
    """The call may have been carried out: no answer came, or it cannot be read."""

    NOT_THE_API = "not the API"
    """A successful answer that is a page for people: another web site, or a proxy before the server, has answered."""

    UNUSABLE = "unusable"
    """No call can be made until a person corrects the certificates, the proxy or the address."""


class Failure(Exception):
    """A call to the server failed.

    Attributes:
        message: without secrets, and of limited length.
        is_write: whether the call would have changed something at the server.
        status: the HTTP status of the answer, if there was one.
        retry_after: how long the server asked the caller to wait.
        has_wes_body: whether the answer is a JSON object, as the API's own errors are. An error page of a proxy says
            nothing about a run.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        is_write: bool,
        status: int | None = None,
        retry_after: timedelta | None = None,
        has_wes_body: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.is_write = is_write
        self.status = status
        self.retry_after = retry_after
        self.has_wes_body = has_wes_body

    def with_note(self, note: str) -> "Failure":
        """Return the same failure with a note at the end of its message."""
        return Failure(
            self.kind,
            f"{self.message}; {note}",
            is_write=self.is_write,
            status=self.status,
            retry_after=self.retry_after,
            has_wes_body=self.has_wes_body,
        )

    @property
    def is_answered(self) -> bool:
        """Whether the server answered, so that it works at least for other calls."""
        return self.kind is FailureKind.REFUSED

    @property
    def is_unknown_run(self) -> bool:
        """Whether the server says that it does not know the run."""
        return self.status in (404, 410) and self.has_wes_body

    @property
    def is_not_offered(self) -> bool:
        """Whether the server says that it does not offer such a call, or not for this run."""
        return self.status in _NOT_OFFERED

    def __str__(self) -> str:
        return f"the WES server {self.message}" + (f" (HTTP {self.status})" if self.status is not None else "")


_NOT_OFFERED = (400, 404, 405, 410, 501)

# For a call that changes something. A refusal without a known status does not say whose fault it is: a 403 may come
# from a missing permission or from a workflow that the server does not run for this user, a 404 from a wrong endpoint
# or a workflow that does not exist.
STATUSES: Mapping[int, type[ProviderError]] = {
    **dict.fromkeys(range(300, 400), Misconfigured),
    # The request was carried out, and its result is elsewhere.
    303: AnswerLost,
    **dict.fromkeys(range(400, 500), AmbiguousRefusal),
    400: Rejected,
    401: Misconfigured,
    407: Misconfigured,
    408: OutcomeUnknown,
    # With `Idempotency-Key`: another request with the same key is being processed.
    409: OutcomeUnknown,
    413: Rejected,
    414: Rejected,
    422: Rejected,
    429: Throttled,
    431: Rejected,
    # The server or a gateway before it may have failed after the run was started.
    **dict.fromkeys(range(500, 600), AnswerLost),
    501: Misconfigured,
    505: Misconfigured,
}

_KINDS: Mapping[FailureKind, type[ProviderError]] = {
    FailureKind.NOT_SENT: Unavailable,
    FailureKind.NO_ANSWER: AnswerLost,
    FailureKind.NOT_THE_API: AnswerLost,
    FailureKind.UNUSABLE: Misconfigured,
}

# A read can be repeated, so its outcome is never in doubt. What is only read proves nothing about the run.
_FOR_READS: Mapping[type[ProviderError], type[ProviderError]] = {
    OutcomeUnknown: NotNow,
    AnswerLost: Unavailable,
    AmbiguousRefusal: Misconfigured,
    Rejected: Misconfigured,
}

_HINTS: Mapping[int, str] = {
    401: "check WES_TOKEN (or WES_TOKEN_FILE), or WES_USER and WES_PASSWORD",
    403: "give the user of the credential the permission to run workflows, and check what the run names",
    404: "check WES_ENDPOINT, which ends with the API's path (mostly /ga4gh/wes/v1), and what the run names",
    407: "check user and password of the proxy",
}
_REDIRECT_HINT = "the server redirects this address: give its final address as WES_ENDPOINT"
_OTHER_HINT = "check WES_ENDPOINT, and what the run names"


def provider_error(failure: Failure) -> ProviderError:
    """Return the port's error for the failure."""
    kind = _KINDS.get(failure.kind) or _refusal_kind(failure)
    if not failure.is_write:
        kind = Misconfigured if failure.kind is FailureKind.NOT_THE_API else _FOR_READS.get(kind, kind)
    if issubclass(kind, NotNow):
        return kind(str(failure), retry_after=failure.retry_after)
    hint = _hint(kind, failure.status)
    return kind(f"{failure}: {hint}" if hint else str(failure))


@contextmanager
def translated() -> Iterator[None]:
    """Raise the port's error for each `Failure`."""
    try:
        yield
    except Failure as failure:
        raise provider_error(failure) from failure


@contextmanager
def translated_unless_rejected() -> Iterator[None]:
    """As `translated`, for calls that cannot be rejected: such a refusal is `Misconfigured`."""
    try:
        yield
    except Failure as failure:
        error = provider_error(failure)
        if isinstance(error, Rejected | AmbiguousRefusal):
            raise Misconfigured(str(error)) from failure
        raise error from failure


def _refusal_kind(failure: Failure) -> type[ProviderError]:
    status = failure.status or 0
    if status == 503 and failure.retry_after is not None:
        # RFC 9110: a server that is overloaded or in maintenance names a time; a gateway whose server failed does not.
        return Unavailable
    return STATUSES.get(status, OutcomeUnknown)


def _hint(kind: type[ProviderError], status: int | None) -> str | None:
    """Return what a person checks."""
    if not issubclass(kind, Misconfigured) or status is None:
        return None
    return _HINTS.get(status) or (_REDIRECT_HINT if 300 <= status < 400 else _OTHER_HINT)
