"""Certificates and proxies of the Seven Bridges provider: what keeps a request from leaving (A2)."""

import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.providers.proxy import passing_on
from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import SevenBridgesHarness
from tests.simulators.sevenbridges.faults import CUT_AFTER, CUT_BEFORE
from wes_daemon.application.ports.errors import AnswerLost, Misconfigured, NotNow, OutcomeUnknown, ProviderError
from wes_daemon.application.ports.providers import Accepted

__all__ = ["authority", "harness", "trusted"]

PASSWORD = "not-a-passw0rd"

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def missing(folder: Path) -> Path:
    return folder / "nowhere.pem"


def no_pem(folder: Path) -> Path:
    path = folder / "page.pem"
    path.write_text("<html>not a certificate</html>")
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.pem"
    path.write_text("")
    return path


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("make", [missing, no_pem, empty])
class TestCertificates:
    def test_a_file_without_certificates_is_misconfigured_by_variable_and_path(
        self,
        harness: SevenBridgesHarness,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        variable: str,
        make: Callable[[Path], Path],
    ) -> None:
        path = make(tmp_path)
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        monkeypatch.setenv(variable, str(path))

        with pytest.raises(Misconfigured, match=f"{variable} names the file {path}"):
            harness.provider().submit(harness.of())

        assert harness.platform.calls == []

    def test_a_start_that_was_not_sent_leaves_no_doubt(
        self,
        harness: SevenBridgesHarness,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        variable: str,
        make: Callable[[Path], Path],
    ) -> None:
        provider, submission = harness.provider(), harness.of()
        prepared = provider.submit(submission)
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        monkeypatch.setenv(variable, str(make(tmp_path)))

        with pytest.raises(Misconfigured, match=variable):
            provider.submit(replace(submission, prepared_id=prepared.id))

        assert harness.platform.started == []


class TestHandshakes:
    def test_a_handshake_that_fails_is_not_now_also_for_a_start(
        self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A proxy that opens the tunnel stands before a service that does not speak TLS."""
        provider, submission = harness.provider(), harness.of()
        prepared = provider.submit(submission)
        with answering(b"HTTP/1.1 200 OK\r\n\r\nnot TLS") as port:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")

            with pytest.raises(NotNow):
                provider.submit(replace(submission, prepared_id=prepared.id))


class TestProxies:
    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
    @pytest.mark.parametrize("address", ["proxy.invalid:no-port", "[proxy", ":8080", f"{'x' * 70}.invalid:8080"])
    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_a_proxy_that_is_no_address_is_misconfigured_by_its_variable(
        self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch, variable: str, address: str, scheme: str
    ) -> None:
        monkeypatch.setenv(variable, f"{scheme}://me:{PASSWORD}@{address}")

        with pytest.raises(Misconfigured, match=variable) as refusal:
            harness.provider().submit(harness.of())

        assert_no_password(refusal.value)

    @pytest.mark.parametrize("login", [f"me:{PASSWORD}-\u043f", f"[{PASSWORD}]"])
    def test_a_login_that_cannot_be_sent_is_misconfigured_by_its_variable(
        self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch, login: str
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{login}@127.0.0.1:8080")

        with pytest.raises(Misconfigured, match="HTTPS_PROXY") as refusal:
            harness.provider().submit(harness.of())

        assert_no_password(refusal.value)

    @pytest.mark.parametrize("scheme", ["socks5", "gopher"])
    def test_a_proxy_of_another_kind_is_misconfigured_by_its_variable(
        self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch, scheme: str
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://me:{PASSWORD}@127.0.0.1:8080")

        with pytest.raises(Misconfigured, match="HTTPS_PROXY") as refusal:
            harness.provider().submit(harness.of())

        assert_no_password(refusal.value)

    def test_a_proxy_that_does_not_answer_is_not_now_and_named(
        self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@127.0.0.1:9")

        with pytest.raises(NotNow, match="HTTPS_PROXY") as failure:
            harness.provider().submit(harness.of())

        assert_no_password(failure.value)

    @pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"403 Forbidden"])
    def test_a_proxy_that_refuses_is_misconfigured_by_its_variable(
        self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch, status: bytes
    ) -> None:
        provider, submission = harness.provider(), harness.of()
        prepared = provider.submit(submission)
        with answering(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as port:
            monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@127.0.0.1:{port}")

            with pytest.raises(Misconfigured, match="HTTPS_PROXY") as refusal:
                provider.submit(replace(submission, prepared_id=prepared.id))

        assert_no_password(refusal.value)

    @pytest.mark.parametrize("status", [b"502 Bad Gateway", b"429 Too Many Requests"])
    def test_a_proxy_that_cannot_reach_the_service_is_not_now(
        self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch, status: bytes
    ) -> None:
        provider, submission = harness.provider(), harness.of()
        prepared = provider.submit(submission)
        with answering(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as port:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")

            with pytest.raises(NotNow):
                provider.submit(replace(submission, prepared_id=prepared.id))


class TestAnswersLostBehindAProxy:
    """urllib3 reports a connection that ends after the request as one to the proxy that was never made."""

    @pytest.fixture(autouse=True)
    def _proxy(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with passing_on() as address:
            monkeypatch.setenv("HTTPS_PROXY", address)
            yield

    def test_a_draft_whose_answer_is_lost_is_in_doubt(self, harness: SevenBridgesHarness) -> None:
        harness.platform.faults.add("create_task", CUT_AFTER)

        with pytest.raises(AnswerLost, match="Remote end closed connection"):
            harness.provider().submit(harness.of())

    def test_a_start_whose_answer_is_lost_is_looked_up(self, harness: SevenBridgesHarness) -> None:
        provider, submission = harness.provider(), harness.of()
        prepared = provider.submit(submission)
        harness.platform.faults.add("run_task", CUT_AFTER)

        assert provider.submit(replace(submission, prepared_id=prepared.id)) == Accepted(prepared.id)

    def test_a_start_that_cannot_be_looked_up_is_in_doubt(self, harness: SevenBridgesHarness) -> None:
        provider, submission = harness.provider(), harness.of()
        prepared = provider.submit(submission)
        harness.platform.faults.add("run_task", CUT_AFTER)
        harness.platform.faults.add("get_task", CUT_BEFORE)

        with pytest.raises(OutcomeUnknown):
            provider.submit(replace(submission, prepared_id=prepared.id))


def assert_no_password(error: ProviderError) -> None:
    assert PASSWORD not in "".join(traceback.format_exception(error))


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server on loopback that answers every connection with `answer`; gives its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
