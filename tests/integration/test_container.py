"""The container builds everything that it offers: neither a misspelt attribute nor a wrong keyword is seen by mypy."""

import os
from pathlib import Path
from typing import Any

import pytest
from dependency_injector import providers

from tests.builders import ALL_PROVIDERS, a_request, a_submission
from wes_daemon import build_application, read_settings
from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory
from wes_daemon.application.ports.errors import Misconfigured, NotEnabled, Rejected
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.bootstrap.application import application_of
from wes_daemon.bootstrap.container import Container
from wes_daemon.bootstrap.setting_problems import ConfigurationError
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState


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
    ],
)
def test_a_provider_that_is_not_set_up_names_the_variables_to_set(type: ProviderType, variables: list[str]) -> None:
    container = Container(settings=read_settings(database_uri="sqlite:////x.db"))

    with pytest.raises(NotEnabled) as refused:
        container.directory().provider(type)

    assert all(variable in str(refused.value) for variable in variables)


def test_a_seven_bridges_profile_that_was_corrected_counts_without_a_restart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    profiles = tmp_path / ".sevenbridges" / "credentials"
    profiles.parent.mkdir()
    profile = "[me]\napi_endpoint = https://127.0.0.1:1/v2\nauth_token = {}\n"
    profiles.write_text(profile.format("not a-token"))
    settings = read_settings(
        database_uri="sqlite:////x.db", sevenbridges_profile="me", sevenbridges_project="owner/project"
    )
    directory = Container(settings=settings).directory()
    with pytest.raises(Misconfigured):
        directory.provider(ProviderType.SEVENBRIDGES)

    profiles.write_text(profile.format("not-a-token"))

    assert directory.provider(ProviderType.SEVENBRIDGES).limits.status_batch >= 1


def test_without_a_database_the_variable_is_named() -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URI"):
        build_application(read_settings())


def test_a_database_that_cannot_be_one_names_the_variable() -> None:
    with pytest.raises(ConfigurationError, match=r"DATABASE_URI: .*sqlite:////absolute"):
        build_application(read_settings(database_uri="runs.db"))


def test_the_application_works_although_no_provider_is_set_up(tmp_path: Path) -> None:
    application = build_application(read_settings(database_uri=f"sqlite:///{tmp_path}/runs.db"))
    application.schema.upgrade()

    run_id = application.create_run(a_request(), tags={"provider_type": "local"})
    report = application.run_once()

    assert report.unserved.reasons.keys() == {ProviderType.LOCAL}
    record = application.get_run(run_id)
    assert record.run.state is RunState.QUEUED
    assert record.unserved == (
        "no daemon serves the provider local: it is not set up: set DAEMON_LOCAL_WORKDIR; "
        "a directory there lets everyone who can queue a run execute commands on the daemon's machine"
    )
    assert [record.run.id for record in application.list_runs(RunFilter())] == [run_id]
    assert application.daemons() == []
    application.close()


def test_the_application_hands_out_one_daemon(tmp_path: Path) -> None:
    application = build_application(read_settings(database_uri=f"sqlite:///{tmp_path}/runs.db"))

    assert application.daemon() is application.daemon()


def test_the_application_has_what_was_put_into_the_container(tmp_path: Path) -> None:
    container = Container(settings=read_settings(database_uri=f"sqlite:///{tmp_path}/runs.db"))
    provider = MemoryProvider()
    container.directory.override(providers.Object(MemoryProviderDirectory({ProviderType.LOCAL: provider})))

    assert application_of(container).providers.provider(ProviderType.LOCAL) is provider


@pytest.mark.parametrize(
    "given",
    [{"aws_healthomics_output_uri": "s3://b/out"}, {"aws_healthomics_workflow_role_arn": "arn:aws:iam::1:role/r"}],
)
def test_healthomics_is_enabled_by_one_of_role_and_output_since_a_run_may_name_the_other(given: dict[str, str]) -> None:
    container = Container(settings=read_settings(database_uri="sqlite:////x.db", **given))

    assert container.directory().provider(ProviderType.HEALTHOMICS).limits.status_batch >= 1


def test_a_healthomics_run_without_a_role_names_the_variable_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    settings = read_settings(database_uri="sqlite:////x.db", aws_healthomics_output_uri="s3://b/out")
    provider = Container(settings=settings).directory().provider(ProviderType.HEALTHOMICS)

    with pytest.raises(Rejected, match="AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN"):
        provider.submit(a_submission(workflow_url="1234567", workflow_type="WDL", workflow_type_version="1.0"))


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"sevenbridges_api_token": "not-a-token"}, "SEVENBRIDGES_PROJECT"),
        ({"sevenbridges_project": "lab/genomes"}, "SEVENBRIDGES_API_TOKEN"),
        ({"sevenbridges_api_endpoint": "https://api.invalid/v2"}, "SEVENBRIDGES_API_TOKEN.* and SEVENBRIDGES_PROJECT"),
    ],
)
def test_half_a_set_up_of_seven_bridges_names_what_is_missing(given: dict[str, str], missing: str) -> None:
    """A4: in the reason of its runs."""
    settings = read_settings(database_uri="sqlite:////x.db", **given)

    with pytest.raises(NotEnabled, match=f"only half set up: set {missing}"):
        Container(settings=settings).directory().provider(ProviderType.SEVENBRIDGES)

    assert settings.providers[ProviderType.SEVENBRIDGES].needs_attention


def test_the_start_line_says_where_runs_of_seven_bridges_go() -> None:
    nothing, everything = (
        read_settings(database_uri="sqlite:////x.db", **given)
        for given in ({}, {"sevenbridges_api_token": "not-a-token", "sevenbridges_project": "lab/genomes"})
    )

    assert nothing.providers[ProviderType.SEVENBRIDGES].target == ""
    assert not nothing.providers[ProviderType.SEVENBRIDGES].needs_attention
    assert everything.providers[ProviderType.SEVENBRIDGES].target == "lab/genomes@api.sbgenomics.com"


def test_every_provider_has_loops_of_its_own(tmp_path: Path) -> None:
    container = Container(settings=read_settings(database_uri=f"sqlite:///{tmp_path}/runs.db"))

    submits = {container.submit_queued_runs(serving=frozenset({type})) for type in ALL_PROVIDERS}

    assert len(submits) == len(ALL_PROVIDERS)


@pytest.mark.parametrize("workers", [1, 150])
def test_every_thread_that_may_call_a_provider_has_a_connection_to_it(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for one otherwise, or throw one away after each call."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    settings = read_settings(
        database_uri=f"sqlite:///{tmp_path}/runs.db",
        workers=workers,
        sevenbridges_api_token="not-a-token",
        sevenbridges_project="owner/project",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        aws_healthomics_output_uri="s3://bucket/out",
    )
    container = Container(settings=settings)
    acting: list[Any] = [container.submit_queued_runs(), container.cancel_runs(), container.refresh_statuses()]
    threads = sum(use_case._pool._max_workers for use_case in acting)

    sevenbridges = _innermost(container.directory().provider(ProviderType.SEVENBRIDGES))._client._get_sdk()._api
    omics = _innermost(container.directory().provider(ProviderType.HEALTHOMICS))._client._connection.omics()

    pool = sevenbridges.session.get_adapter("https://api.sbgenomics.com/v2")
    assert pool._pool_maxsize > threads
    assert sevenbridges._throttle_limit._value > threads
    assert omics.meta.config.max_pool_connections > threads


def _innermost(provider: Any) -> Any:
    """The provider without what stands around it."""
    return _innermost(provider._inner) if hasattr(provider, "_inner") else provider


def test_seven_bridges_is_made_where_it_is_set_up_without_a_call() -> None:
    settings = read_settings(
        database_uri="sqlite:////x.db", sevenbridges_api_token="not-a-token", sevenbridges_project="owner/project"
    )

    provider = Container(settings=settings).directory().provider(ProviderType.SEVENBRIDGES)

    assert provider.limits.status_batch == 100
