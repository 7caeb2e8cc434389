"""The settings of the local provider's engine, and the check of its program for `doctor`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.builders import a_submission
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.providers.local.engines import ExternalEngine
from wes_daemon.adapters.providers.local.plugin import LocalPlugin, LocalSettings
from wes_daemon.application.ports.errors import Rejected
from wes_daemon.domain.runs import ProviderType
from wes_daemon.plugins import ProviderTools


@pytest.fixture
def tools() -> ProviderTools:
    return ProviderTools(name=ProviderType.LOCAL, clock=ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))


def settings(**values: str) -> LocalSettings:
    return LocalSettings.model_validate({f"DAEMON_LOCAL_{name}": value for name, value in values.items()})


def test_the_default_engine_is_the_built_in_one() -> None:
    assert settings().external_engine is None


def test_the_settings_of_the_engine_are_those_of_the_provider() -> None:
    found = settings(
        ENGINE="toil-cwl-runner --batchSystem slurm",
        ENGINE_VARIABLES="SLURM_CONF, KUBECONFIG",
        ENGINE_GRACE="90",
        ENGINE_CANCEL_JOBS="scancel --quiet",
    ).external_engine

    assert found == ExternalEngine(
        command=("toil-cwl-runner", "--batchSystem", "slurm"),
        variables=("SLURM_CONF", "KUBECONFIG"),
        grace=timedelta(seconds=90),
        cancel_jobs=("scancel", "--quiet"),
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ENGINE", "runner 'x", "no closing quotation"),
        ("ENGINE", "runner --outdir x", "the daemon sets --outdir for each run itself"),
        ("ENGINE_VARIABLES", "SLURM_CONF KUBECONFIG", "is no name of a variable: write names with commas"),
        ("ENGINE_VARIABLES", "A=b", "'A=b' is no name of a variable"),
        ("ENGINE_CANCEL_JOBS", 'scancel "', "no closing quotation"),
    ],
)
def test_a_wrong_value_is_refused_at_the_start(name: str, value: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**{name: value})


def test_a_missing_engine_is_found_by_the_check_of_the_set_up(tmp_path: Path, tools: ProviderTools) -> None:
    configured = settings(WORKDIR=str(tmp_path), ENGINE="no-such-runner --fast")

    examined = {found.subject: found.problem for found in LocalPlugin().examine(configured, tools)}

    assert "no program 'no-such-runner' in the daemon's PATH" in examined["no-such-runner is installed"]


def test_a_request_is_checked_for_the_engine_that_will_execute_it() -> None:
    submission = a_submission(workflow_url="https://host/a.cwl", workflow_engine_parameters={"parallel": True})

    LocalPlugin().check_request(settings(), submission)
    with pytest.raises(Rejected, match="parallel: the engine runner, which DAEMON_LOCAL_ENGINE names"):
        LocalPlugin().check_request(settings(ENGINE="runner"), submission)
