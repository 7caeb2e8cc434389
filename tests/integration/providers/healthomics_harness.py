"""The HealthOmics provider under test: the real SDK against the simulator."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from tests.integration.providers import healthomics_processes
from tests.simulators.healthomics import faults
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.simulators.healthomics.service import REGION
from tests.simulators.healthomics.workflows import ACCOUNT
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.adapters.system import SystemClock
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow, OutcomeUnknown
from wes_daemon.application.ports.providers import Accepted, Submission, WorkflowProvider
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, RunId, WorkflowRequest
from wes_daemon.domain.states import RunState
from wes_daemon.testing import ProviderHarness

CONFIG = HealthOmicsConfig(
    region=REGION,
    role_arn=f"arn:aws:iam::{ACCOUNT}:role/runs",
    output_uri="s3://results/wes",
    access_key_id="testing",
    secret_access_key="testing-secret",
    connect_timeout=timedelta(seconds=2),
    read_timeout=timedelta(seconds=5),
)
_STATUSES = {
    RunState.RUNNING: "RUNNING",
    RunState.COMPLETE: "COMPLETED",
    RunState.EXECUTOR_ERROR: "FAILED",
    RunState.CANCELED: "CANCELLED",
}


class HealthOmicsHarness(ProviderHarness):
    """Runs at a simulator; `AWS_ENDPOINT_URL` must hold its address."""

    def __init__(
        self, simulator: HealthOmicsSimulator, decorate: Callable[[WorkflowProvider], WorkflowProvider]
    ) -> None:
        self.simulator = simulator
        self.service = simulator.service
        self._decorate = decorate
        self._numbers = count(1)

    def provider(self) -> WorkflowProvider:
        return self._decorate(bare_provider())

    def submission(self, fate: RunState = RunState.COMPLETE) -> Submission:
        del fate
        return a_healthomics_submission(f"wes-{next(self._numbers)}")

    def reach(self, id: ProviderRunId, state: RunState) -> None:
        run_id = id.partition("/")[0]
        status = _STATUSES[state]
        if status == "CANCELLED":
            assert self.service.run(run_id).status in ("STOPPING", "CANCELLED"), "the run was not cancelled"
        failure = "RUN_TASK_FAILED" if status == "FAILED" else None
        self.service.reach(run_id, status, failure=failure)

    def starts(self, key: IdempotencyKey) -> int:
        return self.service.starts(key)

    def refused(self) -> Submission:
        submission = self.submission()
        return replace(submission, request=replace(submission.request, workflow_url="7654321"))

    def lose_answer(self, submission: Submission) -> None:
        self.simulator.faults.put("StartRun", faults.cut(after_acting=True))
        with suppress(OutcomeUnknown):
            bare_provider().submit(submission)

    def start_former(self, run_id: RunId) -> str:
        request = {"workflowId": "1234567", "roleArn": CONFIG.role_arn, "outputUri": CONFIG.output_uri}
        name = {"name": f"WES-{run_id}", "tags": {"WES-RunId": run_id}, "requestId": f"random-{next(self._numbers)}"}
        answer = self.service.operate("StartRun", request | name | {"parameters": {}})
        assert answer is not None
        return str(answer["id"])

    def submit_in_another_process(self, submission: Submission) -> ProviderRunId:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
            return processes.submit(healthomics_processes.submit, CONFIG, submission).result(60)


def bare_provider(config: HealthOmicsConfig = CONFIG, clock: Clock | None = None) -> HealthOmicsProvider:
    """The provider without decorators."""
    return HealthOmicsProvider(config, clock=clock or SystemClock())


def a_healthomics_submission(key: str = "wes-1", **changes: object) -> Submission:
    """A submission that the simulator accepts; `changes` apply to its request."""
    values: dict[str, object] = {
        "workflow_url": "omics:1234567",
        "workflow_type": "WDL",
        "workflow_type_version": "1.0",
        "workflow_params": {"reads": "s3://reads/1.fastq.gz"},
    }
    return Submission(
        key=IdempotencyKey(key),
        run_id=RunId(key.removeprefix("wes-")),
        request=WorkflowRequest(**(values | changes)),  # type: ignore[arg-type]
    )


@contextmanager
def simulated(
    monkeypatch: pytest.MonkeyPatch, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Iterator[HealthOmicsSimulator]:
    """A simulator that the SDK calls."""
    with HealthOmicsSimulator(now) as simulator:
        point_sdk_at(simulator, monkeypatch)
        yield simulator


def point_sdk_at(simulator: HealthOmicsSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the SDK at the simulator, without the profiles and the metadata service of this machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
    monkeypatch.setenv("AWS_ENDPOINT_URL", simulator.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def start_many(simulator: HealthOmicsSimulator, number: int, *, prefix: str = "wes-many-") -> list[ProviderRunId]:
    """Start runs without HTTP."""
    request = {"workflowId": "1234567", "roleArn": CONFIG.role_arn, "outputUri": CONFIG.output_uri}
    for n in range(number):
        simulator.service.operate("StartRun", request | {"name": f"{prefix}{n}", "requestId": f"{prefix}{n}"})
    return [ProviderRunId(f"{entry.id}/{entry.uuid}") for entry in simulator.service.started[-number:]]


def submit_past_slow_lists(
    provider: HealthOmicsProvider, simulator: HealthOmicsSimulator, submission: Submission
) -> Accepted:
    """Submit, and again where a busy machine did not list runs in the provider's time: nothing was started then."""
    while True:
        try:
            return provider.submit(submission)
        except NotNow:
            assert "StartRun" not in simulator.operations


def run_id(id: ProviderRunId) -> str:
    """HealthOmics' id in a provider run id."""
    return id.partition("/")[0]
