"""What may be configured, where it comes from, and what a wrong value says."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import cast

import boto3
import pytest

from wes_daemon.adapters.providers.healthomics.plugin import HealthOmicsSettings
from wes_daemon.adapters.providers.local.plugin import LocalSettings
from wes_daemon.adapters.providers.sevenbridges.plugin import SevenBridgesSettings
from wes_daemon.application.ports.errors import Misconfigured
from wes_daemon.bootstrap.env_file import names_in_env_file
from wes_daemon.bootstrap.setting_problems import ConfigurationError, misspelt
from wes_daemon.bootstrap.settings import (
    Settings,
    documented_settings,
    read_settings,
    setting_names,
    setting_prefixes,
)
from wes_daemon.domain.runs import ProviderType

SECRET = "not-a-real-token"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, _, _ in documented_settings():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def sevenbridges(settings: Settings) -> SevenBridgesSettings:
    return cast(SevenBridgesSettings, settings.providers[ProviderType.SEVENBRIDGES].settings)


def healthomics(settings: Settings) -> HealthOmicsSettings:
    return cast(HealthOmicsSettings, settings.providers[ProviderType.HEALTHOMICS].settings)


def local(settings: Settings) -> LocalSettings:
    return cast(LocalSettings, settings.providers[ProviderType.LOCAL].settings)


def test_everything_has_its_documented_default() -> None:
    settings = read_settings()

    assert settings.database_uri is None
    assert settings.poll_interval == timedelta(seconds=60)
    assert settings.status_check_interval == timedelta(seconds=300)
    assert settings.max_concurrent_workflows == 10
    assert settings.default_provider == ProviderType.SEVENBRIDGES
    assert settings.workers == 16
    assert settings.auto_migrate
    assert settings.service_tables == "create"
    assert settings.daemon_schema is None
    assert sevenbridges(settings).api_endpoint == "https://api.sbgenomics.com/v2"
    assert healthomics(settings).region is None
    assert healthomics(settings).default_region is None
    assert local(settings).workdir is None


def test_the_engines_of_the_wes_services_have_providers_by_default() -> None:
    assert read_settings().engine_providers == {
        "sevenbridges": ProviderType.SEVENBRIDGES,
        "awshealthomics": ProviderType.HEALTHOMICS,
        "healthomics": ProviderType.HEALTHOMICS,
        "cwltool": ProviderType.LOCAL,
        "local": ProviderType.LOCAL,
        "wes": ProviderType.WES,
        "arvados": None,
    }


@pytest.mark.parametrize(
    ("value", "engines"),
    [
        ("off", {}),
        (
            " Toil = HealthOmics , Arvados=sevenbridges,Terra=none,local=none",
            {
                "sevenbridges": ProviderType.SEVENBRIDGES,
                "healthomics": ProviderType.HEALTHOMICS,
                "local": None,
                "wes": ProviderType.WES,
                "toil": ProviderType.HEALTHOMICS,
                "arvados": ProviderType.SEVENBRIDGES,
                "terra": None,
            },
        ),
    ],
)
def test_engines_can_have_other_providers(
    value: str, engines: dict[str, ProviderType | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAEMON_ENGINE_PROVIDERS", value)

    assert read_settings().engine_providers == engines


def test_arguments_come_first_the_environment_second_the_file_third(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("DAEMON_POLL_INTERVAL=1\nDAEMON_STATUS_CHECK_INTERVAL=1\nDAEMON_WORKERS=1\n")
    monkeypatch.setenv("DAEMON_POLL_INTERVAL", "2")
    monkeypatch.setenv("DAEMON_STATUS_CHECK_INTERVAL", "2")

    settings = read_settings(poll_interval=3)

    assert settings.poll_interval == timedelta(seconds=3)
    assert settings.status_check_interval == timedelta(seconds=2)
    assert settings.workers == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DAEMON_POLL_INTERVAL", "abc", "valid number"),
        ("DAEMON_POLL_INTERVAL", "0", "greater than 0"),
        ("DAEMON_POLL_INTERVAL", "nan", "finite number"),
        ("DAEMON_STATUS_CHECK_INTERVAL", "-1", "greater than 0"),
        ("DAEMON_MAX_CONCURRENT_WORKFLOWS", "1.5", "valid integer"),
        ("DAEMON_MAX_CONCURRENT_WORKFLOWS", "0", "greater than or equal to 1"),
        (
            "DAEMON_DEFAULT_PROVIDER",
            "azure",
            "there is no provider 'azure'; the providers here are healthomics, local, sevenbridges",
        ),
        ("DAEMON_DEFAULT_PROVIDER", "azure batch", "use lower-case letters, digits and -"),
        ("DAEMON_ENGINE_PROVIDERS", "cwltool", "expected engine=provider, or engine=none"),
        ("DAEMON_ENGINE_PROVIDERS", "cwltool=locale", "there is no provider 'locale'; the providers here are"),
        ("DAEMON_ENGINE_PROVIDERS", "=local", "expected engine=provider"),
        ("DAEMON_OUTPUTS_TAG", "provider_id", "name another tag, such as outputs"),
        ("DAEMON_LEASE_SECONDS", "1", "greater than or equal to 2"),
        ("DAEMON_AUTO_MIGRATE", "perhaps", "valid boolean"),
        ("DAEMON_SERVICE_TABLES", "never", "'create' or 'wait'"),
        ("DAEMON_SCHEMA", "My Schema", "'My Schema' is not a name for a schema: use lower-case letters"),
        ("DAEMON_SCHEMA", "pg_daemon", "not pg_ at the beginning"),
        ("DAEMON_LOG_LEVEL", "LOUD", "'DEBUG', 'INFO'"),
        ("SEVENBRIDGES_API_ENDPOINT", "http://api.sbgenomics.com", "https://"),
        ("SEVENBRIDGES_PROJECT", "project", "owner/project"),
        ("SEVENBRIDGES_RATE_LIMIT", "fast", "such as 1000/300, or off"),
        ("SEVENBRIDGES_API_TOKEN_FILE", "/nowhere/token", "the file cannot be read"),
        ("SEVENBRIDGES_PROFILE", "nobody", "credentials"),
        ("AWS_HEALTHOMICS_RATE_LIMITS", "fast", "such as StartRun=1,GetRun=10, or off"),
        ("DAEMON_LOCAL_WORKDIR", "~nosuchuser/runs", "names a home that does not exist"),
        ("AWS_HEALTHOMICS_OUTPUT_URI", "/bucket", "s3://bucket/prefix"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError) as caught:
        read_settings()

    assert str(caught.value).startswith(f"{name}: ")
    assert words in str(caught.value)


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAEMON_POLL_INTERVAL", "abc")
    monkeypatch.setenv("DAEMON_WORKERS", "many")

    with pytest.raises(ConfigurationError, match=r"DAEMON_POLL_INTERVAL: [^\n]*\nDAEMON_WORKERS: "):
        read_settings()


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAEMON_POLL_INTERVAL", "")

    assert read_settings().poll_interval == timedelta(seconds=60)


def test_a_file_that_is_no_text_is_said_to_be_none() -> None:
    Path(".env").write_bytes(b"\xff\xfe\x00binary")

    with pytest.raises(ConfigurationError, match=r"\.env"):
        read_settings()


@pytest.mark.parametrize("name", ["SEVENBRIDGES_API_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_a_secret_is_seen_in_no_rendering(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, SECRET)

    settings = read_settings()

    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()
    assert SECRET in settings.secrets


def test_a_token_may_be_mounted_as_a_file_and_is_a_secret_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")

    settings = read_settings(sevenbridges_api_token_file=tmp_path / "token")

    credentials = sevenbridges(settings).credentials
    assert credentials is not None
    assert credentials.token == SECRET
    assert SECRET in settings.secrets
    assert SECRET not in repr(settings) + repr(settings.providers) + repr(credentials)


def test_a_profile_gives_endpoint_and_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".sevenbridges").mkdir()
    (tmp_path / ".sevenbridges/credentials").write_text(
        f"[cgc]\napi_endpoint = https://cgc-api.sbgenomics.com/v2\nauth_token = {SECRET}\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))

    settings = read_settings(sevenbridges_profile="cgc")

    credentials = sevenbridges(settings).credentials
    assert credentials is not None
    assert credentials.endpoint == "https://cgc-api.sbgenomics.com/v2"
    assert settings.secrets == {SECRET}


def test_the_password_in_the_database_uri_is_a_secret_as_written_and_as_meant() -> None:
    settings = read_settings(database_uri="postgresql://user:p%40ss@host/name")

    assert "p%40ss" not in repr(settings)
    assert settings.secrets == {"p%40ss", "p@ss"}


def test_a_password_behind_the_question_mark_is_a_secret_too() -> None:
    settings = read_settings(database_uri="postgresql://host/name?user=me&password=p%40ss")

    assert settings.secrets == {"p%40ss", "p@ss"}


@pytest.mark.parametrize("password", ["Geheim#ss", "Geheim/ss", "Geheim?ss", "Geheim@ss"])
def test_a_password_that_should_have_been_percent_encoded_is_a_secret_all_the_same(password: str) -> None:
    settings = read_settings(database_uri=f"postgresql://user:{password}@host/name")

    assert password in settings.secrets


def test_an_address_that_is_none_is_a_secret_as_a_whole() -> None:
    assert read_settings(database_uri="hunter2").secrets == {"hunter2"}


def test_a_path_may_begin_at_home_and_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert local(read_settings(daemon_local_workdir="~/runs")).workdir == tmp_path / "runs"
    assert local(read_settings(local_workdir="runs")).workdir == Path.cwd() / "runs"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("DATABASE_URL", "DATABASE_URI"),
        ("DAEMON_POLL_INTERVALL", "DAEMON_POLL_INTERVAL"),
        ("SEVENBRIDGES_TOKEN", "SEVENBRIDGES_API_TOKEN"),
    ],
)
def test_a_misspelt_name_is_noticed(wrong: str, right: str) -> None:
    assert list(misspelt([wrong, "PATH"], setting_names(), setting_prefixes())) == [(wrong, right)]


def test_names_count_in_any_case_as_they_do_when_they_are_read() -> None:
    assert list(misspelt(["daemon_poll_interval", "daemon_poll_intervall"], setting_names(), setting_prefixes())) == [
        ("daemon_poll_intervall", "DAEMON_POLL_INTERVAL")
    ]


def test_the_names_in_the_file_are_known_without_its_values() -> None:
    assert list(names_in_env_file()) == []

    Path(".env").write_text("# a comment\nexport DAEMON_WORKERS=1\nOTHER='${HOME}'\n")

    assert list(names_in_env_file()) == ["DAEMON_WORKERS", "OTHER"]


@pytest.mark.parametrize(
    "address", ["ftp://wes.example.org", "https://wes.example.org:port", "https://a:b@wes.example"]
)
def test_an_address_that_is_none_is_named_once(address: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_settings(wes_endpoint=address)

    assert str(raised.value).startswith("WES_ENDPOINT: ")
    assert str(raised.value).lower().count("wes_endpoint") == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("DAEMON_WORKERS: 4\n", "line 1 (DAEMON_WORKERS)"),
        ("# a comment\n\nDAEMON_WORKERS='4\nOTHER=1\n", "line 3 (DAEMON_WORKERS)"),
        ('OTHER=1\nDATABASE_URI="x" y\n', "line 2 (DATABASE_URI)"),
        ("export DAEMON_WORKERS\n", "line 1 (DAEMON_WORKERS)"),
        (f"{SECRET} pasted\n", "line 1 cannot"),
        (f"OTHER={SECRET}\n= 5\n", "line 2 cannot"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_without_its_value(text: str, line: str) -> None:
    """C4"""
    Path(".env").write_text(text)

    with pytest.raises(ConfigurationError) as caught:
        read_settings()

    assert str(caught.value).startswith(f".env: {line}")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["", "# only a comment", "OTHER\n", "\ufeffDAEMON_WORKERS=4\n", "A=1\r\nB='2'\r\n"])
def test_other_lines_are_read(text: str) -> None:
    """C4: a name alone is valid for other programs, and some editors write a mark at the beginning."""
    Path(".env").write_bytes(text.encode())

    assert read_settings().workers == (4 if "WORKERS" in text else 16)


@pytest.mark.parametrize(("text", "seconds"), [("5m", "300"), ("2 hours", "7200"), ("1.5h", "5400"), ("30s", "30")])
def test_a_time_with_a_unit_is_answered_in_seconds(text: str, seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAEMON_POLL_INTERVAL", text)

    with pytest.raises(ConfigurationError, match=rf"has a unit: write the number of seconds, {seconds}\."):
        read_settings()


def test_blanks_around_a_token_do_not_belong_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEVENBRIDGES_API_TOKEN", f" {SECRET}\n")

    credentials = sevenbridges(read_settings()).credentials

    assert credentials is not None
    assert credentials.token == SECRET


def test_right_names_are_not_misspelt() -> None:
    assert list(misspelt(setting_names(), setting_names(), setting_prefixes())) == []


def test_every_setting_is_described() -> None:
    assert all(description for _, _, description in documented_settings())


def test_limits_of_providers_are_read_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAEMON_MAX_CONCURRENT_PER_PROVIDER", " SevenBridges=50, healthomics=0 ")

    assert read_settings().max_concurrent_per_provider == {ProviderType.SEVENBRIDGES: 50, ProviderType.HEALTHOMICS: 0}


@pytest.mark.parametrize("wrong", ["50", "sevenbridge=5", "local=-1", "local=many"])
def test_a_limit_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("DAEMON_MAX_CONCURRENT_PER_PROVIDER", wrong)

    with pytest.raises(
        ConfigurationError,
        match=r"DAEMON_MAX_CONCURRENT_PER_PROVIDER: .*(expected provider=runs|there is no provider 'sevenbridge')",
    ):
        read_settings()


class TestRegionOfHealthOmics:
    """A3: the region is found where boto3 finds it, after AWS_REGION."""

    @pytest.fixture(autouse=True)
    def _no_profiles(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))

    PROFILES = "[default]\nregion = eu-west-1\n[profile other]\nregion = eu-west-2\n[profile none]\noutput = json\n"

    @pytest.mark.parametrize(
        ("variables", "region"),
        [
            ({}, "eu-west-1"),
            ({"AWS_PROFILE": "other"}, "eu-west-2"),
            ({"AWS_DEFAULT_PROFILE": "other"}, "eu-west-2"),
            ({"AWS_DEFAULT_REGION": "eu-central-1"}, "eu-central-1"),
            ({"AWS_DEFAULT_REGION": "eu-central-1", "AWS_PROFILE": "other"}, "eu-central-1"),
        ],
    )
    def test_it_is_the_one_that_boto3_finds(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], region: str
    ) -> None:
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws/config").write_text(self.PROFILES)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

        assert healthomics(read_settings()).region_of_runs == region
        assert boto3.Session().region_name == region

    def test_aws_region_comes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_REGION", "ap-southeast-1")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")

        assert healthomics(read_settings()).region_of_runs == "ap-southeast-1"

    def test_the_file_of_variables_counts(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("AWS_DEFAULT_REGION=eu-central-1\n")

        assert healthomics(read_settings()).region_of_runs == "eu-central-1"

    @pytest.mark.parametrize("profile", [None, "none"])
    def test_it_is_us_east_1_if_nothing_names_one(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, profile: str | None
    ) -> None:
        if profile:
            monkeypatch.setenv("AWS_PROFILE", profile)
            monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
            (tmp_path / "config").write_text(self.PROFILES)

        assert healthomics(read_settings()).region_of_runs == "us-east-1"

    def test_a_profile_that_cannot_be_read_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "gone")

        with pytest.raises(Misconfigured, match=r"profile \(gone\) could not be found"):
            _ = healthomics(read_settings()).region_of_runs

    def test_no_sdk_is_imported_where_there_is_no_profile(self) -> None:
        script = (
            "import sys\n"
            "from wes_daemon.bootstrap.settings import read_settings\n"
            "assert read_settings().providers['healthomics'].settings.region_of_runs == 'us-east-1'\n"
            "assert not {'boto3', 'botocore'} & set(sys.modules), 'imported'\n"
        )

        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
