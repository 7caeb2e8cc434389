"""The Seven Bridges provider: each run is a task of the platform."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.codes import PROJECT_CODES
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.details import run_details
from wes_daemon.adapters.providers.sevenbridges.drafts import Drafts
from wes_daemon.adapters.providers.sevenbridges.errors import Failure, translated, translated_unless_rejected
from wes_daemon.adapters.providers.sevenbridges.imports import Imports
from wes_daemon.adapters.providers.sevenbridges.inputs import InputFiles
from wes_daemon.adapters.providers.sevenbridges.inventory import (
    active_former_tasks,
    ended_tasks,
    former_tasks,
    owned_tasks,
)
from wes_daemon.adapters.providers.sevenbridges.statuses import STATUS_BATCH, fetch_statuses
from wes_daemon.adapters.providers.sevenbridges.task_request import TaskRequest, read_task_request
from wes_daemon.adapters.providers.sevenbridges.tasks import abort_task, delete_if_draft, start_task
from wes_daemon.application.ports.call_gate import CallGate, OpenCallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Misconfigured, Rejected
from wes_daemon.application.ports.providers import (
    Accepted,
    EndedPage,
    Idempotency,
    Needed,
    OwnedPage,
    Prepared,
    ProviderLimits,
    Recorded,
    RunDetails,
    Submission,
    all_needed,
    nothing_recorded,
)
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import ProviderRunId, StatusReport


class SevenBridgesProvider:
    """A `WorkflowProvider` that starts each run in two steps.

    It creates a draft, and starts the draft after the caller has recorded its id.

    Args:
        gate: asked before each request; by default it permits every call.
    """

    def __init__(self, config: SevenBridgesConfig, *, clock: Clock, gate: CallGate | None = None) -> None:
        self._config = config
        self._client = SevenBridgesClient(config, clock=clock, gate=gate or OpenCallGate())
        inputs = InputFiles(self._client, config, imports=Imports(self._client, clock=clock))
        self._drafts = Drafts(self._client, config, inputs=inputs, clock=clock)

    @property
    def limits(self) -> ProviderLimits:
        ended_list = f"sevenbridges {self._config.endpoint} {self._config.project}"
        return ProviderLimits(
            status_batch=STATUS_BATCH, idempotency=Idempotency.DRAFT, fills_batches=True, ended_list=ended_list
        )

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """Return `Prepared` for a new draft, and `Accepted` once the recorded draft is started.

        A recorded draft that was deleted on the platform can never run: another one is prepared in its place.
        """
        with translated():
            if submission.prepared_id is not None and (task := self._drafts.recorded(submission.prepared_id)):
                start_task(self._client, task)
                return Accepted(submission.prepared_id)
            return self._prepare(submission)

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """Return the status reports. Costs one call, and one more for each run that has failed."""
        if len(ids) > STATUS_BATCH:
            raise ValueError(f"{len(ids)} ids in one call, {STATUS_BATCH} are allowed")
        with translated_unless_rejected():
            return fetch_statuses(self._client, ids)

    def cancel(self, id: ProviderRunId) -> None:
        """Abort the task, or delete the draft."""
        with translated_unless_rejected():
            abort_task(self._client, id)

    def owned_runs(
        self,
        since: datetime,
        *,
        after: str | None = None,
        recorded: Recorded = nothing_recorded,
        needed: Needed = all_needed,
    ) -> OwnedPage:
        """List tasks of the configured project. Costs one call for each 100 of its tasks, owned or not."""
        del recorded, needed
        with translated_unless_rejected():
            return owned_tasks(self._client, self._config.project, since=since, after=after)

    def former_runs(
        self,
        since: datetime | None,
        *,
        after: str | None = None,
        recorded: Recorded = nothing_recorded,
        needed: Needed = all_needed,
    ) -> OwnedPage:
        """List tasks of the configured project. Costs one call for each 100 of its tasks, or of its active tasks."""
        del recorded, needed
        with translated_unless_rejected():
            if since is None:
                return active_former_tasks(self._client, self._config.project, after=after)
            return former_tasks(self._client, self._config.project, since=since, after=after)

    def ended(self, since: datetime, *, after: str | None = None) -> EndedPage:
        """List tasks of the configured project. Costs one call for each 100 of its tasks, owned or not."""
        with translated_unless_rejected():
            return ended_tasks(self._client, self._config.project, since=since, after=after)

    def delete_draft(self, id: ProviderRunId) -> bool:
        """Delete the task if it is a draft. Costs one call."""
        with translated_unless_rejected():
            return delete_if_draft(self._client, id)

    def details(self, id: ProviderRunId) -> RunDetails:
        """Return the details. They never contain an exit code, because the service reports none."""
        with translated():
            return run_details(self._client, self._config, id)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _prepare(self, submission: Submission) -> Accepted | Prepared:
        try:
            request = read_task_request(submission, self._config)
        except InvalidRequest as error:
            raise Rejected(str(error)) from error
        with _project_errors_translated(request):
            task = self._drafts.find_or_create(request)
        id = ProviderRunId(task.id)
        return Prepared(id) if task.is_draft else Accepted(id)


@contextmanager
def _project_errors_translated(request: TaskRequest) -> Iterator[None]:
    """Raise `Misconfigured` if the project of the settings is missing or forbidden.

    If the run names the project itself, the failure passes unchanged, and the run is rejected.
    """
    try:
        yield
    except Failure as failure:
        if failure.code not in PROJECT_CODES or not request.is_configured_project:
            raise
        raise Misconfigured(
            f"{failure}: check SEVENBRIDGES_PROJECT ({request.project}), and that the token's owner is its member"
        ) from failure
