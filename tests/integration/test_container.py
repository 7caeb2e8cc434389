"""The container builds everything that it offers: neither a misspelt attribute nor a wrong keyword is seen by mypy."""

from pathlib import Path

import pytest
from dependency_injector import providers

from wes_daemon import Container, read_settings
from wes_daemon.application.ports.errors import Rejected
from wes_daemon.domain.runs import ProviderType
from wes_daemon.settings import ConfigurationError


@pytest.fixture
def settings_of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting comes from the machine that the test runs on."""
    monkeypatch.chdir(tmp_path)
    for name in ("SEVENBRIDGES_API_TOKEN", "SEVENBRIDGES_PROJECT", "DAEMON_LOCAL_WORKDIR", "DATABASE_URI"):
        monkeypatch.delenv(name, raising=False)


pytestmark = pytest.mark.usefixtures("settings_of_nobody")


def test_everything_in_the_container_can_be_built(tmp_path: Path) -> None:
    container = Container(settings=read_settings(database_uri=f"sqlite:///{tmp_path}/runs.db"))

    built = {
        name: provider()
        for name, provider in container.providers.items()
        if not isinstance(provider, providers.Dependency)
    }

    assert {"daemon", "submit_queued_runs", "refresh_statuses", "cancel_runs", "create_run"} <= built.keys()
    assert all(thing is not None for thing in built.values())


def test_the_local_provider_is_made_where_it_is_switched_on(tmp_path: Path) -> None:
    container = Container(settings=read_settings(database_uri="sqlite:////x.db", local_workdir=tmp_path))

    assert container.directory().provider(ProviderType.LOCAL).limits.status_batch >= 1


@pytest.mark.parametrize(
    ("type", "variables"),
    [
        (ProviderType.LOCAL, ["DAEMON_LOCAL_WORKDIR"]),
        (ProviderType.SEVENBRIDGES, ["SEVENBRIDGES_API_TOKEN", "SEVENBRIDGES_PROJECT"]),
        (ProviderType.HEALTHOMICS, ["AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN", "AWS_HEALTHOMICS_OUTPUT_URI"]),
    ],
)
def test_a_provider_that_is_not_set_up_names_the_variables_to_set(type: ProviderType, variables: list[str]) -> None:
    container = Container(settings=read_settings(database_uri="sqlite:////x.db"))

    with pytest.raises(Rejected) as refused:
        container.directory().provider(type)

    assert all(variable in str(refused.value) for variable in variables)


def test_without_a_database_the_variable_is_named() -> None:
    container = Container(settings=read_settings())

    with pytest.raises(ConfigurationError, match="DATABASE_URI"):
        container.daemon()


def test_seven_bridges_is_made_where_it_is_set_up_without_a_call() -> None:
    settings = read_settings(
        database_uri="sqlite:////x.db", sevenbridges_api_token="not-a-token", sevenbridges_project="owner/project"
    )

    provider = Container(settings=settings).directory().provider(ProviderType.SEVENBRIDGES)

    assert provider.limits.status_batch == 100
