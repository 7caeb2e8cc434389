"""DAEMON_PROVIDERS_FILE: several providers of one kind, and what a wrong file says."""

import json
from pathlib import Path
from typing import cast

import pytest

from tests.functional.conftest import Call
from wes_daemon.adapters.providers.healthomics.plugin import HealthOmicsSettings
from wes_daemon.adapters.providers.sevenbridges.plugin import SevenBridgesSettings
from wes_daemon.bootstrap.setting_problems import ConfigurationError
from wes_daemon.bootstrap.settings import Settings, read_settings
from wes_daemon.domain.runs import ProviderType

SECRET = "hunter2-and-more"
CGC = """
[cgc]
kind = "sevenbridges"
SEVENBRIDGES_API_ENDPOINT = "https://cgc-api.sbgenomics.com/v2"
SEVENBRIDGES_PROJECT = "lab/genomes"
SEVENBRIDGES_API_TOKEN_FILE = "token"
"""


@pytest.fixture(autouse=True)
def token(clean: Path) -> Path:
    (clean / "token").write_text(f"{SECRET}\n")
    (clean / "empty").write_text("\n")
    return clean / "token"


def read(text: str, **arguments: object) -> Settings:
    """Read the settings with this file."""
    Path("providers.toml").write_text(text)
    return read_settings(providers_file="providers.toml", **arguments)


def test_each_table_is_a_provider_with_settings_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEVENBRIDGES_PROJECT", "other/project")

    cgc = read(CGC).providers[ProviderType("cgc")]

    assert (cgc.kind, cgc.is_enabled, cgc.target) == ("sevenbridges", True, "lab/genomes@cgc-api.sbgenomics.com")
    settings = cast(SevenBridgesSettings, cgc.settings)
    assert settings.credentials is not None
    assert settings.credentials.token == SECRET


def test_variables_of_the_environment_do_not_count_in_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEVENBRIDGES_PROJECT", "other/project")

    cgc = read(CGC.replace('SEVENBRIDGES_PROJECT = "lab/genomes"', "")).providers[ProviderType("cgc")]

    assert not cgc.is_enabled
    assert cgc.problem == "it is only half set up: set SEVENBRIDGES_PROJECT"
    assert cgc.needs_attention


def test_the_kinds_that_the_environment_configures_keep_their_names(tmp_path: Path) -> None:
    settings = read(CGC, daemon_local_workdir=tmp_path)

    assert settings.providers[ProviderType.LOCAL].is_enabled
    assert not settings.providers[ProviderType.SEVENBRIDGES].is_enabled


def test_a_table_with_the_name_of_its_kind_replaces_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEVENBRIDGES_PROJECT", "other/project")
    monkeypatch.setenv("SEVENBRIDGES_API_TOKEN", "another-token")

    settings = read(CGC.replace("[cgc]", "[sevenbridges]"))

    assert settings.providers[ProviderType.SEVENBRIDGES].target == "lab/genomes@cgc-api.sbgenomics.com"


def test_a_secret_of_any_kind_is_read_from_a_file() -> None:
    second = '[second]\nkind = "healthomics"\nAWS_SECRET_ACCESS_KEY_FILE = "token"\nAWS_HEALTHOMICS_OUTPUT_URI = "s3://b/o"\n'

    settings = read(second)

    keys = cast(HealthOmicsSettings, settings.providers[ProviderType("second")].settings)
    assert keys.secret_access_key is not None
    assert keys.secret_access_key.get_secret_value() == SECRET
    assert SECRET in settings.secrets
    assert SECRET not in repr(settings.providers)


def test_each_name_may_have_a_limit_of_its_own_and_the_setting_comes_first() -> None:
    text = f"{CGC}max_concurrent = 7\n" + CGC.replace("[cgc]", "[eu]") + "max_concurrent = 11\n"

    assert read(text).per_provider_limits == {"cgc": 7, "eu": 11}
    assert read(text, max_concurrent_per_provider="eu=2").per_provider_limits == {"cgc": 7, "eu": 2}


def test_the_default_and_engines_may_name_a_table() -> None:
    settings = read(CGC, default_provider="cgc", engine_providers="SevenBridges=cgc")

    assert settings.default_provider == "cgc"
    assert settings.engine_providers["sevenbridges"] == "cgc"


def test_an_empty_text_counts_as_not_set() -> None:
    settings = read('[b]\nkind = "local"\nDAEMON_LOCAL_WORKDIR = ""\n')

    assert not settings.providers[ProviderType("b")].is_enabled


def test_names_in_other_settings_may_belong_to_another_replica_unless_they_look_misspelt() -> None:
    settings = read(CGC, max_concurrent_per_provider="slurm=5", engine_providers="toil=slurm")

    assert settings.per_provider_limits == {"slurm": 5}
    with pytest.raises(ConfigurationError, match="DAEMON_MAX_CONCURRENT_PER_PROVIDER: there is no provider 'cgx'"):
        read(CGC, max_concurrent_per_provider="cgx=5")


def test_a_kind_that_is_not_installed_disables_its_table_only() -> None:
    settings = read(CGC + '[slurm]\nkind = "slrm"\nANYTHING = 1\n')

    assert settings.providers[ProviderType("cgc")].is_enabled
    slurm = settings.providers[ProviderType("slurm")]
    assert "no plug-in for its kind slrm is installed; " in slurm.problem
    assert slurm.needs_attention


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[cgc\n", "is not TOML"),
        ("kind = 1\n", "kind stands outside a table: write [NAME], the provider's name, first"),
        ("[CGC]\nkind = 'local'\n", "[CGC]: 'CGC' is no provider's name: use lower-case letters, digits and -"),
        ("[cgc]\n", '[cgc] kind is missing: write kind = "NAME"; '),
        ("[cgc]\nkind = 7\n", "[cgc] kind is missing"),
        ("[local]\nkind = 'sevenbridges'\n", "[local] local is itself a kind: give the provider of"),
        (CGC.replace("_PROJECT", "_PROJEKT"), "[cgc] SEVENBRIDGES_PROJEKT is no setting of this kind: did you mean"),
        (f"{CGC}AWS_REGION = 'us-east-1'\n", "[cgc] AWS_REGION is no setting of this kind: its settings are"),
        (CGC.replace("lab/genomes", "genomes"), "[cgc] SEVENBRIDGES_PROJECT: write it as owner/project"),
        (CGC.replace('"lab/genomes"', "['a']"), "[cgc] SEVENBRIDGES_PROJECT: write a text or a number"),
        (f"{CGC}SEVENBRIDGES_API_TOKEN = '{SECRET}'\n", "name its file by SEVENBRIDGES_API_TOKEN_FILE"),
        (CGC.replace('"token"', '"gone"'), "[cgc] SEVENBRIDGES_API_TOKEN_FILE: the file cannot be read"),
        (CGC.replace('"token"', '"empty"'), "[cgc] SEVENBRIDGES_API_TOKEN_FILE: the file is empty"),
        ("[b]\nkind = 'healthomics'\nAWS_SECRET_ACCESS_KEY_FILE = 'empty'\n", "_KEY_FILE: the file is empty"),
        ("[none]\nkind = 'local'\n", "[none]: this word has a meaning in other settings"),
        (f"{CGC}max_concurrent = -1\n", "[cgc] max_concurrent: write a whole number of runs"),
    ],
)  # fmt: skip
def test_a_wrong_file_says_where_and_what(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(text)

    assert words in str(caught.value)
    assert "providers.toml" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_there_is_named_with_its_setting() -> None:
    with pytest.raises(ConfigurationError, match=r"DAEMON_PROVIDERS_FILE: .*gone\.toml cannot be read: No such file"):
        read_settings(providers_file="gone.toml")


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(CGC.replace("lab/genomes", "genomes") + "[b]\nkind='local'\nX=1\n", sevenbridges_project="a b")

    assert len(str(caught.value).splitlines()) == 3


def test_the_command_shows_each_provider_with_its_state(
    call: Call, monkeypatch: pytest.MonkeyPatch, clean: Path
) -> None:
    nowhere = CGC.replace("cgc-api.sbgenomics.com", "127.0.0.1:1")
    Path("providers.toml").write_text(nowhere + '[slurm]\nkind = "slrm"\n')
    monkeypatch.setenv("DAEMON_PROVIDERS_FILE", "providers.toml")
    monkeypatch.setenv("DAEMON_LOCAL_WORKDIR", str(clean / "local"))

    shown = call("providers", "--check")
    found = {each["name"]: each for each in json.loads(call("providers", "--json").stdout)}

    assert found["cgc"]["state"] == "enabled"
    assert found["cgc"]["source"] == str(clean / "providers.toml")
    assert found["local"] == {
        "name": "local",
        "kind": "local",
        "state": "enabled",
        "target": str(clean / "local"),
        "problem": None,
        "distribution": "wes-daemon",
        "version": found["local"]["version"],
        "source": "environment",
        "max_concurrent": None,
    }
    assert found["slurm"]["state"] == "broken"
    assert found["healthomics"]["state"] == "not_configured"
    assert "AWS_HEALTHOMICS_OUTPUT_URI" in found["healthomics"]["problem"]
    assert shown.exit_code == 3
    assert "the local provider answers a request for runs: ok" in shown.stdout
    assert SECRET not in shown.output
