"""Credentials that cannot be had: nothing was sent, and the message names what a person has to correct (A1)."""

import logging
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from botocore.credentials import ProcessProvider, ReadOnlyCredentials, SSOProvider
from botocore.utils import ContainerMetadataFetcher

from tests.call_gates import AskingGate
from tests.integration.providers.healthomics_harness import (
    CONFIG,
    a_healthomics_submission,
    bare_provider,
    simulated,
)
from tests.simulators.healthomics.server import HealthOmicsSimulator
from wes_daemon.adapters.providers.healthomics import credentials
from wes_daemon.adapters.providers.healthomics.hints import SqsHints
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.adapters.system import SystemClock
from wes_daemon.application.ports.errors import Misconfigured, NotNow, ProviderError, Unavailable
from wes_daemon.application.ports.events import HintsUnavailable
from wes_daemon.domain.runs import ProviderRunId

FROM_THE_CHAIN = replace(CONFIG, access_key_id=None, secret_access_key=None)
SECRET = "not-a-real-secret"
ROLE = "arn:aws:iam::123456789012:role/daemon"
ID = ProviderRunId("1000001/8dd3")


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthOmicsSimulator]:
    with simulated(monkeypatch) as simulator:
        yield simulator


@dataclass(frozen=True)
class Machine:
    """The files and variables in which the SDK searches for credentials."""

    home: Path
    patch: pytest.MonkeyPatch

    def profile(self, text: str) -> "Machine":
        """Write the AWS config file."""
        file = self.home / "config"
        file.write_text(text)
        return self.set(AWS_CONFIG_FILE=str(file))

    def keys(self, text: str) -> None:
        """Write the AWS credentials file."""
        file = self.home / "credentials"
        file.write_text(text)
        self.patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))

    def process(self, script: str) -> None:
        """Let a shell script be the credential process of the default profile."""
        file = self.home / "process.sh"
        file.write_text(script)
        self.profile(f"[default]\ncredential_process = sh {file}\n")

    def web_identity(self, *, sts: str) -> None:
        """Let a role be assumed at an STS at this address."""
        token = self.home / "token"
        token.write_text(SECRET)
        self.set(AWS_WEB_IDENTITY_TOKEN_FILE=str(token), AWS_ROLE_ARN=ROLE, AWS_ENDPOINT_URL_STS=sts)

    def set(self, **variables: str) -> "Machine":
        for name, value in variables.items():
            self.patch.setenv(name, value)
        return self

    def unset(self, name: str) -> "Machine":
        self.patch.delenv(name)
        return self


@pytest.fixture
def machine(simulator: HealthOmicsSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    del simulator  # has cleared the variables of this machine
    return Machine(tmp_path, monkeypatch)


def _role(name: str, **more: str) -> str:
    return "\n".join([f"[profile {name}]", f"role_arn = {ROLE}", *(f"{key} = {value}" for key, value in more.items())])


def _sso(machine: Machine, token: str | None) -> None:
    cache = machine.home / "sso"
    cache.mkdir()
    if token is not None:
        (cache / f"{sha1(b'https://sso.example').hexdigest()}.json").write_text(token)
    machine.patch.setattr(SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(cache))
    machine.profile(
        "[default]\nsso_start_url = https://sso.example\nsso_region = us-east-1\n"
        "sso_account_id = 123456789012\nsso_role_name = daemon\n"
    )


MFA = (
    "\nmfa_serial = arn:aws:iam::123456789012:mfa/me\n"
    f"[profile keys]\naws_access_key_id = a\naws_secret_access_key = {SECRET}\n"
)
EXPIRED = f'{{"accessToken": "{SECRET}", "expiresAt": "2020-01-01T00:00:00Z"}}'
PROCESS = "credential_process of profile 'default'"

# What is wrong, and what the message names.
BROKEN: dict[str, tuple[Callable[[Machine], object], str]] = {
    "a process that does not exist": (
        lambda it: it.profile("[default]\ncredential_process = /nonexistent/keys --now\n"),
        f"{PROCESS}: No such file or directory: /nonexistent/keys",
    ),
    "a process that fails": (lambda it: it.process(f"echo {SECRET} >&2; exit 3"), f"{PROCESS}: no credentials"),
    "a process that prints no JSON": (lambda it: it.process(f"echo {SECRET}"), f"{PROCESS}: the answer is no JSON"),
    "a process that prints no text": (lambda it: it.process(r"printf '\377'"), f"{PROCESS}: the answer is no JSON"),
    "a process that prints no object": (lambda it: it.process("echo []"), f"{PROCESS}: the credentials are incomplete"),
    "a process that prints half of it": (
        lambda it: it.process(f"""echo '{{"Version": 1, "SecretAccessKey": "{SECRET}"}}'"""),
        f"{PROCESS}: no credentials",
    ),
    "a process of another version": (lambda it: it.process("""echo '{"Version": 2}'"""), f"{PROCESS}: no credentials"),
    "a process that prints a number for a key": (
        lambda it: it.process(f"""echo '{{"Version": 1, "AccessKeyId": 5, "SecretAccessKey": "{SECRET}"}}'"""),
        f"{PROCESS}: the access key",
    ),
    "a process that prints a wrong time": (
        lambda it: it.process(
            f"""echo '{{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "{SECRET}", "Expiration": "soon"}}'"""
        ),
        f"{PROCESS}: ",
    ),
    "a process without a command": (lambda it: it.profile("[default]\ncredential_process =\n"), PROCESS),
    "a process with an open quotation mark": (lambda it: it.profile("[default]\ncredential_process = a 'b\n"), PROCESS),
    "no file with the web identity": (
        lambda it: it.set(AWS_WEB_IDENTITY_TOKEN_FILE="/nonexistent/token", AWS_ROLE_ARN=ROLE),
        "AWS_WEB_IDENTITY_TOKEN_FILE: No such file or directory: /nonexistent/token",
    ),
    "no file with the web identity of a profile": (
        lambda it: it.profile(f"[default]\nweb_identity_token_file = /nonexistent/token\nrole_arn = {ROLE}\n"),
        "web_identity_token_file of profile 'default': No such file or directory: /nonexistent/token",
    ),
    "a web identity without a role": (
        lambda it: it.set(AWS_WEB_IDENTITY_TOKEN_FILE="/nonexistent/token"),
        "AWS_WEB_IDENTITY_TOKEN_FILE: .*AWS_ROLE_ARN",
    ),
    "no file with the token of the container": (
        lambda it: it.set(
            AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="/nonexistent/token",
            AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:9/",
        ),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, .*: No such file or directory: /nonexistent/token",
    ),
    "a token of the container with a line break": (
        lambda it: it.set(
            AWS_CONTAINER_AUTHORIZATION_TOKEN=f"{SECRET}\n", AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:9/"
        ),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN, ",
    ),
    "a profile that needs an MFA code": (
        lambda it: it.profile(_role("me", source_profile="keys") + MFA).set(AWS_PROFILE="me"),
        "profile 'me' has mfa_serial",
    ),
    "a source profile that needs an MFA code": (
        lambda it: it.profile(
            _role("me", source_profile="other") + "\n" + _role("other", source_profile="keys") + MFA
        ).set(AWS_PROFILE="me"),
        "profile 'other' has mfa_serial",
    ),
    "half a pair of keys in the file": (
        lambda it: it.keys("[default]\naws_access_key_id = a\n"),
        r"profile 'default' \(shared-credentials-file\).*aws_secret_access_key",
    ),
    "half a pair of keys in the profile": (
        lambda it: it.profile("[default]\naws_access_key_id = a\n"),
        r"profile 'default' \(config-file\).*aws_secret_access_key",
    ),
    "half a pair of keys in the environment": (
        lambda it: it.set(AWS_ACCESS_KEY_ID="a"),
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: ",
    ),
    "a file that is no list of profiles": (
        lambda it: it.profile("no section\n"),
        "Unable to parse config file: .*config",
    ),
    "a profile that does not exist": (lambda it: it.set(AWS_PROFILE="gone"), r"profile \(gone\) could not be found"),
    "a source profile that does not exist": (
        lambda it: it.profile(_role("me", source_profile="gone")).set(AWS_PROFILE="me"),
        "role_arn of profile 'me': .*gone.* does not exist",
    ),
    "profiles in a circle": (
        lambda it: it.profile(_role("me", source_profile="you") + "\n" + _role("you", source_profile="me")).set(
            AWS_PROFILE="me"
        ),
        "role_arn of profile 'me': Infinite loop",
    ),
    "no token of SSO": (lambda it: _sso(it, None), "SSO of profile 'default': .*aws sso login --profile default"),
    "an expired token of SSO": (lambda it: _sso(it, EXPIRED), "SSO of profile 'default': .*aws sso login"),
    "a token of SSO that is no JSON": (lambda it: _sso(it, SECRET), "SSO of profile 'default': "),
    "a section of services that is none": (
        lambda it: (
            it.set(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
            .profile("[default]\nservices = x\n[services x]\nomics = x\nsqs = x\n")
            .unset("AWS_ENDPOINT_URL")
        ),
        "the AWS settings in the environment or in the AWS profile cannot be used for omics: AttributeError",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
class TestNothingIsSent:
    def test_every_operation_is_misconfigured_and_names_the_culprit(
        self, simulator: HealthOmicsSimulator, machine: Machine, case: str
    ) -> None:
        breaks, culprit = BROKEN[case]
        breaks(machine)
        provider = bare_provider(FROM_THE_CHAIN)

        for call in operations(provider):
            with pytest.raises(Misconfigured, match=culprit) as caught:
                call()
            assert type(caught.value) is Misconfigured
            assert "AWS_ENDPOINT_URL" not in str(caught.value)
            assert SECRET not in "".join(traceback.format_exception(caught.value))

        assert simulator.calls == []

    def test_the_queue_of_events_names_the_culprit(
        self, simulator: HealthOmicsSimulator, machine: Machine, case: str
    ) -> None:
        breaks, culprit = BROKEN[case]
        breaks(machine)
        queue = SqsHints("https://sqs.us-east-1.amazonaws.com/123456789012/wes", FROM_THE_CHAIN)

        with pytest.raises(HintsUnavailable, match=culprit.replace("for omics", "for sqs")) as caught:
            queue.receive()

        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert simulator.calls == []


def operations(provider: HealthOmicsProvider) -> list[Callable[[], object]]:
    return [
        lambda: provider.submit(a_healthomics_submission()),
        lambda: provider.submit(replace(a_healthomics_submission(), resumed=True, in_doubt_for=timedelta(hours=1))),
        lambda: provider.statuses([ID]),
        lambda: provider.cancel(ID),
        lambda: provider.details(ID),
    ]


def test_an_mfa_code_is_not_asked_for(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    BROKEN["a profile that needs an MFA code"][0](machine)

    with pytest.raises(Misconfigured):
        bare_provider(FROM_THE_CHAIN).submit(a_healthomics_submission())

    assert capfd.readouterr() == ("", "")


def test_a_process_that_does_not_end_is_given_up(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """All threads wait for it, and with them the runs of all providers."""
    monkeypatch.setattr(credentials, "_PROCESS_TIMEOUT", timedelta(seconds=0.1))
    machine.process("exec sleep 1000")

    with pytest.raises(Misconfigured, match=f"{PROCESS}: it has not ended after 0.1 seconds; nothing was sent"):
        bare_provider(FROM_THE_CHAIN).submit(a_healthomics_submission())


def test_a_process_cannot_read_from_the_terminal_of_the_daemon(machine: Machine) -> None:
    machine.process("cat >&2; exit 1")

    with silent_input(), pytest.raises(Misconfigured, match=f"{PROCESS}: no credentials were obtained"):
        bare_provider(FROM_THE_CHAIN).submit(a_healthomics_submission())


def test_credentials_are_found_again_once_the_profile_is_corrected(
    simulator: HealthOmicsSimulator, machine: Machine
) -> None:
    provider = bare_provider(FROM_THE_CHAIN)
    BROKEN["a process that does not exist"][0](machine)
    with pytest.raises(Misconfigured):
        provider.submit(a_healthomics_submission())

    machine.process("""echo '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b"}'""")

    assert provider.submit(a_healthomics_submission())
    assert len(simulator.service.started) == 1


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"session_token": f"{SECRET}\n"}, "AWS_SESSION_TOKEN"),
        ({"access_key_id": "a key"}, "AWS_ACCESS_KEY_ID"),
        ({"secret_access_key": f"{SECRET}ü"}, "AWS_SECRET_ACCESS_KEY"),
        ({"secret_access_key": None}, "AWS_SECRET_ACCESS_KEY"),
        ({"access_key_id": None}, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_key_in_the_settings_that_no_header_can_hold_is_named_and_not_shown(
    simulator: HealthOmicsSimulator, changes: dict[str, Any], name: str
) -> None:
    """The SDK's own message repeats the header with the token."""
    with pytest.raises(Misconfigured, match=name) as caught:
        bare_provider(replace(CONFIG, **changes)).submit(a_healthomics_submission())

    assert SECRET not in str(caught.value)
    assert simulator.calls == []


class TestRenewal:
    def test_a_renewal_that_fails_while_start_run_is_signed_puts_no_run_in_doubt(
        self, simulator: HealthOmicsSimulator, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine.profile("[default]\n")
        fake = FailingCredentials()
        monkeypatch.setattr(ProcessProvider, "load", lambda _: fake)
        bare_provider(FROM_THE_CHAIN).submit(a_healthomics_submission("wes-1"))
        # The last request of a submission is StartRun, and what signs it asks for the credentials last.
        fake.fails_at, fake.calls = fake.calls, 0

        with pytest.raises(Misconfigured, match=f"{PROCESS}: No such file or directory: /nonexistent/keys"):
            bare_provider(FROM_THE_CHAIN).submit(a_healthomics_submission("wes-2"))

        assert fake.calls == fake.fails_at
        assert simulator.operations["ListRuns"] == 2
        assert simulator.operations["StartRun"] == 1

    def test_a_failed_renewal_writes_no_output_of_the_process_to_the_log(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        once = machine.home / "once"
        machine.process(
            f"""[ -e {once} ] && {{ echo {SECRET} >&2; exit 1; }}; touch {once}
            echo '{{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c",
                   "Expiration": "'$(date -u -d '+5 minutes' +%Y-%m-%dT%H:%M:%SZ)'"}}'"""
        )

        with pytest.raises(Misconfigured, match=PROCESS):
            bare_provider(FROM_THE_CHAIN).submit(a_healthomics_submission())

        assert "Refreshing temporary credentials failed" in caplog.text
        assert SECRET not in caplog.text

    def test_credentials_that_have_expired_when_they_come_are_misconfigured(self, machine: Machine) -> None:
        machine.process(
            """echo '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c",
                      "Expiration": "2020-01-01T00:00:00Z"}'"""
        )

        with pytest.raises(Misconfigured, match=f"{PROCESS}: the renewed credentials have expired"):
            bare_provider(FROM_THE_CHAIN).submit(a_healthomics_submission())

    def test_it_precedes_the_check_of_the_lease(self, machine: Machine) -> None:
        """A renewal takes requests of its own, for which the lease was not checked."""
        machine.process("exit 1")
        asked: list[str] = []
        provider = HealthOmicsProvider(FROM_THE_CHAIN, clock=SystemClock(), gate=AskingGate(asked.append))

        with pytest.raises(Misconfigured, match=PROCESS):
            provider.cancel(ID)

        assert asked == []


@contextmanager
def silent_input() -> Iterator[None]:
    """Give this process a standard input that neither says anything nor ends, as a terminal."""
    before = os.dup(0)
    reading, writing = os.pipe()
    try:
        os.dup2(reading, 0)
        yield
    finally:
        os.dup2(before, 0)
        for descriptor in (before, reading, writing):
            os.close(descriptor)


class FailingCredentials:
    """Credentials whose renewal fails at one of its calls."""

    method = "custom-process"
    access_key, secret_key, token = "a", "b", None

    def __init__(self) -> None:
        self.calls = 0
        self.fails_at: int | None = None

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        self.calls += 1
        if self.calls == self.fails_at:
            raise FileNotFoundError(2, "No such file or directory", "/nonexistent/keys")
        return ReadOnlyCredentials(self.access_key, self.secret_key, self.token, None)

    def get_deferred_property(self, name: str) -> Callable[[], object]:
        return lambda: getattr(self, name, None)


class TestSts:
    """The service that issues the credentials."""

    def test_one_that_cannot_be_reached_is_unavailable(self, simulator: HealthOmicsSimulator, machine: Machine) -> None:
        machine.web_identity(sts="http://127.0.0.1:9")

        for call in operations(bare_provider(FROM_THE_CHAIN)):
            with pytest.raises(Unavailable, match="AWS_WEB_IDENTITY_TOKEN_FILE: Could not connect"):
                call()

        assert simulator.calls == []

    @pytest.mark.parametrize(
        ("status", "code", "expected"),
        [
            (403, "AccessDenied", Misconfigured),
            (400, "InvalidIdentityToken", Misconfigured),
            (400, "ExpiredTokenException", Misconfigured),
            (400, "Throttling", NotNow),
            (503, "ServiceUnavailable", Unavailable),
        ],
    )
    def test_its_refusal_is_none_of_start_run(
        self, simulator: HealthOmicsSimulator, machine: Machine, status: int, code: str, expected: type[ProviderError]
    ) -> None:
        with refusing_sts(status, code) as address:
            machine.web_identity(sts=address)

            with pytest.raises(expected, match=f"AssumeRoleWithWebIdentity was refused with {code}") as caught:
                bare_provider(FROM_THE_CHAIN).submit(a_healthomics_submission())

        assert type(caught.value) is expected
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert simulator.calls == []


def test_what_the_service_of_a_container_answers_is_neither_told_nor_logged(
    simulator: HealthOmicsSimulator,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)
    with refusing_sts(200, "none") as address:
        machine.set(AWS_CONTAINER_CREDENTIALS_FULL_URI=address)

        with pytest.raises(Misconfigured, match="AWS_CONTAINER_CREDENTIALS_FULL_URI: no credentials") as caught:
            bare_provider(FROM_THE_CHAIN).submit(a_healthomics_submission())

    assert SECRET not in "".join(traceback.format_exception(caught.value)) + caplog.text
    assert simulator.calls == []


class refusing_sts:  # noqa: N801 - a context manager
    """An STS that refuses everything, and repeats the token."""

    def __init__(self, status: int, code: str) -> None:
        body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{SECRET}</Message></Error></ErrorResponse>".encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Write nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
