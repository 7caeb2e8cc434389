"""Lists of a project's tasks: owned tasks, tasks of the former daemon, and tasks that have ended. One call per page."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from wes_daemon.adapters.json_values import as_text
from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient, as_time
from wes_daemon.adapters.providers.sevenbridges.statuses import read_status
from wes_daemon.adapters.providers.sevenbridges.tasks import DRAFT, PAGE_OVERLAP, is_task_id
from wes_daemon.application.ports.providers import EndedPage, OwnedPage, OwnedRun, as_key, key_of_former_name
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId

_FIELDS = "id,name,description,status,created_time,parent,batch,start_time,end_time,execution_status"
# In the order in which a task passes through them, so that a task that goes on meanwhile is never missed.
_ACTIVE = ("CREATING", "QUEUED", "RUNNING")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def owned_tasks(client: SevenBridgesClient, project: str, *, since: datetime, after: str | None) -> OwnedPage:
    """Return a page of the owned tasks that were created since then, the oldest first.

    Args:
        after: the number of tasks to skip.

    Raises:
        Failure, NotNow: the call failed.
    """
    tasks, following = _created_tasks(client, project, since=since, after=after)
    found = [_owned_run(task, since, key=key) for task in tasks if (key := _key(task))]
    return OwnedPage(runs=[run for run in found if run], following=following)


def former_tasks(client: SevenBridgesClient, project: str, *, since: datetime, after: str | None) -> OwnedPage:
    """Return a page of the tasks that the former daemon created since then, the oldest first.

    The service has no filter by name.

    Args:
        after: the number of tasks to skip.

    Raises:
        Failure, NotNow: the call failed.
    """
    tasks, following = _created_tasks(client, project, since=since, after=after)
    return OwnedPage(runs=_former_runs(tasks, since), following=following)


def active_former_tasks(client: SevenBridgesClient, project: str, *, after: str | None) -> OwnedPage:
    """Return a page of the active tasks that the former daemon created. One list for each active status is read.

    Args:
        after: the status of the list, and the number of its tasks to skip.

    Raises:
        Failure, NotNow: the call failed.
    """
    status, _, skipped = (after or f"{_ACTIVE[0]} 0").partition(" ")
    offset = int(skipped)
    params = {"status": status, "order_by": "created_time", "fields": _FIELDS}
    tasks, has_more = _page(client, project, params=params, offset=offset)
    following = f"{status} {offset + max(len(tasks) - PAGE_OVERLAP, 1)}" if tasks and has_more else _next_list(status)
    return OwnedPage(runs=_former_runs(tasks, _LONG_AGO), following=following)


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


def _created_tasks(
    client: SevenBridgesClient, project: str, *, since: datetime, after: str | None
) -> tuple[Sequence[Mapping[str, object]], str | None]:
    """Return a page of all tasks that were created since then, and the token of the next page."""
    offset = int(after or 0)
    params = {"created_from": _timestamp(since), "order_by": "created_time", "fields": _FIELDS}
    tasks, has_more = _page(client, project, params=params, offset=offset)
    return tasks, str(offset + max(len(tasks) - PAGE_OVERLAP, 1)) if tasks and has_more else None


def _next_list(status: str) -> str | None:
    following = _ACTIVE[_ACTIVE.index(status) + 1 :]
    return f"{following[0]} 0" if following else None


def _page(
    client: SevenBridgesClient, project: str, *, params: Mapping[str, str], offset: int
) -> tuple[Sequence[Mapping[str, object]], bool]:
    return client.page("ListTasks", "/tasks", {"project": project, "order": "asc", **params}, offset=offset)


def _timestamp(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _former_runs(tasks: Sequence[Mapping[str, object]], since: datetime) -> Sequence[OwnedRun]:
    found = [_owned_run(task, since, key=key, is_former=True) for task in tasks if (key := _former_key(task))]
    return [run for run in found if run]


def _owned_run(
    task: Mapping[str, object], since: datetime, *, key: IdempotencyKey, is_former: bool = False
) -> OwnedRun | None:
    id = as_text(task.get("id"))
    if not is_task_id(id):
        return None
    report = read_status(task)
    return OwnedRun(
        id=ProviderRunId(id),
        key=key,
        created_at=as_time(task.get("created_time")) or since,
        state=report.state,
        provider_status=report.provider_status,
        is_draft=_is_draft(task),
        is_former=is_former,
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


def _former_key(task: Mapping[str, object]) -> IdempotencyKey | None:
    """Return the key of the run that the task's former name names. The former daemon created no batches."""
    return None if task.get("parent") else key_of_former_name(as_text(task.get("name")))


def _is_draft(task: Mapping[str, object]) -> bool:
    return as_text(task.get("status")) == DRAFT
