"""Both clouds as the daemon meets them: from settings, through the container, over a real database."""

import logging
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.builders import a_request
from tests.integration.providers.healthomics_harness import CONFIG, simulated
from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import APP, PROJECT, TOKEN, SevenBridgesHarness
from tests.simulators.healthomics.server import HealthOmicsSimulator
from wes_daemon import RunFilter, RunRecord, RunState, WorkflowRequest, read_settings
from wes_daemon.adapters.system import SystemClock
from wes_daemon.bootstrap.container import Container

__all__ = ["authority", "harness", "trusted"]

RUNS = 50


@pytest.fixture(autouse=True)
def _nobodys_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("AWS_", "SEVENBRIDGES_", "DAEMON_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def healthomics(_nobodys_machine: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthOmicsSimulator]:
    """A service whose runs end after a moment."""
    with simulated(monkeypatch, SystemClock().now) as simulator:
        simulator.service.pace = timedelta(milliseconds=50)
        yield simulator


def test_runs_for_seven_bridges_end_complete(harness: SevenBridgesHarness, tmp_path: Path) -> None:
    container = _container(
        tmp_path,
        sevenbridges_api_token=TOKEN,
        sevenbridges_api_endpoint=harness.config.endpoint,
        sevenbridges_project=PROJECT,
        sevenbridges_rate_limit="off",
    )
    _queue(container, a_request(workflow_url=APP, workflow_params={"sample": "NA12878"}))

    def platform_works() -> None:
        for id, task in list(harness.platform.tasks.items()):
            if task["status"] in ("QUEUED", "RUNNING"):
                harness.platform.complete(id)

    _pass_until_all_have_ended(container, platform_works)

    assert len(harness.platform.started) == RUNS
    assert _endings(container) == [(RunState.COMPLETE, "outputs, tasks and times")] * RUNS
    container.engine().dispose()


def test_runs_for_healthomics_end_complete(healthomics: HealthOmicsSimulator, tmp_path: Path) -> None:
    container = _container(
        tmp_path,
        default_provider="healthomics",
        aws_access_key_id=CONFIG.access_key_id,
        aws_secret_access_key=CONFIG.secret_access_key,
        aws_region=CONFIG.region,
        aws_healthomics_workflow_role_arn=CONFIG.role_arn,
        aws_healthomics_output_uri=CONFIG.output_uri,
        aws_healthomics_rate_limits="off",
    )
    _queue(container, a_request(workflow_url="omics:1234567"))

    _pass_until_all_have_ended(container, lambda: None)

    assert len(healthomics.service.started) == RUNS
    assert _endings(container) == [(RunState.COMPLETE, "outputs, tasks and times")] * RUNS
    container.engine().dispose()


def test_a_profile_without_which_there_is_no_region_leaves_the_runs_queued(
    healthomics: HealthOmicsSimulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A3, A1."""
    monkeypatch.setenv("AWS_PROFILE", "gone")
    container = _container(
        tmp_path,
        default_provider="healthomics",
        aws_healthomics_workflow_role_arn=CONFIG.role_arn,
        aws_healthomics_output_uri=CONFIG.output_uri,
    )
    _queue(container, a_request(workflow_url="omics:1234567"))

    container.submit_queued_runs()()

    states = {record.run.state for record in container.queries().list(RunFilter())}
    container.engine().dispose()
    assert states == {RunState.QUEUED}
    assert "AWS profile 'gone'" in caplog.text
    assert " bug " not in caplog.text
    assert healthomics.calls == []


def test_no_secret_of_either_cloud_reaches_a_log_or_the_database(
    harness: SevenBridgesHarness,
    healthomics: HealthOmicsSimulator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = {name: f"{name}-that-nobody-may-see" for name in ("token", "key", "password")}
    container = _container(
        tmp_path,
        sevenbridges_api_token=secrets["token"],
        sevenbridges_api_endpoint=harness.config.endpoint,
        sevenbridges_project=PROJECT,
        aws_access_key_id=secrets["key"],
        aws_secret_access_key=secrets["password"],
        aws_region=CONFIG.region,
        aws_healthomics_workflow_role_arn=CONFIG.role_arn,
        aws_healthomics_output_uri=CONFIG.output_uri,
    )
    _queue(container, a_request(workflow_url=APP, workflow_params={"sample": "NA12878"}))
    for request in (a_request(workflow_url="omics:1234567"), a_request(workflow_url="nonsense")):
        container.create_run()(request, tags={"provider_type": "healthomics"})

    for _ in range(5):
        container.submit_queued_runs()()
        container.refresh_statuses()(ahead=timedelta(seconds=1))
    container.engine().dispose()

    assert healthomics.service.started
    assert "provider.misconfigured" in caplog.text
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("runs.db*"))
    assert not [secret for secret in secrets.values() if secret in caplog.text or secret.encode() in stored]


def _container(directory: Path, **given: object) -> Container:
    settings = read_settings(database_uri=f"sqlite:///{directory}/runs.db", status_check_interval=0.05, **given)
    container = Container(settings=settings)
    container.schema().upgrade()
    return container


def _queue(container: Container, request: WorkflowRequest) -> None:
    for _ in range(RUNS):
        container.create_run()(request)


def _pass_until_all_have_ended(container: Container, meanwhile: Callable[[], None]) -> None:
    for _ in range(200):
        container.submit_queued_runs()()
        meanwhile()
        container.refresh_statuses()(ahead=timedelta(seconds=1))
        if all(record.run.state.has_ended for record in container.queries().list(RunFilter())):
            return
    raise AssertionError([record.run for record in container.queries().list(RunFilter())])


def _endings(container: Container) -> list[tuple[RunState, str]]:
    records = [container.queries().get(record.run.id) for record in container.queries().list(RunFilter())]
    return [(record.run.state, _told(record)) for record in records]


def _told(record: RunRecord) -> str:
    told = [record.details.outputs, record.tasks, record.run.start_time and record.run.end_time]
    return "outputs, tasks and times" if all(told) else f"only {told}"
