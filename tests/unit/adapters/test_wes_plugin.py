"""The settings of the provider for WES servers, and how it is built from them."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.builders import a_request, an_attachment
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.providers.wes.plugin import WesPlugin, WesSettings, _config
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS, CallGate, OpenCallGate
from wes_daemon.application.ports.errors import Misconfigured, NotEnabled, Rejected
from wes_daemon.application.ports.providers import Idempotency, Submission
from wes_daemon.domain.runs import IdempotencyKey, ProviderType, RunId
from wes_daemon.plugins import Configured, Missing, ProviderTools, Rate

_PLUGIN = WesPlugin()
_SERVER = {"WES_ENDPOINT": "https://wes.example.org"}


def _settings(**variables: str) -> WesSettings:
    return WesSettings.model_validate(variables)


def _tools(gates: dict[str, Mapping[str, Rate]] | None = None) -> ProviderTools:
    def make(rates: Mapping[str, Rate], account: str) -> CallGate:
        if gates is not None:
            gates[account] = rates
        return OpenCallGate()

    return ProviderTools(name=ProviderType.WES, clock=ManualClock(), make_gate=make)


def _submission(url: str, *, attachments: tuple[str, ...] = ()) -> Submission:
    return Submission(
        key=IdempotencyKey("wes-1"),
        run_id=RunId("1"),
        request=a_request(workflow_url=url),
        attachments=[an_attachment(name) for name in attachments],
    )


def test_the_provider_is_configured_by_an_endpoint_alone() -> None:
    assert _PLUGIN.is_configured(_settings()) == Missing(settings=("WES_ENDPOINT",))
    assert _PLUGIN.is_configured(_settings(WES_TOKEN="t-7")) == Missing(settings=("WES_ENDPOINT",), is_partial=True)
    assert _PLUGIN.is_configured(_settings(**_SERVER)) == Configured(target="wes.example.org")


def test_without_an_endpoint_it_cannot_be_built() -> None:
    with pytest.raises(NotEnabled, match="set WES_ENDPOINT"):
        _PLUGIN.build(_settings(), _tools())


def test_a_wrong_endpoint_is_refused_when_the_settings_are_read() -> None:
    with pytest.raises(ValidationError, match="WES_USER and WES_PASSWORD"):
        _settings(WES_ENDPOINT="https://ada:pw@wes.example.org")


@pytest.mark.parametrize(
    ("variables", "header"),
    [
        ({}, None),
        ({"WES_TOKEN": " t-7\n"}, "Bearer t-7"),
        ({"WES_USER": "ada", "WES_PASSWORD": "p"}, "Basic YWRhOnA="),
        ({"WES_USER": "ada"}, "Basic YWRhOg=="),
    ],
)
def test_the_credential_comes_from_the_settings(variables: dict[str, str], header: str | None) -> None:
    config = _config(_settings(**_SERVER, **variables), _tools())

    assert config.authorization == header
    assert config.read_secret is None


@pytest.mark.parametrize(
    ("variables", "first", "second"),
    [
        ({"WES_TOKEN_FILE": "secret"}, "Bearer one", "Bearer two"),
        ({"WES_USER": "ada", "WES_PASSWORD_FILE": "secret"}, "Basic YWRhOm9uZQ==", "Basic YWRhOnR3bw=="),
    ],
)
def test_a_secret_in_a_file_can_be_read_again(
    variables: dict[str, str], first: str, second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret").write_text("one\n")
    config = _config(_settings(**_SERVER, **variables), _tools())
    assert config.read_secret is not None

    Path("secret").write_text("two\n")

    assert (config.authorization, config.with_secret(config.read_secret()).authorization) == (first, second)
    Path("secret").unlink()
    with pytest.raises(Misconfigured, match=r"_FILE: the file cannot be read"):
        config.read_secret()


@pytest.mark.parametrize(
    "variables",
    [{"WES_TOKEN": "t", "WES_USER": "ada"}, {"WES_PASSWORD": "p"}, {"WES_USER": "a:b", "WES_PASSWORD": "p"}],
)
def test_settings_that_contradict_each_other_are_refused(variables: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="WES_USER"):
        _PLUGIN.build(_settings(**_SERVER, **variables), _tools())


def test_every_form_of_the_secret_is_kept_out_of_logs(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hidden-7")

    secrets = _PLUGIN.secrets(_settings(**_SERVER, WES_USER="ada", WES_PASSWORD_FILE=str(file), WES_TOKEN="t-7"))

    assert {"hidden-7", "YWRhOmhpZGRlbi03", "t-7"} <= set(secrets)


def test_the_rate_limit_belongs_to_the_server_and_the_credential() -> None:
    gates: dict[str, Mapping[str, Rate]] = {}
    for token in ("a", "b"):
        _PLUGIN.build(_settings(**_SERVER, WES_TOKEN=token, WES_RATE_LIMIT="100/60"), _tools(gates))
    _PLUGIN.build(_settings(WES_ENDPOINT="https://other.example.org"), _tools(gates))

    assert [set(rates) for rates in gates.values()] == [{ALL_OPERATIONS}, {ALL_OPERATIONS}, set()]
    assert all(account.startswith("wes:") for account in gates)


@pytest.mark.parametrize(("value", "kind"), [("true", Idempotency.KEY), ("false", Idempotency.AT_MOST_ONCE)])
def test_a_person_says_whether_the_server_honours_keys(value: str, kind: Idempotency) -> None:
    provider = _PLUGIN.build(_settings(**_SERVER, WES_HONOURS_IDEMPOTENCY_KEY=value), _tools())

    assert provider.limits.idempotency is kind


def test_a_workflow_file_that_is_not_attached_is_refused_before_it_is_queued() -> None:
    with pytest.raises(Rejected, match=r"'wf/main.cwl#sub' names a file that is not attached"):
        _PLUGIN.check_request(_settings(), _submission("wf/main.cwl#sub", attachments=("main.cwl",)))


@pytest.mark.parametrize("url", ["./wf/main.cwl#sub", "https://lab.example.org/x.cwl", "trs://id/1", "lab/align"])
def test_other_workflows_are_taken(url: str) -> None:
    _PLUGIN.check_request(_settings(), _submission(url, attachments=("wf/main.cwl",)))


@pytest.mark.parametrize(
    ("url", "variables", "takes"),
    [
        ("main.cwl", _SERVER, True),
        ("https://lab.example.org/x.cwl", _SERVER, True),
        ("lab/align", _SERVER, False),
        ("https://lab.example.org/x.cwl", {}, False),
    ],
)
def test_it_is_recommended_only_where_a_server_is_configured(url: str, variables: dict[str, str], takes: bool) -> None:
    settings, submission = _settings(**variables), _submission(url, attachments=("main.cwl",))

    assert _PLUGIN.takes_workflow(settings, submission) is takes
