"""A Seven Bridges project in which live tests run."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import requests
import sevenbridges
from sevenbridges.errors import SbgError

from tests.call_gates import AskingGate
from tests.live.account import FATES, Account, LiveRun
from tests.live.processes import as_the_daemon_has_it, elsewhere, submit_to_sevenbridges
from tests.live.session import LiveSession
from tests.memory.quotas import MemoryQuotas
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.provider import SevenBridgesProvider
from wes_daemon.adapters.resilience.call_gate import RateLimiter
from wes_daemon.adapters.system import SystemClock, sleep
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS
from wes_daemon.application.ports.providers import Submission, WorkflowProvider
from wes_daemon.domain.runs import ProviderRunId, ProviderType, WorkflowRequest
from wes_daemon.domain.states import RunState
from wes_daemon.plugins.rates import Rate

_DRAFT = "DRAFT"
_OVER = frozenset({"COMPLETED", "FAILED", "ABORTED", "ABORTING"})
_FIELDS = "id,name,description,status"
_PAGE = 100
# Longer than this machine's clock and the service's should differ.
_MARGIN = timedelta(minutes=15)


class SevenBridgesAccount(Account):
    """Tasks in the project of the settings, of one app.

    Args:
        app: `owner/project/app`, made of `wes_daemon_live.cwl`.
        rate_limit: the setting `SEVENBRIDGES_RATE_LIMIT`.
    """

    troubles = (SbgError, requests.RequestException)
    prepares = True

    def __init__(self, config: SevenBridgesConfig, session: LiveSession, *, app: str, rate_limit: Rate | None) -> None:
        self._config = config
        self._session = session
        self._app = app
        rates = {} if rate_limit is None else {ALL_OPERATIONS: rate_limit}
        clock = SystemClock()
        self._limiter = RateLimiter(rates, quotas=MemoryQuotas(clock), account="sevenbridges", clock=clock, sleep=sleep)
        self._providers: list[SevenBridgesProvider] = []
        self._api = sevenbridges.Api(url=config.endpoint, token=config.token, timeout=(10, 60))
        # The SDK's own handler sleeps for five minutes.
        self._api.error_handlers = []

    def provider(self) -> WorkflowProvider:
        made = SevenBridgesProvider(
            self._config, clock=SystemClock(), gate=AskingGate(self._count_start, self._limiter)
        )
        self._providers.append(made)
        return as_the_daemon_has_it(made, ProviderType.SEVENBRIDGES)

    def request(self, fate: RunState) -> WorkflowRequest:
        return self._with(FATES[fate])

    def refused(self) -> WorkflowRequest:
        return self._with({"seconds": "no number", "code": 0})

    def submit_in_another_process(self, submission: Submission) -> ProviderRunId:
        self._session.budget.spend()
        return elsewhere(submit_to_sevenbridges, self._config, submission)

    def runs_of(self, key: str) -> Sequence[LiveRun]:
        return [run for run in self._runs() if run.key == key]

    def unfinished(self) -> Iterator[LiveRun]:
        return (run for run in self._runs() if not run.is_over)

    def look(self, id: ProviderRunId) -> LiveRun | None:
        try:
            return self._as_run(self._api.get(f"/tasks/{id}", params={"fields": _FIELDS}).json())
        except SbgError as error:
            if error.status == 404:
                return None
            raise

    def stop(self, run: LiveRun) -> None:
        if run.was_started:
            self._api.post(f"/tasks/{run.id}/actions/abort")
        else:
            self._api.delete(f"/tasks/{run.id}")

    def close(self) -> None:
        for provider in self._providers:
            provider.close()
        self._api.session.close()

    def _with(self, inputs: Mapping[str, object]) -> WorkflowRequest:
        return WorkflowRequest(
            workflow_url=self._app,
            workflow_type="CWL",
            workflow_type_version="v1.2",
            workflow_params=inputs,
            # A project may be set to take results of earlier runs, and then nothing would run.
            workflow_engine_parameters={"use_memoization": False, "max_parallel_instances": 1},
        )

    def _count_start(self, operation: str) -> None:
        if operation == "RunTask":
            self._session.budget.spend()

    def _runs(self) -> Iterator[LiveRun]:
        return (run for task in self._tasks() if (run := self._as_run(task)) is not None)

    def _tasks(self) -> Iterator[Mapping[str, Any]]:
        """Every task of the project since the session began, page by page."""
        since = (self._session.begun - _MARGIN).strftime("%Y-%m-%dT%H:%M:%S")
        wanted = {"project": self._config.project, "created_from": since, "fields": _FIELDS}
        found: list[Mapping[str, Any]] = []
        while True:
            page = {"order_by": "created_time", "order": "asc", "limit": _PAGE, "offset": len(found)}
            items = self._api.get("/tasks", params={**wanted, **page}).json()["items"]
            found += items
            if len(items) < _PAGE:
                return iter(found)

    def _as_run(self, task: Mapping[str, Any]) -> LiveRun | None:
        """The run, where it bears this session's mark; a task that runs may be renamed, its description stays."""
        marks = (str(task.get("description") or "").partition("\n")[0].strip(), str(task.get("name") or ""))
        key = next((mark for mark in marks if mark.startswith(self._session.mark)), None)
        if key is None:
            return None
        status = task["status"]
        return LiveRun(id=task["id"], key=key, was_started=status != _DRAFT, is_over=status in _OVER)
