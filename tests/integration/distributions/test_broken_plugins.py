"""A plug-in that is broken disables only itself, with an error that names its distribution."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.integration.distributions.environment import Environment, write_distribution

_PLUGIN = """
from wes_daemon.plugins import Configured, ProviderPlugin, ProviderSettings, ProviderTraits, ProviderType

class Settings(ProviderSettings):
    {field}

class Plugin(ProviderPlugin[Settings]):
    contract = {contract}
    name = ProviderType("{name}")
    traits = ProviderTraits(title="{name}")
    settings = Settings

    def is_configured(self, settings):
        {body}

    def build(self, settings, tools):
        raise NotImplementedError
"""


def _plugin(
    name: str, *, contract: int = 1, field: str = "pass", body: str = 'return Configured(target="there")'
) -> str:
    return _PLUGIN.format(name=name, contract=contract, field=field, body=body)


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Variables with which several broken distributions are installed beside those of the environment."""
    directory = tmp_path_factory.mktemp("broken")
    for name, provider, module in [
        ("acme-import", "acme-import", "import there_is_no_such_module"),
        ("acme-future", "acme-future", _plugin("acme-future", contract=99)),
        ("acme-other", "acme-other", _plugin("acme-another")),
        ("acme-unnamed", "acme-unnamed", _plugin("acme-unnamed", field="directory: str | None = None")),
        ("acme-function", "acme-function", "def Plugin(): ..."),
        ("acme-raising", "acme-raising", _plugin("acme-raising", body="raise KeyError('secret')")),
        ("acme-local", "local", _plugin("local")),
        ("acme-upper", "ACME", "Plugin = None"),
    ]:
        write_distribution(directory, name, provider=provider, module=module)
    return {"PYTHONPATH": str(directory)}


@pytest.fixture(scope="module")
def document(environment: Environment, variables: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
    """What `wes-daemon providers` says with them."""
    return environment.providers(variables)


@pytest.fixture(scope="module")
def providers(document: Sequence[Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """The providers by the distributions that bring them, or by their names where it is wes-daemon."""
    return {each["name"] if each["distribution"] == "wes-daemon" else each["distribution"]: each for each in document}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("acme-import", "it cannot be imported: ModuleNotFoundError: No module named 'there_is_no_such_module'"),
        ("acme-future", "it declares the contract version 99, and this wes-daemon has 1"),
        ("acme-other", "its attribute name is 'acme-another', not 'acme-other'"),
        ("acme-unnamed", "its settings directory have no validation_alias"),
        ("acme-raising", "it cannot read its settings: KeyError"),
        ("acme-function", "acme_function:Plugin is no subclass of wes_daemon.plugins.ProviderPlugin"),
    ],
)
def test_a_broken_plug_in_is_disabled_with_the_reason(
    providers: Mapping[str, Mapping[str, Any]], name: str, reason: str
) -> None:
    provider = providers[name]

    assert (provider["state"], provider["distribution"]) == ("broken", name)
    assert f"the plug-in {name} of the distribution {name} 1.0 is disabled: {reason}" in provider["problem"]


@pytest.mark.parametrize(
    ("distribution", "name", "reason"),
    [
        ("acme-local", "local", "wes-daemon itself has a provider local; uninstall the distribution"),
        ("acme-upper", "ACME", "its name is no provider's name"),
    ],
)
def test_a_plug_in_with_a_name_that_it_cannot_have_is_disabled(
    providers: Mapping[str, Mapping[str, Any]], distribution: str, name: str, reason: str
) -> None:
    provider = providers[distribution]

    assert (provider["name"], provider["state"]) == (name, "broken")
    assert f"the plug-in {name} of the distribution {distribution} 1.0 is disabled: {reason}" in provider["problem"]


def test_a_built_in_provider_cannot_be_replaced(providers: Mapping[str, Mapping[str, Any]]) -> None:
    assert providers["local"]["state"] == "not_configured"


def test_the_others_go_on(environment: Environment, variables: Mapping[str, str]) -> None:
    run_id = environment.submit()

    environment.run("wes-daemon", "run-once", variables=variables)

    assert environment.show(run_id)["daemon"]["provider"] == "scripts"
