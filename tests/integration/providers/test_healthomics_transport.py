"""CA bundles and proxies that cannot be used: nothing was sent, and the message names the variable (A2)."""

import socket
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from botocore.httpsession import get_cert_path

from tests.integration.providers.healthomics_harness import CONFIG, a_healthomics_submission, bare_provider, simulated
from tests.integration.providers.proxy import passing_on
from tests.simulators.healthomics import faults
from tests.simulators.healthomics.server import HealthOmicsSimulator
from wes_daemon.adapters.providers.healthomics.hints import SqsHints
from wes_daemon.application.ports.errors import AnswerLost, Misconfigured, Unavailable
from wes_daemon.application.ports.events import HintsUnavailable
from wes_daemon.domain.runs import IdempotencyKey

SECRET = "not-a-real-password"
NOBODY = "https://127.0.0.1:9"
QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/wes"


@pytest.fixture(autouse=True, name="simulator")
def healthomics_simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthOmicsSimulator]:
    with simulated(monkeypatch) as simulator:
        monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY)
        monkeypatch.setenv("NO_PROXY", "")
        for name in ("REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield simulator


def refusal() -> str:
    """Return the message with which a submission and the queue of events are refused."""
    with pytest.raises(Misconfigured) as caught:
        bare_provider().submit(a_healthomics_submission())
    with pytest.raises(HintsUnavailable) as hints:
        SqsHints(QUEUE, CONFIG).receive()
    assert str(caught.value) in str(hints.value)
    return "".join(traceback.format_exception(caught.value))


class TestCaBundle:
    @pytest.fixture(params=["missing", "no PEM", "empty", "half a PEM", "a directory"])
    def unusable(self, request: pytest.FixtureRequest, tmp_path: Path) -> str:
        file = tmp_path / "bundle"
        texts = {"no PEM": "hello", "empty": "", "half a PEM": "-----BEGIN CERTIFICATE-----\nAAAA\n"}
        if request.param in texts:
            file.write_text(texts[request.param])
        return str(tmp_path if request.param == "a directory" else file)

    @pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
    def test_one_in_a_variable_is_misconfigured(
        self, monkeypatch: pytest.MonkeyPatch, unusable: str, variable: str
    ) -> None:
        monkeypatch.setenv(variable, unusable)

        message = refusal()

        assert f"{variable}: " in message
        assert unusable in message

    def test_one_in_the_profile_is_misconfigured(
        self, monkeypatch: pytest.MonkeyPatch, unusable: str, tmp_path: Path
    ) -> None:
        config = tmp_path / "config"
        config.write_text(f"[default]\nca_bundle = {unusable}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

        assert "ca_bundle of profile 'default': " in refusal()

    def test_the_variable_of_aws_wins_as_it_does_in_the_sdk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_CA_BUNDLE", get_cert_path(True))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/bundle")

        with pytest.raises(Unavailable):
            bare_provider().submit(a_healthomics_submission())

    @pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
    def test_a_blank_variable_is_misconfigured(self, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
        monkeypatch.setenv(variable, " ")

        with pytest.raises(Misconfigured, match=variable):
            bare_provider().submit(a_healthomics_submission())

    def test_one_that_disappears_later_is_misconfigured(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The SDK reads the file again for each connection."""
        bundle = tmp_path / "bundle"
        bundle.write_text(Path(get_cert_path(True)).read_text())
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
        with ClosingServer() as address:
            monkeypatch.setenv("AWS_ENDPOINT_URL", address)
            provider = bare_provider()
            with pytest.raises(Unavailable):
                provider.submit(a_healthomics_submission())

            bundle.unlink()
            with pytest.raises(Misconfigured, match="AWS_CA_BUNDLE"):
                provider.submit(a_healthomics_submission())

            with pytest.raises(Misconfigured, match=f"AWS_CA_BUNDLE: '{bundle}' cannot be read"):
                provider.submit(a_healthomics_submission())

    def test_it_is_not_read_for_an_endpoint_without_tls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent/bundle")

        with pytest.raises(Unavailable):
            bare_provider().submit(a_healthomics_submission())


class TestProxy:
    @pytest.mark.parametrize(
        "proxy",
        [
            f"socks5://me:{SECRET}@127.0.0.1:9",
            f"http://me:{SECRET}@127.0.0.1:99999",
            f"http://me:{SECRET}ü@127.0.0.1:9",
            f"http://me:{SECRET}@[::1",
            # Python's message about a character that stands for several repeats the login.
            f"http://me:{SECRET}\u2100@127.0.0.1:9",
            f"http://[{SECRET}]@127.0.0.1:9",
            f"http://me:{SECRET}@127.0.0.1:port",
            "http://",
        ],
    )
    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
    def test_an_address_that_is_none_is_misconfigured_without_its_password(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
    ) -> None:
        monkeypatch.setenv(variable, proxy)

        message = refusal()

        assert f"{variable}: the proxy cannot be used" in message
        assert SECRET not in message

    @pytest.mark.parametrize("proxy", [f"http://me:{SECRET}@127.0.0.1:9", "127.0.0.1:9"])
    def test_a_proxy_that_cannot_be_reached_is_named(self, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
        monkeypatch.setenv("HTTPS_PROXY", proxy)

        with pytest.raises(Unavailable, match="check the proxy in HTTPS_PROXY") as caught:
            bare_provider().submit(a_healthomics_submission())

        assert SECRET not in "".join(traceback.format_exception(caught.value))

    def test_a_proxy_that_refuses_the_daemon_is_misconfigured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with ClosingServer(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as address:
            monkeypatch.setenv("HTTPS_PROXY", address.replace("https:", "http:"))

            with pytest.raises(Misconfigured, match="correct the proxy in HTTPS_PROXY"):
                bare_provider().submit(a_healthomics_submission())

    def test_an_answer_that_is_lost_behind_it_leaves_the_run_in_doubt(
        self, monkeypatch: pytest.MonkeyPatch, simulator: HealthOmicsSimulator
    ) -> None:
        """urllib3 reports a connection that ends after the request as one to the proxy that was never made."""
        simulator.faults.put("StartRun", faults.cut(after_acting=True))
        monkeypatch.setenv("AWS_ENDPOINT_URL", simulator.url)
        with passing_on() as address:
            monkeypatch.setenv("HTTP_PROXY", address)

            with pytest.raises(AnswerLost, match="through the proxy in HTTP_PROXY ended before an answer"):
                bare_provider().submit(a_healthomics_submission())

        assert simulator.service.starts(IdempotencyKey("wes-1")) == 1

    def test_the_proxy_of_another_scheme_does_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:9")

        with pytest.raises(Unavailable, match="Could not connect"):
            bare_provider().submit(a_healthomics_submission())

    def test_an_endpoint_without_a_proxy_does_not_need_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

        with pytest.raises(Unavailable, match="Could not connect"):
            bare_provider().submit(a_healthomics_submission())


class ClosingServer:
    """Answers every connection with the same bytes, and closes it."""

    def __init__(self, answer: bytes = b"") -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = Thread(target=self._serve, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"https://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        # Closing alone does not end a thread that waits in `accept`.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, suppress(OSError):
                    connection.recv(10_000)
                    connection.sendall(self._answer)
