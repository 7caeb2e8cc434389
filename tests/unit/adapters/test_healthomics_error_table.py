"""What follows from every code, status and exception, for StartRun, for reads and for CancelRun (B1, A1, A2).

The codes are those of botocore's model of the service, of AWS' common errors, and of load balancers and proxies.
"""

import ssl
from datetime import UTC, datetime
from enum import Enum
from http.client import RemoteDisconnected
from typing import Any

import botocore.exceptions as sdk
import pytest
from botocore.parsers import ResponseParserError
from urllib3 import HTTPConnectionPool
from urllib3 import exceptions as urllib3

from wes_daemon.adapters.providers.healthomics.error_tables import CODES, EXCEPTIONS, HTTP_STATUSES, ErrorKind
from wes_daemon.adapters.providers.healthomics.errors import error_kind, may_show_secrets, translate
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

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
URL = {"endpoint_url": "http://there"}
SECRET = "not-a-real-secret"


class Fault(Enum):
    """Whose fault an error is, and so what happens to the run."""

    RUN = "the run ends"
    SETUP = "the provider is blocked until a person acts"
    EITHER = "blocked until another run is accepted with the same set-up"
    SERVICE = "tried again"
    OPEN = "in doubt"


Row = tuple[Fault, type[ProviderError], type[ProviderError], type[ProviderError], str]
"""Fault and error of StartRun, error of a read, error of CancelRun, and what a person reads."""

_REFUSED: Row = (Fault.RUN, Rejected, NotNow, Rejected, "refused")
_THROTTLED: Row = (Fault.SERVICE, Throttled, Throttled, Throttled, "was throttled")
_QUOTA: Row = (Fault.SERVICE, Throttled, Throttled, Throttled, "over a quota of the account")
_IN_DOUBT: Row = (Fault.OPEN, OutcomeUnknown, NotNow, OutcomeUnknown, "no certain answer")
_FAILED: Row = (Fault.OPEN, AnswerLost, Unavailable, AnswerLost, "no certain answer")
_DENIED: Row = (Fault.EITHER, AmbiguousRefusal, Misconfigured, Misconfigured, "docs/providers/healthomics.md")
_UNCLEAR: Row = (Fault.EITHER, AmbiguousRefusal, Misconfigured, Misconfigured, "AWS or a proxy refused")
_CREDENTIALS: Row = (Fault.SETUP, Misconfigured, Misconfigured, Misconfigured, "does not accept the credentials")
_SETUP: Row = (Fault.SETUP, Misconfigured, Misconfigured, Misconfigured, "not set up correctly")
_NOT_SENT: Row = (Fault.SERVICE, Unavailable, Unavailable, Unavailable, "did not reach the service")
_BUG = None

# Code in the answer, and its HTTP status. An AccessDeniedException, a ValidationException and a
# ResourceNotFoundException of StartRun are judged further, see test_healthomics_refusals.py.
CODED: dict[tuple[str, int], Row] = {
    # Every error of the service's model.
    ("ThrottlingException", 429): _THROTTLED,
    ("InternalServerException", 500): _FAILED,
    ("RequestTimeoutException", 408): _IN_DOUBT,
    ("ServiceQuotaExceededException", 402): _QUOTA,
    ("ConflictException", 409): _IN_DOUBT,
    ("ResourceNotFoundException", 404): _REFUSED,
    ("AccessDeniedException", 403): _DENIED,
    ("ValidationException", 400): _REFUSED,
    ("NotSupportedOperationException", 405): _SETUP,
    # AWS' common errors.
    ("ThrottlingException", 400): _THROTTLED,
    ("Throttling", 400): _THROTTLED,
    ("ThrottledException", 400): _THROTTLED,
    ("RequestThrottledException", 400): _THROTTLED,
    ("RequestThrottled", 403): _THROTTLED,
    ("TooManyRequestsException", 429): _THROTTLED,
    ("RequestLimitExceeded", 503): _THROTTLED,
    ("BandwidthLimitExceeded", 503): _THROTTLED,
    ("SlowDown", 503): _THROTTLED,
    ("InternalFailure", 500): _FAILED,
    ("InternalError", 500): _FAILED,
    ("ServiceUnavailable", 503): _FAILED,
    ("ServiceUnavailableException", 503): _FAILED,
    ("RequestTimeout", 400): _IN_DOUBT,
    ("RequestAbortedException", 400): _IN_DOUBT,
    ("ValidationError", 400): _REFUSED,
    ("SerializationException", 400): _REFUSED,
    ("MalformedHttpRequestException", 400): _REFUSED,
    ("RequestEntityTooLargeException", 413): _REFUSED,
    ("AccessDenied", 403): _DENIED,
    ("NotAuthorized", 401): _DENIED,
    ("UnrecognizedClientException", 403): _CREDENTIALS,
    ("InvalidClientTokenId", 403): _CREDENTIALS,
    ("InvalidAccessKeyId", 403): _CREDENTIALS,
    ("InvalidSignatureException", 403): _CREDENTIALS,
    ("SignatureDoesNotMatch", 403): _CREDENTIALS,
    ("IncompleteSignatureException", 400): _CREDENTIALS,
    ("IncompleteSignature", 403): _CREDENTIALS,
    ("MissingAuthenticationTokenException", 403): _CREDENTIALS,
    ("MissingAuthenticationToken", 403): _CREDENTIALS,
    ("ExpiredTokenException", 403): _CREDENTIALS,
    ("ExpiredToken", 400): _CREDENTIALS,
    ("InvalidToken", 400): _CREDENTIALS,
    ("AuthFailure", 401): _CREDENTIALS,
    ("RequestExpired", 400): _CREDENTIALS,
    ("RequestTimeTooSkewed", 403): _CREDENTIALS,
    ("OptInRequired", 403): _SETUP,
    ("SubscriptionRequiredException", 400): _SETUP,
    ("UnknownOperationException", 404): _SETUP,
    # A code that nobody knows yet.
    ("SomethingNew", 400): _UNCLEAR,
    ("SomethingNew", 409): _IN_DOUBT,
    ("SomethingNew", 503): _FAILED,
}

# Without a code: load balancers, gateways, proxies.
UNCODED: dict[int, Row] = {
    400: _UNCLEAR,
    401: _DENIED,
    402: _QUOTA,
    403: _DENIED,
    404: _SETUP,
    405: _SETUP,
    407: _SETUP,
    408: _IN_DOUBT,
    409: _IN_DOUBT,
    413: _UNCLEAR,
    418: _UNCLEAR,
    429: _THROTTLED,
    500: _FAILED,
    502: _FAILED,
    503: _FAILED,
    504: _FAILED,
}

_UNVERIFIED = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
_GARBLED_CA = ssl.SSLError(136, "[X509: NO_CERTIFICATE_OR_CRL_FOUND] no certificate or crl found")
_GARBLED_CA.library = "X509"
_POOL: Any = HTTPConnectionPool("proxy")
_EOF = ssl.SSLEOFError(8, "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol")


def _tls(cause: OSError) -> sdk.SSLError:
    return sdk.SSLError(error=urllib3.SSLError(cause), **URL)


def _proxy(cause: Exception) -> sdk.ProxyConnectionError:
    return sdk.ProxyConnectionError(proxy_url="http://proxy", error=urllib3.ProxyError("cannot connect", cause))


def _tunnel(status: str) -> sdk.ProxyConnectionError:
    return _proxy(OSError(f"Tunnel connection failed: {status}"))


RAISED: list[tuple[Exception, Row | None]] = [
    (sdk.EndpointConnectionError(**URL), _NOT_SENT),
    (sdk.ConnectTimeoutError(**URL), _NOT_SENT),
    (sdk.ConnectionError(error="?"), _NOT_SENT),
    (sdk.CapacityNotAvailableError(), _NOT_SENT),
    (_proxy(urllib3.NewConnectionError(_POOL, "refused")), _NOT_SENT),
    (_proxy(urllib3.ConnectTimeoutError("timed out")), _NOT_SENT),
    (_proxy(urllib3.SSLError("handshake")), _NOT_SENT),
    (_tunnel("503 Service Unavailable"), _NOT_SENT),
    (_tunnel("407 Proxy Authentication Required"), _SETUP),
    (_tunnel("403 Forbidden"), _SETUP),
    # After the request: urllib3 forgets that there was a connection.
    (_proxy(RemoteDisconnected("closed")), _FAILED),
    (_proxy(ConnectionResetError("reset")), _FAILED),
    (_proxy(OSError("unknown")), _FAILED),
    (sdk.ReadTimeoutError(**URL), _FAILED),
    (sdk.ConnectionClosedError(**URL), _FAILED),
    (sdk.HTTPClientError(error="?"), _FAILED),
    (sdk.HTTPClientError(error=urllib3.LocationParseError("http://proxy:99999")), _SETUP),
    (sdk.HTTPClientError(error=UnicodeEncodeError("ascii", "ü:p", 0, 1, "?")), _SETUP),
    (sdk.ResponseStreamingError(error="?"), _FAILED),
    (sdk.IncompleteReadError(actual_bytes=1, expected_bytes=2), _FAILED),
    (sdk.ChecksumError(checksum_type="a", expected_checksum="b", actual_checksum="c"), _FAILED),
    (sdk.FlexibleChecksumError(error_msg="?"), _FAILED),
    (ResponseParserError("?"), _FAILED),
    (_tls(_EOF), _FAILED),
    (_tls(_UNVERIFIED), _SETUP),
    (_tls(_GARBLED_CA), _SETUP),
    (_tls(FileNotFoundError(2, "No such file or directory")), _SETUP),
    (sdk.ParamValidationError(report="?\nInvalid type for parameter tags"), _REFUSED),
    (sdk.InvalidDNSNameError(bucket_name="?"), _REFUSED),
    (sdk.InvalidHostLabelError(label="?"), _REFUSED),
    (sdk.NoCredentialsError(), _CREDENTIALS),
    (sdk.NoAuthTokenError(), _CREDENTIALS),
    (sdk.PartialCredentialsError(provider="env", cred_var="x"), _CREDENTIALS),
    (sdk.CredentialRetrievalError(provider="x", error_msg="y"), _CREDENTIALS),
    (sdk.TokenRetrievalError(provider="x", error_msg="y"), _CREDENTIALS),
    # Not in boto3 1.40.
    *((cls(name="x"), _CREDENTIALS) for name, cls in vars(sdk).items() if name == "UnknownTokenProviderError"),
    (sdk.MetadataRetrievalError(error_msg="x"), _CREDENTIALS),
    (sdk.UnknownCredentialError(name="x"), _CREDENTIALS),
    (sdk.RefreshWithMFAUnsupportedError(), _CREDENTIALS),
    (sdk.UnauthorizedSSOTokenError(), _CREDENTIALS),
    (sdk.SSOTokenLoadError(error_msg="x"), _CREDENTIALS),
    (sdk.ProfileNotFound(profile="x"), _SETUP),
    (sdk.ConfigNotFound(path="x"), _SETUP),
    (sdk.ConfigParseError(path="x"), _SETUP),
    (sdk.InvalidConfigError(error_msg="x"), _SETUP),
    (sdk.InfiniteLoopConfigError(source_profile="x", visited_profiles=[]), _SETUP),
    (sdk.InvalidProxiesConfigError(), _SETUP),
    (sdk.MissingDependencyException(msg="x"), _SETUP),
    (sdk.NoRegionError(), _SETUP),
    (sdk.UnknownEndpointError(service_name="x", region_name="y"), _SETUP),
    (sdk.UnknownFIPSEndpointError(service_name="x", region_name="y"), _SETUP),
    (sdk.EndpointVariantError(tags="x"), _SETUP),
    (sdk.EndpointResolutionError(msg="x"), _SETUP),
    (sdk.InvalidRegionError(region_name="x y"), _SETUP),
    (sdk.UnknownRegionError(region_name="x", error_msg="y"), _SETUP),
    (sdk.ServiceNotInRegionError(service_name="x", region_name="y"), _SETUP),
    (sdk.InvalidEndpointDiscoveryConfigurationError(config_value="x"), _SETUP),
    (sdk.InvalidIMDSEndpointError(endpoint="x"), _SETUP),
    (sdk.InvalidIMDSEndpointModeError(mode="x", valid_modes="y"), _SETUP),
    (sdk.InvalidRetryModeError(provided_retry_mode="x", valid_modes="y"), _SETUP),
    (sdk.InvalidMaxRetryAttemptsError(provided_max_attempts="x", min_value="y"), _SETUP),
    (sdk.InvalidDefaultsMode(mode="x", valid_modes="y"), _SETUP),
    (sdk.InvalidS3AddressingStyleError(s3_addressing_style="x"), _SETUP),
    (sdk.InvalidS3UsEast1RegionalEndpointConfigError(s3_us_east_1_regional_endpoint_config="x"), _SETUP),
    (sdk.InvalidSTSRegionalEndpointsConfigError(sts_regional_endpoints_config="x"), _SETUP),
    (sdk.UnsupportedS3ConfigurationError(msg="x"), _SETUP),
    (sdk.UnknownSignatureVersionError(signature_version="x"), _SETUP),
    (sdk.UnsupportedSignatureVersionError(signature_version="x"), _SETUP),
    (sdk.MD5UnavailableError(), _SETUP),
    (sdk.UnknownServiceError(service_name="omics", known_service_names=[]), _SETUP),
    (sdk.ApiVersionNotFoundError(data_path="x", api_version="y"), _SETUP),
    (ZeroDivisionError("a bug"), _BUG),
    (ConnectionResetError("not of the SDK"), _BUG),
]

# Names in the table that the oldest supported SDK may lack.
NEWER = {
    "LoginError",
    "InvalidEndpointConfigurationError",
    "InvalidChecksumConfigError",
    "UnknownTokenProviderError",
    "UnsupportedServiceProtocolsError",
}

NOT_IN_THE_TABLE = {
    "bases, which are not raised themselves": {"BotoCoreError", "ClientError", "UndefinedModelAttributeError"},
    "error responses, which the table of codes classifies": {"EventStreamError"},
    "warnings": {"ImminentRemovalWarning", "UnsupportedTLSVersionWarning"},
    "of a wrong call in this package: a bug": {
        "AliasConflictParameterError",
        "InvalidExpressionError",
        "MissingParametersError",
        "MissingServiceIdError",
        "OperationNotPageableError",
        "PaginationError",
        "RangeError",
        "UnknownClientMethodError",
        "UnknownKeyError",
        "UnknownParameterError",
        "UnknownServiceStyle",
        "ValidationError",
        "WaiterConfigError",
        "WaiterError",
    },
    "of uploads and of S3's ARNs, which this package does not use": {
        "AwsChunkedWrapperError",
        "UnseekableStreamError",
        "UnsupportedOutpostResourceError",
        "UnsupportedS3AccesspointConfigurationError",
        "UnsupportedS3ArnError",
        "UnsupportedS3ControlArnError",
        "UnsupportedS3ControlConfigurationError",
    },
    "of the SDK's own stubs for tests": {"StubAssertionError", "StubResponseError", "UnStubbedResponseError"},
}


def answer(status: int, code: str = "", message: str = "simulated") -> sdk.ClientError:
    """The SDK's exception for an error response."""
    response: Any = {
        "Error": {"Code": code or str(status), "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}},
    }
    return sdk.ClientError(response, "StartRun")


def outcomes(error: Exception) -> list[ProviderError | None]:
    """The port's errors of StartRun, of a read and of CancelRun."""
    calls = (("StartRun", OutcomeUnknown), ("GetRun", NotNow), ("CancelRun", OutcomeUnknown))
    return [translate(error, operation, when_unknown=unknown, now=NOON) for operation, unknown in calls]


def fault_of(error: ProviderError | None) -> Fault:
    match error:
        case AmbiguousRefusal():
            return Fault.EITHER
        case Misconfigured():
            return Fault.SETUP
        case NotNow():
            return Fault.SERVICE
        case OutcomeUnknown():
            return Fault.OPEN
        case _:
            return Fault.RUN


def has_outcome(error: Exception, row: Row | None) -> None:
    found = outcomes(error)
    if row is None:
        assert found == [None, None, None]
        return
    fault, *expected, text = row
    # Exactly these classes: they distinguish a failed service from a throttled one.
    assert [type(each) for each in found] == expected
    assert fault_of(found[0]) is fault
    assert text in str(found[0])


@pytest.mark.parametrize(("given", "row"), CODED.items(), ids=lambda value: str(value)[:60])
def test_an_answer_with_a_code(given: tuple[str, int], row: Row) -> None:
    code, status = given

    has_outcome(answer(status, code), row)


@pytest.mark.parametrize(("status", "row"), UNCODED.items(), ids=lambda value: str(value)[:60])
def test_an_answer_without_a_code(status: int, row: Row) -> None:
    has_outcome(answer(status), row)


@pytest.mark.parametrize(("error", "row"), RAISED, ids=lambda value: f"{type(value).__name__} {value}"[:80])
def test_an_exception_of_the_sdk(error: Exception, row: Row | None) -> None:
    has_outcome(error, row)


class TestTables:
    def test_every_code_and_status_of_the_tables_is_tested(self) -> None:
        assert {code for code, _ in CODED} - {"SomethingNew"} == {*CODES}
        assert {*HTTP_STATUSES} <= {*UNCODED}

    def test_the_table_names_exceptions_that_exist(self) -> None:
        assert {*EXCEPTIONS} - {*vars(sdk), "ResponseParserError"} <= NEWER

    def test_every_exception_in_the_table_is_tested(self) -> None:
        tested = {cls.__name__ for error, _ in RAISED for cls in type(error).__mro__}

        assert {*EXCEPTIONS} - tested <= NEWER

    def test_every_exception_of_the_installed_sdk_is_in_the_table_or_is_not_for_a_reason(self) -> None:
        reasons = set().union(*NOT_IN_THE_TABLE.values())

        unknown = {
            name
            for name, cls in vars(sdk).items()
            if isinstance(cls, type)
            and issubclass(cls, BaseException)
            and cls.__module__ == "botocore.exceptions"
            and not {base.__name__ for base in cls.__mro__} & {*EXCEPTIONS}
        }

        assert unknown == reasons & {*vars(sdk)}


class TestSecrets:
    """What an exception repeats of a header, a proxy's address or a request is not shown."""

    @pytest.mark.parametrize(
        "error",
        [
            sdk.HTTPClientError(error=ValueError(f"Invalid header value b'{SECRET}\\n'")),
            sdk.HTTPClientError(error=urllib3.LocationParseError(f"http://me:{SECRET}@proxy:99999")),
            sdk.HTTPClientError(error=UnicodeEncodeError("ascii", f"ü:{SECRET}", 0, 1, "?")),
            sdk.ParamValidationError(report=f"Invalid type for parameter tags.x, value: more\n{SECRET}, type: <int>"),
        ],
        ids=lambda error: str(error)[:40],
    )
    def test_neither_message_nor_traceback_contains_it(self, error: Exception) -> None:
        assert [text for text in map(str, outcomes(error)) if SECRET in text] == []
        assert may_show_secrets(error)

    def test_a_request_that_cannot_be_sent_names_the_parameter(self) -> None:
        error = sdk.ParamValidationError(report=f"Invalid type for parameter tags.x, value: {SECRET}, type: <int>")

        assert "Invalid type for parameter tags.x" in str(outcomes(error)[0])

    def test_a_certificate_is_judged_by_the_error_and_not_by_its_text(self) -> None:
        error = sdk.SSLError(error=urllib3.SSLError(ssl.SSLError(1, "CERTIFICATE_VERIFY_FAILED")), **URL)

        assert error_kind(error) is ErrorKind.FAILED
