"""Status reports of tasks: requests many tasks at once, maps statuses to WES states, and attributes failures.

The failure of a task is an error of the workflow if one of its jobs failed, and otherwise an error of the platform.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from wes_daemon.adapters.json_values import as_object, as_objects, as_text
from wes_daemon.adapters.providers.sevenbridges.client import PAGE, SevenBridgesClient, as_integer, as_message, as_time
from wes_daemon.adapters.providers.sevenbridges.codes import TASK_FORBIDDEN, TASK_NOT_FOUND
from wes_daemon.adapters.providers.sevenbridges.errors import Failure
from wes_daemon.adapters.providers.sevenbridges.tasks import get_fields, is_task_id
from wes_daemon.application.ports.errors import NotNow
from wes_daemon.domain.runs import ProviderRunId, StatusReport
from wes_daemon.domain.states import RunState

STATUS_BATCH = PAGE

STATES: Mapping[str, RunState] = {
    # Source: TaskStatus of sevenbridges-python 2.11.2, and the platform's pages on task statuses.
    "DRAFT": RunState.INITIALIZING,
    "CREATING": RunState.INITIALIZING,
    # Also a task that has run and waits again for an instance: the domain moves no run backwards.
    "QUEUED": RunState.INITIALIZING,
    "RUNNING": RunState.RUNNING,
    "ABORTING": RunState.CANCELING,
    "ABORTED": RunState.CANCELED,
    "COMPLETED": RunState.COMPLETE,
    # SYSTEM_ERROR if no job of the workflow has failed: see `_attribute_failure`.
    "FAILED": RunState.EXECUTOR_ERROR,
}

# In these statuses `start_time` is ignored: the service may set it while a task is queued.
_NOT_STARTED = frozenset({"DRAFT", "CREATING", "QUEUED"})
_FIELDS = "id,status,batch,start_time,end_time,execution_status"
_MAX_NAMED_JOBS = 5


def fetch_statuses(client: SevenBridgesClient, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
    """Return one report per task that the service knows. Costs one call, and one more for each failed task."""
    task_ids = [id for id in dict.fromkeys(ids) if is_task_id(id)]
    if not task_ids:
        return {}
    return _fetch_one(client, task_ids[0]) if len(task_ids) == 1 else _fetch_many(client, task_ids)


def read_status(task: Mapping[str, object]) -> StatusReport:
    """Read a status report from the fields of a task."""
    status = as_text(task.get("status"))
    state = _state(status, task)
    return StatusReport(
        state=state,
        provider_status=status or "none",
        started_at=None if status in _NOT_STARTED else as_time(task.get("start_time")),
        ended_at=as_time(task.get("end_time")) if state.has_ended else None,
        message=_message(status, state, task=task),
    )


def execution_jobs(client: SevenBridgesClient, id: str) -> Sequence[Mapping[str, object]]:
    """Return the jobs that a task has so far."""
    return as_objects(client.get("GetExecutionDetails", f"/tasks/{id}/execution_details").get("jobs"))


def _fetch_one(client: SevenBridgesClient, id: ProviderRunId) -> Mapping[ProviderRunId, StatusReport]:
    try:
        task = get_fields(client, id, _FIELDS)
    except Failure as failure:
        # A forbidden task says nothing about other tasks: report it like a forbidden item of a bulk answer.
        if failure.code != TASK_FORBIDDEN:
            raise
        return {id: _unknown(str(failure))}
    return {} if task is None else {id: _report(client, id, task)}


def _fetch_many(client: SevenBridgesClient, ids: Sequence[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
    answer = client.query("BulkGetTasks", "/bulk/tasks/get", {"task_ids": ids})
    items = as_objects(answer.get("items"))
    tasks = {as_text(task.get("id")).lower(): task for task in _tasks(items)}
    reports = {id: _report(client, id, tasks[id.lower()]) for id in ids if id.lower() in tasks}
    missing = [id for id in ids if id not in reports]
    reason = _reason_for_unknown(items, len(missing))
    return reports if reason is None else {**reports, **{id: _unknown(reason) for id in missing}}


def _tasks(items: Collection[Mapping[str, object]]) -> Iterator[Mapping[str, object]]:
    for item in items:
        # The documentation wraps each task in `resource`; a task without this wrapper is accepted as well.
        yield as_object(item.get("resource")) or item


def _reason_for_unknown(items: Collection[Mapping[str, object]], missing: int) -> str | None:
    """Return why it is unknown whether the tasks without a report exist; None if they certainly do not exist.

    An error item does not name its task. So the missing tasks certainly do not exist only if there are as many errors
    as missing tasks, and all errors are "not found".
    """
    errors = [as_object(item.get("error")) for item in items if item.get("error")]
    others = [error for error in errors if error.get("code") != TASK_NOT_FOUND]
    if others:
        return f"one of the tasks could not be read: {as_message(others[0])}"
    return None if len(errors) == missing else "the answer does not contain every task"


def _report(client: SevenBridgesClient, id: ProviderRunId, task: Mapping[str, object]) -> StatusReport:
    report = read_status(task)
    # The jobs of a batch belong to its children.
    is_attributable = report.provider_status == "FAILED" and task.get("batch") is not True
    return _attribute_failure(client, id, report) if is_attributable else report


def _attribute_failure(client: SevenBridgesClient, id: str, report: StatusReport) -> StatusReport:
    """Return the report of a failed task as an error of the workflow or of the platform. Costs one call.

    The service documents no field for this. A tool's failure appears as a failed job; without a failed job the
    platform failed.
    """
    try:
        jobs = execution_jobs(client, id)
    except NotNow as error:
        return _unknown(str(error))
    except Failure as failure:
        # If the jobs can never be read, the failure is attributed to the workflow, which causes most failures.
        return report if failure.is_permanent_refusal else _unknown(str(failure))
    failed = [as_text(job.get("name")) for job in jobs if job.get("status") == "FAILED"]
    if not failed:
        return replace(report, state=RunState.SYSTEM_ERROR)
    return replace(report, message=f"{report.message}; failed: {_join(failed)}")


def _unknown(reason: str) -> StatusReport:
    """Return the report for a task that may exist and could not be read."""
    return StatusReport(state=RunState.UNKNOWN, provider_status="unreadable", message=reason)


def _state(status: str, task: Mapping[str, object]) -> RunState:
    progress = as_object(task.get("execution_status"))
    if status == "RUNNING" and progress.get("instance_init") is True:
        return RunState.INITIALIZING
    if status == "COMPLETED" and task.get("batch") is True:
        return _state_of_completed_batch(progress)
    return STATES.get(status, RunState.UNKNOWN)


def _state_of_completed_batch(progress: Mapping[str, object]) -> RunState:
    """Decide by the children: which final status a batch has whose children failed or were aborted is undocumented."""
    failed, aborted, completed = (as_integer(progress.get(name)) for name in ("failed", "aborted", "completed"))
    if failed:
        return RunState.EXECUTOR_ERROR
    return RunState.CANCELED if aborted and not completed else RunState.COMPLETE


def _message(status: str, state: RunState, *, task: Mapping[str, object]) -> str:
    """Return the service's message for a failed task; empty for others, whose message changes all the time."""
    if state not in (RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR):
        return ""
    progress = as_object(task.get("execution_status"))
    code = progress.get("message_code")
    message = as_text(progress.get("message")) or _own_message(status, progress)
    return f"{message} (message code {code})" if code is not None else message


def _own_message(status: str, progress: Mapping[str, object]) -> str:
    if status != "COMPLETED":
        return f"the task ended as {status}, and the service gave no reason"
    failed, aborted = as_integer(progress.get("failed")), as_integer(progress.get("aborted"))
    return f"of the tasks of the batch {failed} failed and {aborted} were aborted"


def _join(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED_JOBS
    return ", ".join(names[:_MAX_NAMED_JOBS]) + (f" and {more} more" if more > 0 else "")
