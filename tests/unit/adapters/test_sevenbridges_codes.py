"""Whose fault a refusal of Seven Bridges is: every code, every status, every exception (B2, B3)."""

import re
import ssl
from collections.abc import Iterator, Mapping
from http.client import RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest
import requests
import sevenbridges.errors
import urllib3.exceptions

from wes_daemon.adapters.http_connections import NoConnection
from wes_daemon.adapters.providers.sevenbridges.codes import CODES, Verdict
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.errors import (
    Failure,
    FailureKind,
    provider_error,
    translated_unless_rejected,
)
from wes_daemon.adapters.providers.sevenbridges.sdk import Sdk
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

PAGE = Path(__file__).parents[3] / "docs/providers/sevenbridges-codes.md"
ROW = re.compile(r"\| (\d+) \| (\d*) ?\| (.+?) \| (.+?) \| (.+?) \|")
ROWS = [match.groups() for match in map(ROW.fullmatch, PAGE.read_text(encoding="utf-8").splitlines()) if match]

# Whose fault: the outcome in words, and the error of a write and of a read.
OUTCOMES: Mapping[str, tuple[str, type[Exception], type[Exception]]] = {
    "service unavailable": ("waits", Unavailable, Unavailable),
    "cloud of a volume": ("waits", NotNow, NotNow),
    "too many calls": ("waits", Throttled, Throttled),
    "service failed": ("in doubt", AnswerLost, Unavailable),
    "state has changed": ("in doubt", OutcomeUnknown, NotNow),
    "run": ("rejected", Rejected, Rejected),
    "project": ("rejected or blocked", Rejected, Rejected),
    "settings": ("blocked", Misconfigured, Misconfigured),
    "unclear": ("blocked, then rejected", AmbiguousRefusal, AmbiguousRefusal),
    "wes-daemon": ("bug", Failure, Failure),
}

# Seven Bridges answers 403 or 404 with these, about what a run names (B2).
THE_RUNS_OWN = [
    *range(4001, 4007),
    *(5008, 5009, 5011, 5012, 5014, 5026),
    *range(9003, 9010),
    *(9020, 9102, 9106, 9109),
    *range(9200, 9210),
]


def refusal(status: int, code: int | None, *, is_write: bool) -> Failure:
    return Failure(FailureKind.REFUSED, "the platform's words", is_write=is_write, status=status, code=code)


class TestCodes:
    def test_the_documented_table_is_that_of_the_code(self) -> None:
        assert {int(code): fault for code, _, _, fault, _ in ROWS} == {
            code: str(fault) for code, fault in CODES.items()
        }
        assert len(ROWS) == len(CODES)

    @pytest.mark.parametrize(("fault", "outcome"), sorted({(fault, outcome) for *_, fault, outcome in ROWS}))
    def test_the_documented_outcome_is_that_of_the_fault(self, fault: str, outcome: str) -> None:
        assert outcome == OUTCOMES[fault][0]

    def test_every_fault_is_documented(self) -> None:
        assert set(OUTCOMES) == set(map(str, Verdict))

    @pytest.mark.parametrize("is_write", [True, False])
    @pytest.mark.parametrize(("code", "status", "fault"), [(int(row[0]), row[1], row[3]) for row in ROWS])
    def test_each_code_has_its_error_and_a_message_for_a_person(
        self, code: int, status: str, fault: str, is_write: bool
    ) -> None:
        for answered in {int(status or 400), 400, 403, 404}:
            error = provider_error(refusal(answered, code, is_write=is_write))

            assert type(error) is OUTCOMES[fault][1 if is_write else 2]
            assert f"the platform's words (HTTP {answered}, code {code})" in str(error)

    @pytest.mark.parametrize("code", [code for code, fault in CODES.items() if fault is Verdict.SETTINGS])
    def test_a_refused_token_names_its_setting(self, code: int) -> None:
        assert "SEVENBRIDGES_API_TOKEN" in str(provider_error(refusal(403, code, is_write=True)))

    @pytest.mark.parametrize("status", [403, 404])
    @pytest.mark.parametrize("code", THE_RUNS_OWN)
    def test_a_code_about_what_the_run_names_rejects_the_run_and_says_what_to_check(
        self, code: int, status: int
    ) -> None:
        error = provider_error(refusal(status, code, is_write=True))

        assert type(error) is Rejected
        assert ": check the " in str(error)

    @pytest.mark.parametrize("status", [400, 402, 403, 404, 410, 413, 414, 422, 423])
    @pytest.mark.parametrize("code", [5999, 12345])
    def test_an_unknown_code_is_the_runs_fault(self, code: int, status: int) -> None:
        assert type(provider_error(refusal(status, code, is_write=True))) is Rejected

    @pytest.mark.parametrize("status", [408, 409, 500, 502, 503])
    def test_an_unknown_code_of_a_status_that_decides_nothing_is_in_doubt(self, status: int) -> None:
        assert isinstance(provider_error(refusal(status, 12345, is_write=True)), OutcomeUnknown)

    @pytest.mark.parametrize("code", CODES)
    def test_401_and_429_take_precedence_over_any_code(self, code: int) -> None:
        assert type(provider_error(refusal(401, code, is_write=True))) is Misconfigured
        assert type(provider_error(refusal(429, code, is_write=True))) is Throttled

    @pytest.mark.parametrize("code", [3001, 3002, 7001, 90001, 90002])
    def test_while_listing_a_refusal_of_access_is_no_bug(self, code: int) -> None:
        """B3."""
        with pytest.raises(Misconfigured, match=f"code {code}.*: (check|give)"), translated_unless_rejected():
            raise refusal(403, code, is_write=False)


# What is expected of each status without a code, for a write and for a read.
BY_STATUS: Mapping[int, tuple[type[Exception], type[Exception]]] = {
    **dict.fromkeys((402, 405, 406, 410, 415, 418, 423, 451, 499), (AmbiguousRefusal, AmbiguousRefusal)),
    400: (Rejected, Rejected),
    401: (Misconfigured, Misconfigured),
    403: (AmbiguousRefusal, AmbiguousRefusal),
    404: (AmbiguousRefusal, AmbiguousRefusal),
    408: (OutcomeUnknown, NotNow),
    409: (OutcomeUnknown, NotNow),
    413: (Rejected, Rejected),
    414: (Rejected, Rejected),
    422: (Rejected, Rejected),
    429: (Throttled, Throttled),
    **dict.fromkeys(range(500, 600), (AnswerLost, Unavailable)),
}


class FakeAdapter(requests.adapters.BaseAdapter):
    """Answers every request with one answer, or raises one error."""

    def __init__(self, outcome: BaseException | tuple[int, bytes]) -> None:
        super().__init__()
        self._outcome = outcome

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        del kwargs
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        response = requests.Response()
        response.status_code, response._content = self._outcome
        response.request, response.url = request, request.url or ""
        return response

    def close(self) -> None:
        """Nothing is open."""


def sdk_that(outcome: BaseException | tuple[int, bytes]) -> Sdk:
    config = SevenBridgesConfig(endpoint="https://api.invalid/v2", token="not-a-token", project="lab/genomes")
    sdk = Sdk(config, lambda _status, _headers: None)
    sdk._api.session.mount("https://", FakeAdapter(outcome))
    return sdk


def failed(outcome: BaseException | tuple[int, bytes], *, is_write: bool) -> ProviderError | Failure:
    """The port's error of a call with this outcome."""
    with pytest.raises(Failure) as raised:
        sdk_that(outcome).request("post", "/tasks", params={}, body={}, is_write=is_write)
    return provider_error(raised.value)


class TestStatuses:
    @pytest.mark.parametrize("body", [b"", b"<html>an error page</html>", b"[]", b'{"message": 7, "code": "x"}'])
    @pytest.mark.parametrize("status", [status for status in BY_STATUS if status < 505])
    def test_an_answer_without_a_code_is_judged_by_its_status(self, status: int, body: bytes) -> None:
        for is_write, kind in zip((True, False), BY_STATUS[status], strict=True):
            error = failed((status, body), is_write=is_write)

            assert type(error) is kind
            assert f"HTTP {status}" in str(error)

    @pytest.mark.parametrize("body", [b"", b"<html></html>", b"[]", b'"text"', b"{"])
    def test_an_answer_that_is_no_object_is_lost(self, body: bytes) -> None:
        assert type(failed((200, body), is_write=True)) is AnswerLost
        assert type(failed((200, body), is_write=False)) is Unavailable


def _exceptions(module: object, base: type[BaseException]) -> Iterator[type[BaseException]]:
    for found in vars(module).values():
        if isinstance(found, type) and issubclass(found, base):
            yield found


BLOCKING = {
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidProxyURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.TooManyRedirects,
}
POOL: Any = urllib3.HTTPSConnectionPool("api.invalid")
UNSENT = [
    requests.exceptions.ConnectionError(urllib3.exceptions.NewConnectionError(POOL, "connection refused")),
    requests.exceptions.ConnectTimeout(urllib3.exceptions.ConnectTimeoutError("timed out")),
    requests.exceptions.ConnectionError(NoConnection("refused", OSError("refused"), is_through_proxy=True)),
    requests.exceptions.ConnectionError(NoConnection("reset", ConnectionResetError("reset"))),
    requests.exceptions.SSLError(NoConnection("handshake", ssl.SSLError("handshake"))),
]


class TestExceptions:
    """Every exception of the two libraries, raised where a request is sent."""

    @pytest.mark.parametrize("kind", list(_exceptions(requests.exceptions, requests.RequestException)))
    def test_each_exception_of_requests_has_an_outcome(self, kind: type[requests.RequestException]) -> None:
        error = kind("text", "document", 0) if kind is requests.exceptions.JSONDecodeError else kind("text")
        is_blocking = kind in BLOCKING

        assert type(failed(error, is_write=True)) is (Misconfigured if is_blocking else AnswerLost)
        assert type(failed(error, is_write=False)) is (Misconfigured if is_blocking else Unavailable)

    @pytest.mark.parametrize("error", UNSENT)
    def test_what_was_not_sent_is_not_now(self, error: Exception) -> None:
        for is_write in (True, False):
            assert type(failed(error, is_write=is_write)) is Unavailable

    @pytest.mark.parametrize(
        "error",
        [
            requests.exceptions.SSLError(ssl.SSLCertVerificationError("self-signed certificate")),
            requests.exceptions.SSLError(NoConnection("verify", ssl.SSLCertVerificationError("self-signed"))),
            OSError("Could not find a suitable TLS CA certificate bundle, invalid path: /nowhere.pem"),
            FileNotFoundError("nowhere.pem"),
        ],
    )
    def test_untrusted_certificates_are_misconfigured(self, error: Exception) -> None:
        for is_write in (True, False):
            refused = failed(error, is_write=is_write)

            assert type(refused) is Misconfigured
            assert "REQUESTS_CA_BUNDLE" in str(refused)

    @pytest.mark.parametrize("kind", list(_exceptions(sevenbridges.errors, sevenbridges.errors.SbgError)))
    def test_each_exception_of_the_sdk_has_an_outcome(self, kind: type[Exception]) -> None:
        error = kind.__new__(kind)
        vars(error).update(message="text", code=None, status=None, more_info=None)
        is_too_long = kind is sevenbridges.errors.URITooLong

        assert type(failed(error, is_write=True)) is (Rejected if is_too_long else AnswerLost)
        assert type(failed(error, is_write=False)) is (Rejected if is_too_long else Unavailable)

    @pytest.mark.parametrize(
        "error",
        [
            # Also of a connection through a proxy that ends after the request.
            urllib3.exceptions.ProxyError("no proxy", RemoteDisconnected("closed")),
            urllib3.exceptions.DecodeError("text"),
            urllib3.exceptions.ProtocolError("text"),
            urllib3.exceptions.ResponseError("text"),
        ],
    )
    def test_what_requests_passes_on_of_urllib3_is_in_doubt(self, error: Exception) -> None:
        assert type(failed(error, is_write=True)) is AnswerLost
        assert type(failed(error, is_write=False)) is Unavailable
