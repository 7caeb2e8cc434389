"""Lists of a project's tasks for reconciliation: owned tasks, and tasks that have ended. One call per page."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient, as_text, as_time
from wes_daemon.adapters.providers.sevenbridges.statuses import read_status
from wes_daemon.adapters.providers.sevenbridges.tasks import DRAFT, PAGE_OVERLAP, is_task_id
from wes_daemon.application.ports.providers import EndedPage, OwnedPage, OwnedRun, as_key
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId

_FIELDS = "id,name,description,status,created_time,parent,batch,start_time,end_time,execution_status"


def owned_tasks(client: SevenBridgesClient, project: str, *, since: datetime, after: str | None) -> OwnedPage:
    """Return a page of the owned tasks that were created since then, the oldest first.

    Args:
        after: the number of tasks to skip.

    Raises:
        Failure, NotNow: the call failed.
    """
    offset = int(after or 0)
    params = {"created_from": _timestamp(since), "order_by": "created_time", "fields": _FIELDS}
    tasks, has_more = _page(client, project, params=params, offset=offset)
    following = str(offset + max(len(tasks) - PAGE_OVERLAP, 1)) if tasks and has_more else None
    return OwnedPage(runs=[run for task in tasks if (run := _owned_run(task, since))], following=following)


def ended_tasks(client: SevenBridgesClient, project: str, *, since: datetime, after: str | None) -> EndedPage:
    """Return a page of all tasks that ended since then.

    Pages do not overlap: a task that ends between two calls comes last, so that the pages before it do not change.

    Args:
        after: the number of tasks to skip.

    Raises:
        Failure, NotNow: the call failed.
    """
    offset = int(after or 0)
    params = {"ended_from": _timestamp(since), "order_by": "end_time", "fields": "id"}
    tasks, has_more = _page(client, project, params=params, offset=offset)
    ids = [ProviderRunId(id) for task in tasks if is_task_id(id := as_text(task.get("id")))]
    return EndedPage(ids=ids, following=str(offset + len(tasks)) if tasks and has_more else None)


def _page(
    client: SevenBridgesClient, project: str, *, params: Mapping[str, str], offset: int
) -> tuple[Sequence[Mapping[str, object]], bool]:
    return client.page("ListTasks", "/tasks", {"project": project, "order": "asc", **params}, offset=offset)


def _timestamp(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _owned_run(task: Mapping[str, object], since: datetime) -> OwnedRun | None:
    id, key = as_text(task.get("id")), _key(task)
    if key is None or not is_task_id(id):
        return None
    report = read_status(task)
    return OwnedRun(
        id=ProviderRunId(id),
        key=key,
        created_at=as_time(task.get("created_time")) or since,
        state=report.state,
        provider_status=report.provider_status,
        is_draft=_is_draft(task),
    )


def _key(task: Mapping[str, object]) -> IdempotencyKey | None:
    """Return the idempotency key in the task's ownership marker, or None for a task without one.

    A started task may have been renamed. A draft with another name was created, and perhaps changed, by a person.
    The children of a batch have the batch's description.
    """
    name, description = as_text(task.get("name")), as_text(task.get("description"))
    if task.get("parent"):
        return None
    if _is_draft(task):
        return as_key(name) if description.startswith(name) else None
    return as_key(description.partition("\n")[0].strip()) or as_key(name)


def _is_draft(task: Mapping[str, object]) -> bool:
    return as_text(task.get("status")) == DRAFT
