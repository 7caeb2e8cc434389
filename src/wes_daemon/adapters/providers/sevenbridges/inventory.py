"""What a project holds of ours, in the service's own pages."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.reading import as_moment, as_text
from wes_daemon.adapters.providers.sevenbridges.states import report
from wes_daemon.adapters.providers.sevenbridges.tasks import DRAFT, is_task_id
from wes_daemon.application.ports.providers import EndedPage, OwnedPage, OwnedRun, as_key
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId

_FIELDS = "id,name,description,status,created_time,parent,batch,start_time,end_time,execution_status"
# Items of a page that the next one repeats: drafts may be deleted between the two.
_OVERLAP = 10


def marked_tasks(client: SevenBridgesClient, project: str, since: datetime, after: str | None) -> OwnedPage:
    """As `WorkflowProvider.marked`: one call, oldest tasks first; `after` is the number of tasks to pass over.

    Raises:
        Failure, NotNow: the page could not be had.
    """
    offset = int(after or 0)
    asked = {"created_from": _written(since), "order_by": "created_time", "fields": _FIELDS}
    tasks, there_are_more = _page(client, project, asked, offset)
    following = str(offset + max(len(tasks) - _OVERLAP, 1)) if tasks and there_are_more else None
    return OwnedPage(runs=[run for task in tasks if (run := _marked(task, since))], following=following)


def ended_tasks(client: SevenBridgesClient, project: str, since: datetime, after: str | None) -> EndedPage:
    """As `WorkflowProvider.ended`: one call; what ends meanwhile comes last, so that the pages before stay as they are.

    Raises:
        Failure, NotNow: the page could not be had.
    """
    offset = int(after or 0)
    asked = {"ended_from": _written(since), "order_by": "end_time", "fields": "id"}
    tasks, there_are_more = _page(client, project, asked, offset)
    ids = [ProviderRunId(id) for task in tasks if is_task_id(id := as_text(task.get("id")))]
    return EndedPage(ids=ids, following=str(offset + len(tasks)) if tasks and there_are_more else None)


def _page(
    client: SevenBridgesClient, project: str, asked: Mapping[str, str], offset: int
) -> tuple[Sequence[Mapping[str, object]], bool]:
    """Of what is asked for, the first first; and whether there are more."""
    return client.page("ListTasks", "/tasks", {"project": project, "order": "asc", **asked}, offset=offset)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _marked(task: Mapping[str, object], since: datetime) -> OwnedRun | None:
    id, key = as_text(task.get("id")), _key(task)
    if key is None or not is_task_id(id):
        return None
    told = report(task)
    return OwnedRun(
        id=ProviderRunId(id),
        key=key,
        created_at=as_moment(task.get("created_time")) or since,
        state=told.state,
        provider_status=told.provider_status,
        is_draft=_is_draft(task),
    )


def _key(task: Mapping[str, object]) -> IdempotencyKey | None:
    """The task's mark; a task that was started may have been renamed, and children of a batch repeat its description.

    A draft of another name was made, and maybe changed, by a person.
    """
    name, description = as_text(task.get("name")), as_text(task.get("description"))
    if task.get("parent"):
        return None
    if _is_draft(task):
        return as_key(name) if description.startswith(name) else None
    return as_key(description.partition("\n")[0].strip()) or as_key(name)


def _is_draft(task: Mapping[str, object]) -> bool:
    return as_text(task.get("status")) == DRAFT
