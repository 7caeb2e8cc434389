"""The tables of failures of WES servers: what a caller may conclude from each."""

from datetime import timedelta

import pytest

from wes_daemon.adapters.providers.wes.errors import Failure, FailureKind, provider_error
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


def _refused(status: int, *, is_write: bool, retry_after: timedelta | None = None) -> ProviderError:
    failure = Failure(FailureKind.REFUSED, "no", is_write=is_write, status=status, retry_after=retry_after)
    return provider_error(failure)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, Misconfigured),
        (303, AnswerLost),
        (307, Misconfigured),
        (400, Rejected),
        (401, Misconfigured),
        (403, AmbiguousRefusal),
        (404, AmbiguousRefusal),
        (405, AmbiguousRefusal),
        (407, Misconfigured),
        (408, OutcomeUnknown),
        (409, OutcomeUnknown),
        (413, Rejected),
        (415, AmbiguousRefusal),
        (418, AmbiguousRefusal),
        (422, Rejected),
        (429, Throttled),
        (500, AnswerLost),
        (501, Misconfigured),
        (502, AnswerLost),
        (503, AnswerLost),
        (504, AnswerLost),
        (507, AnswerLost),
        (599, AnswerLost),
        (700, OutcomeUnknown),
        (100, OutcomeUnknown),
    ],
)
def test_a_refused_submission_is_classified_by_its_status(status: int, error: type[ProviderError]) -> None:
    assert type(_refused(status, is_write=True)) is error


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (303, Unavailable),
        (400, Misconfigured),
        (401, Misconfigured),
        (403, Misconfigured),
        (404, Misconfigured),
        (409, NotNow),
        (429, Throttled),
        (500, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
def test_a_refused_read_is_never_in_doubt_and_rejects_no_run(status: int, error: type[ProviderError]) -> None:
    assert type(_refused(status, is_write=False)) is error


def test_a_server_that_names_a_time_with_its_503_has_started_nothing() -> None:
    error = _refused(503, is_write=True, retry_after=timedelta(seconds=7))

    assert isinstance(error, Unavailable)
    assert error.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("kind", "on_write", "on_read"),
    [
        (FailureKind.NOT_SENT, Unavailable, Unavailable),
        (FailureKind.NO_ANSWER, AnswerLost, Unavailable),
        (FailureKind.NOT_THE_API, AnswerLost, Misconfigured),
        (FailureKind.UNUSABLE, Misconfigured, Misconfigured),
    ],
)
def test_a_call_without_an_answer_is_in_doubt_only_if_it_was_sent_and_changes_something(
    kind: FailureKind, on_write: type[ProviderError], on_read: type[ProviderError]
) -> None:
    assert type(provider_error(Failure(kind, "gone", is_write=True))) is on_write
    assert type(provider_error(Failure(kind, "gone", is_write=False))) is on_read


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "WES_TOKEN"), (403, "permission"), (404, "WES_ENDPOINT"), (308, "final address")]
)
def test_an_error_of_the_set_up_says_what_a_person_checks(status: int, hint: str) -> None:
    assert hint in str(_refused(status, is_write=True))
