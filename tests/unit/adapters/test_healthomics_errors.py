"""Exceptions of the SDK, and the port's errors for them; the whole table is in test_healthomics_error_table.py."""

from datetime import UTC, datetime, timedelta

import botocore.exceptions as sdk
import pytest

from wes_daemon.adapters.providers.healthomics.errors import translate
from wes_daemon.application.ports.errors import (
    NotNow,
    OutcomeUnknown,
    ProviderError,
    Unavailable,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
URL = {"endpoint_url": "http://there"}


def answer(status: int, code: str = "", message: str = "simulated", **headers: str) -> sdk.ClientError:
    """The SDK's exception for an error response."""
    return sdk.ClientError(
        {
            "Error": {"Code": code or str(status), "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
        },
        "StartRun",
    )


def of_a_read(error: Exception) -> ProviderError | None:
    return translate(error, "GetRun", when_unknown=NotNow, now=NOON)


def of_a_start(error: Exception) -> ProviderError | None:
    return translate(error, "StartRun", when_unknown=OutcomeUnknown, now=NOON)


@pytest.mark.parametrize(
    "error", [sdk.ReadTimeoutError(**URL), answer(500), answer(502), sdk.ConnectionClosedError(**URL)]
)
def test_a_read_without_a_certain_answer_can_be_repeated(error: Exception) -> None:
    assert type(of_a_read(error)) is Unavailable


@pytest.mark.parametrize("error", [answer(408, "RequestTimeoutException"), answer(409, "ConflictException")])
def test_a_service_that_answers_a_read_with_a_timeout_or_conflict_has_not_failed(error: Exception) -> None:
    assert type(of_a_read(error)) is NotNow


class TestWaiting:
    @pytest.mark.parametrize(
        ("header", "wait"),
        [
            ("7", timedelta(seconds=7)),
            ("0.5", timedelta(seconds=0.5)),
            ("86400", timedelta(minutes=15)),
            ("Thu, 01 Jan 2026 12:00:30 GMT", timedelta(seconds=30)),
            ("Thu, 01 Jan 2026 11:00:30 GMT", None),
            ("-3", None),
            ("0", None),
            ("soon", None),
            ("nan", None),
            ("", None),
        ],
    )
    def test_the_time_in_retry_after_is_reported(self, header: str, wait: timedelta | None) -> None:
        found = of_a_start(answer(429, "ThrottlingException", **{"retry-after": header}))

        assert isinstance(found, NotNow)
        assert found.retry_after == wait

    def test_a_used_up_quota_is_retried_after_a_minute_at_least(self) -> None:
        found = of_a_start(answer(402, "ServiceQuotaExceededException"))

        assert isinstance(found, NotNow)
        assert found.retry_after == timedelta(minutes=1)


class TestMessages:
    def test_the_service_is_quoted_on_one_line_and_shortened(self) -> None:
        message = str(of_a_start(answer(502, message="<html>\n" + "x" * 10_000)))

        assert "\n" not in message
        assert len(message) < 700

    def test_for_wrong_credentials_only_the_error_code_is_quoted(self) -> None:
        """The service's message repeats the signed headers, and the session token is one of them."""
        message = str(of_a_start(answer(403, "InvalidSignatureException", "x-amz-security-token:testing-token")))

        assert "InvalidSignatureException" in message
        assert "AWS_ACCESS_KEY_ID" in message
        assert "testing-token" not in message

    def test_a_denial_names_the_page_that_lists_the_permissions(self) -> None:
        assert "docs/providers/healthomics.md" in str(of_a_start(answer(403, "AccessDeniedException")))
