"""Runs as tasks of a Seven Bridges platform."""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from wes_daemon.adapters.providers.sevenbridges.aborting import abort
from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.details import run_details
from wes_daemon.adapters.providers.sevenbridges.drafts import Drafts
from wes_daemon.adapters.providers.sevenbridges.errors import PROJECT_CODES, Failure, translated
from wes_daemon.adapters.providers.sevenbridges.files import Files
from wes_daemon.adapters.providers.sevenbridges.imports import Imports
from wes_daemon.adapters.providers.sevenbridges.inventory import ended_tasks, marked_tasks
from wes_daemon.adapters.providers.sevenbridges.locating import Locator
from wes_daemon.adapters.providers.sevenbridges.payloads import Plan, read_plan
from wes_daemon.adapters.providers.sevenbridges.preparing import InputPreparation
from wes_daemon.adapters.providers.sevenbridges.removing import discard_draft
from wes_daemon.adapters.providers.sevenbridges.starting import start
from wes_daemon.adapters.providers.sevenbridges.sweep import BATCH, sweep
from wes_daemon.adapters.providers.sevenbridges.tasks import Task, read_draft
from wes_daemon.adapters.providers.sevenbridges.volumes import Volumes
from wes_daemon.application.ports.call_gate import CallGate, OpenCallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Misconfigured, Rejected
from wes_daemon.application.ports.providers import (
    Accepted,
    EndedPage,
    OwnedPage,
    Prepared,
    ProviderLimits,
    Recorded,
    RunDetails,
    Submission,
    nothing_recorded,
)
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import ProviderRunId, StatusReport

_FRESH_DRAFTS_AT_MOST = 1_000


class SevenBridgesProvider:
    """A `WorkflowProvider` that starts each run in two steps: a draft, then its start once the draft is recorded.

    Args:
        gate: asked before each request; permits every call by default.
    """

    def __init__(
        self,
        config: SevenBridgesConfig,
        *,
        clock: Clock,
        gate: CallGate | None = None,
    ) -> None:
        self._config = config
        self._client = SevenBridgesClient(config, clock=clock, gate=gate or OpenCallGate())
        files = Files(self._client)
        imports = Imports(self._client, files=files, volumes=Volumes(self._client, clock=clock), clock=clock)
        inputs = InputPreparation(self._client, Locator(config, files=files, imports=imports))
        self._drafts = Drafts(self._client, config, prepare_inputs=inputs, clock=clock)
        self._fresh = _FreshDrafts()

    @property
    def limits(self) -> ProviderLimits:
        """As the port says."""
        ended_list = f"sevenbridges {self._config.endpoint} {self._config.project}"
        return ProviderLimits(status_batch=BATCH, prepares=True, fills_batches=True, ended_list=ended_list)

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """As the port says; first `Prepared`, and `Accepted` for what is recorded.

        A recorded draft that somebody has deleted can never run, so another one is prepared in its place.
        """
        with translated():
            if submission.prepared_id is not None and (task := self._recorded(submission.prepared_id)):
                start(self._client, task)
                return Accepted(submission.prepared_id)
            return self._prepared(submission)

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """As the port says; one call for up to 100 ids, and one more for each run that has failed."""
        if len(ids) > BATCH:
            raise ValueError(f"{len(ids)} ids in one call, {BATCH} are allowed")
        with translated(rejects=False):
            return sweep(self._client, ids)

    def cancel(self, id: ProviderRunId) -> None:
        """As the port says; a draft is deleted."""
        with translated(rejects=False):
            abort(self._client, id)

    def owned_runs(
        self, since: datetime, *, after: str | None = None, recorded: Recorded = nothing_recorded
    ) -> OwnedPage:
        """As the port says, for the project of the settings; one call for 100 of its tasks, whoever made them."""
        del recorded
        with translated(rejects=False):
            return marked_tasks(self._client, self._config.project, since, after)

    def ended(self, since: datetime, *, after: str | None = None) -> EndedPage:
        """As the port says, for the project of the settings; one call for 100 of its tasks, whoever made them."""
        with translated(rejects=False):
            return ended_tasks(self._client, self._config.project, since, after)

    def delete_draft(self, id: ProviderRunId) -> bool:
        """As the port says; one call."""
        with translated(rejects=False):
            return discard_draft(self._client, id)

    def details(self, id: ProviderRunId) -> RunDetails:
        """As the port says; there is no exit code, for the service tells none."""
        with translated():
            return run_details(self._client, self._config, id)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _recorded(self, id: ProviderRunId) -> Task | None:
        return self._fresh.taken(id) or read_draft(self._client, id)

    def _prepared(self, submission: Submission) -> Accepted | Prepared:
        try:
            plan = read_plan(submission, self._config)
        except InvalidRequest as error:
            raise Rejected(str(error)) from error
        with _mended_by_settings(plan):
            task = self._drafts.task_for(plan)
        id = ProviderRunId(task.id)
        if not task.is_draft:
            return Accepted(id)
        self._fresh.keep(task)
        return Prepared(id)


@contextmanager
def _mended_by_settings(plan: Plan) -> Iterator[None]:
    """A project that is kept from us is the run's mistake, unless it is the one of the settings."""
    try:
        yield
    except Failure as failure:
        if failure.code not in PROJECT_CODES or not plan.is_own_project:
            raise
        raise Misconfigured(
            f"{failure}: check SEVENBRIDGES_PROJECT ({plan.project}), and that the token's owner is its member"
        ) from failure


class _FreshDrafts:
    """Drafts as they were a moment ago, so that the next step need not ask for them again."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[str, Task] = OrderedDict()

    def keep(self, task: Task) -> None:
        """Remember it for the next step; the oldest are forgotten."""
        self._tasks[task.id] = task
        while len(self._tasks) > _FRESH_DRAFTS_AT_MOST:
            self._tasks.popitem(last=False)

    def taken(self, id: str) -> Task | None:
        """What is remembered, once."""
        return self._tasks.pop(id, None)
