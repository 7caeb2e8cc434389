"""An AWS account in which live tests run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.call_gates import AskingGate
from tests.live.account import FATES, Account, LiveRun
from tests.live.processes import as_the_daemon_has_it, elsewhere, submit_to_healthomics
from tests.live.session import LiveSession
from tests.memory.quotas import MemoryQuotas
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.connection import Connection
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.adapters.resilience.call_gate import RateLimiter
from wes_daemon.adapters.system import SystemClock, sleep
from wes_daemon.application.ports.providers import Submission, WorkflowProvider
from wes_daemon.domain.runs import ProviderRunId, ProviderType, WorkflowRequest
from wes_daemon.domain.states import RunState
from wes_daemon.plugins.rates import Rate

_STOPPABLE = ("PENDING", "STARTING", "RUNNING")
_KEY_TAG = "WESSubmissionKey"
_NO_SUCH_VERSION = "no-such-version-of-the-live-tests"


class HealthOmicsAccount(Account):
    """Runs of one workflow, in the region of the settings.

    Args:
        workflow: id of the workflow made of `wes_daemon_live.wdl`, only digits.
        rates: the setting `AWS_HEALTHOMICS_RATE_LIMITS`.
    """

    troubles = (BotoCoreError, ClientError)
    prepares = False

    def __init__(
        self, config: HealthOmicsConfig, session: LiveSession, *, workflow: str, rates: Mapping[str, Rate]
    ) -> None:
        self._config = config
        self._session = session
        self._workflow = workflow
        clock = SystemClock()
        self._limiter = RateLimiter(rates, quotas=MemoryQuotas(clock), account="healthomics", clock=clock, sleep=sleep)
        # The bare client, told of endpoints as the daemon's own is.
        self._omics = Connection(config).omics()

    def provider(self) -> WorkflowProvider:
        made = HealthOmicsProvider(self._config, clock=SystemClock(), gate=AskingGate(self._count_start, self._limiter))
        return as_the_daemon_has_it(made, ProviderType.HEALTHOMICS)

    def request(self, fate: RunState) -> WorkflowRequest:
        return self._for(f"omics:{self._workflow}", FATES[fate])

    def refused(self) -> WorkflowRequest:
        return self._for(f"omics://workflow/{self._workflow}/version/{_NO_SUCH_VERSION}", FATES[RunState.COMPLETE])

    def submit_in_another_process(self, submission: Submission) -> ProviderRunId:
        self._session.budget.spend()
        return elsewhere(submit_to_healthomics, self._config, submission)

    def runs_of(self, key: str) -> Sequence[LiveRun]:
        # Whether the service compares whole names is not documented.
        return [_as_run(item) for item in self._listed(name=key) if item.get("name") == key]

    def unfinished(self) -> Iterator[LiveRun]:
        for status in _STOPPABLE:
            for item in self._listed(status=status):
                if self._is_ours(item):
                    yield _as_run(item)

    def look(self, id: ProviderRunId) -> LiveRun | None:
        """The run, where name and tag are both of this session: the service gives ids of deleted runs to others."""
        try:
            run = self._omics.get_run(id=id.partition("/")[0])
        except self._omics.exceptions.ResourceNotFoundException:
            return None
        is_tagged = (run.get("tags") or {}).get(_KEY_TAG) == run.get("name")
        return _as_run(run) if self._is_ours(run) and is_tagged else None

    def stop(self, run: LiveRun) -> None:
        if self.look(ProviderRunId(run.id)):
            self._omics.cancel_run(id=run.id)

    def _for(self, url: str, inputs: Mapping[str, object]) -> WorkflowRequest:
        return WorkflowRequest(
            workflow_url=url, workflow_type="WDL", workflow_type_version="1.0", workflow_params=inputs
        )

    def _count_start(self, operation: str) -> None:
        if operation == "StartRun":
            self._session.budget.spend()

    def _listed(self, **wanted: str) -> Iterator[Mapping[str, Any]]:
        for page in self._omics.get_paginator("list_runs").paginate(**wanted):
            yield from page.get("items", [])

    def _is_ours(self, run: Mapping[str, Any]) -> bool:
        return str(run.get("name") or "").startswith(self._session.mark)


def _as_run(run: Mapping[str, Any]) -> LiveRun:
    return LiveRun(id=run["id"], key=run["name"], was_started=True, is_over=run["status"] not in _STOPPABLE)
