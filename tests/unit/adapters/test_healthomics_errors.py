"""Exceptions of the SDK, and the port's errors for them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.exceptions as sdk
import pytest
from botocore.parsers import ResponseParserError

from wes_daemon.adapters.providers.healthomics.client import Refusal
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.errors import EXCEPTIONS, translate
from wes_daemon.adapters.providers.healthomics.submission import (
    mentions_repeated_request,
    refusal_error,
)
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
    ("error", "expected"),
    [
        (sdk.EndpointConnectionError(**URL), Unavailable),
        (sdk.ConnectTimeoutError(**URL), Unavailable),
        (sdk.ProxyConnectionError(proxy_url="http://proxy"), Unavailable),
        (sdk.ReadTimeoutError(**URL), AnswerLost),
        (sdk.ConnectionClosedError(**URL), AnswerLost),
        (sdk.HTTPClientError(error="?"), AnswerLost),
        (sdk.ResponseStreamingError(error="?"), AnswerLost),
        (sdk.IncompleteReadError(actual_bytes=1, expected_bytes=2), AnswerLost),
        (ResponseParserError("?"), AnswerLost),
        (sdk.SSLError(error="EOF occurred in violation of protocol", **URL), AnswerLost),
        (sdk.SSLError(error="[SSL: CERTIFICATE_VERIFY_FAILED]", **URL), Misconfigured),
        (sdk.NoCredentialsError(), Misconfigured),
        (sdk.PartialCredentialsError(provider="env", cred_var="x"), Misconfigured),
        (sdk.CredentialRetrievalError(provider="x", error_msg="y"), Misconfigured),
        (sdk.UnauthorizedSSOTokenError(), Misconfigured),
        (sdk.SSOTokenLoadError(error_msg="x"), Misconfigured),
        (sdk.MetadataRetrievalError(error_msg="x"), Misconfigured),
        (sdk.NoRegionError(), Misconfigured),
        (sdk.ProfileNotFound(profile="x"), Misconfigured),
        (sdk.ConfigParseError(path="x"), Misconfigured),
        (sdk.InvalidRegionError(region_name="x y"), Misconfigured),
        (answer(400, "ValidationException"), Rejected),
        (answer(404, "ResourceNotFoundException"), Rejected),
        (answer(402, "ServiceQuotaExceededException"), Throttled),
        (answer(402), Throttled),
        (answer(429, "ThrottlingException"), Throttled),
        (answer(429), Throttled),
        (answer(400, "ThrottlingException"), Throttled),
        (answer(408, "RequestTimeoutException"), OutcomeUnknown),
        (answer(409, "ConflictException"), OutcomeUnknown),
        (answer(503, "SlowDown"), Throttled),
        (answer(500, "InternalServerException"), AnswerLost),
        (answer(502), AnswerLost),
        (answer(503, "SomethingNew"), AnswerLost),
        (answer(403, "AccessDeniedException"), Misconfigured),
        (answer(403), Misconfigured),
        (answer(401), Misconfigured),
        (answer(403, "UnrecognizedClientException"), Misconfigured),
        (answer(403, "InvalidSignatureException"), Misconfigured),
        (answer(403, "ExpiredTokenException"), Misconfigured),
        (answer(404, "UnknownOperationException"), Misconfigured),
        (answer(404), Misconfigured),
        (answer(418), None),
        (answer(400, "SomethingNew"), None),
        (sdk.ParamValidationError(report="x"), None),
        (ZeroDivisionError("a bug"), None),
    ],
    ids=lambda value: str(value)[:60],
)
def test_how_a_start_ends(error: Exception, expected: type[ProviderError] | None) -> None:
    found = of_a_start(error)

    # Exactly these classes: they distinguish a failed service from a throttled one.
    assert type(found) is (expected or type(None))


@pytest.mark.parametrize(
    "error", [sdk.ReadTimeoutError(**URL), answer(500), answer(502), sdk.ConnectionClosedError(**URL)]
)
def test_a_read_without_a_certain_answer_can_be_repeated(error: Exception) -> None:
    assert type(of_a_read(error)) is Unavailable


@pytest.mark.parametrize("error", [answer(408, "RequestTimeoutException"), answer(409, "ConflictException")])
def test_a_service_that_answers_a_read_with_a_timeout_or_conflict_has_not_failed(error: Exception) -> None:
    assert type(of_a_read(error)) is NotNow


def test_the_table_names_exceptions_that_exist() -> None:
    known = {*vars(sdk), "ResponseParserError"}

    # LoginError was added after boto3 1.40.
    assert {*EXCEPTIONS} - known <= {"LoginError"}


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


class TestRefusalsOfStartRun:
    CONFIG = HealthOmicsConfig(region="eu-west-1", role_arn="arn:aws:iam::1:role/runs", output_uri="s3://results/wes")

    def request(self, **changes: str) -> dict[str, Any]:
        return {"roleArn": "arn:aws:iam::1:role/runs", "outputUri": "s3://results/wes", "workflowId": "7", **changes}

    @pytest.mark.parametrize(
        ("message", "changes", "expected"),
        [
            ("not authorized to perform: omics:StartRun on run/*", {}, Misconfigured),
            ("not authorized to perform: iam:PassRole on arn:aws:iam::1:role/runs", {}, Misconfigured),
            (
                "not authorized to perform: iam:PassRole on arn:aws:iam::1:role/mine",
                {"roleArn": "arn:aws:iam::1:role/mine"},
                Rejected,
            ),
            (
                "not authorized to perform: omics:StartRun on run/*",
                {"roleArn": "arn:aws:iam::1:role/mine"},
                Misconfigured,
            ),
            ("no access to arn:aws:omics:eu-west-1:2:workflow/7", {"workflowOwnerId": "2"}, Rejected),
            ("not authorized on arn:aws:omics:eu-west-1:1:runGroup/5", {"runGroupId": "5"}, Rejected),
        ],
    )
    def test_a_denial_concerns_all_runs_unless_it_names_a_resource_that_the_run_has_chosen(
        self, message: str, changes: dict[str, str], expected: type[ProviderError]
    ) -> None:
        refusal = Refusal("AccessDeniedException", message)

        assert type(refusal_error(refusal, self.request(**changes), self.CONFIG)) is expected

    @pytest.mark.parametrize(
        ("message", "changes", "expected"),
        [
            ("Parameter reads is missing", {}, Rejected),
            ("Unable to assume role arn:aws:iam::1:role/runs", {}, Misconfigured),
            (
                "Unable to assume role arn:aws:iam::1:role/mine",
                {"roleArn": "arn:aws:iam::1:role/mine"},
                Rejected,
            ),
            ("Bucket results is in another region", {}, Misconfigured),
            ("Bucket mine is in another region", {"outputUri": "s3://mine"}, Rejected),
        ],
    )
    def test_an_invalid_request_concerns_the_run_unless_a_setting_is_invalid(
        self, message: str, changes: dict[str, str], expected: type[ProviderError]
    ) -> None:
        refusal = Refusal("ValidationException", message)

        assert type(refusal_error(refusal, self.request(**changes), self.CONFIG)) is expected

    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            ("The requestId was used before", True),
            ("Idempotency token mismatch", True),
            ("A duplicate run", True),
            ("Parameter reads is a duplicate", False),
            ("Parameter reads is missing", False),
        ],
    )
    def test_a_message_about_a_repeated_request_is_recognised(self, message: str, expected: bool) -> None:
        assert mentions_repeated_request(message) is expected
