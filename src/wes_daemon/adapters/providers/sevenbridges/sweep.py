"""What became of many tasks, asked for in few calls."""

from collections.abc import Collection, Iterator, Mapping

from wes_daemon.adapters.providers.sevenbridges.client import PAGE, SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.errors import TASK_FORBIDDEN, TASK_NOT_FOUND, Failure
from wes_daemon.adapters.providers.sevenbridges.failures import judged
from wes_daemon.adapters.providers.sevenbridges.reading import as_object, as_objects, as_text
from wes_daemon.adapters.providers.sevenbridges.states import report, unreadable
from wes_daemon.adapters.providers.sevenbridges.tasks import get_task, is_task_id
from wes_daemon.domain.runs import ProviderRunId, StatusReport

BATCH = PAGE

_FIELDS = "id,status,batch,start_time,end_time,execution_status"


def sweep(client: SevenBridgesClient, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
    """One report per task that the service knows: one call for all, and one more for each that has failed."""
    asked = [id for id in dict.fromkeys(ids) if is_task_id(id)]
    if not asked:
        return {}
    return _one(client, asked[0]) if len(asked) == 1 else _many(client, asked)


def _report(client: SevenBridgesClient, id: ProviderRunId, task: Mapping[str, object]) -> StatusReport:
    """A batch has no jobs to judge by: they are its children's."""
    found = report(task)
    is_to_judge = found.provider_status == "FAILED" and task.get("batch") is not True
    return judged(client, id, found) if is_to_judge else found


def _one(client: SevenBridgesClient, id: ProviderRunId) -> Mapping[ProviderRunId, StatusReport]:
    try:
        task = get_task(client, id, _FIELDS)
    except Failure as failure:
        # One task that is kept from us says nothing of the others: as in a bulk answer.
        if failure.code != TASK_FORBIDDEN:
            raise
        return {id: unreadable(str(failure))}
    return {} if task is None else {id: _report(client, id, task)}


def _many(client: SevenBridgesClient, asked: list[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
    answer = client.ask("BulkGetTasks", "/bulk/tasks/get", {"task_ids": asked})
    items = as_objects(answer.get("items"))
    tasks = {as_text(task.get("id")).lower(): task for task in _resources(items)}
    found = {id: _report(client, id, tasks[id.lower()]) for id in asked if id.lower() in tasks}
    missing = [id for id in asked if id not in found]
    return {**found, **{id: unreadable(why) for id in missing for why in _doubts(items, len(missing))}}


def _resources(items: Collection[Mapping[str, object]]) -> Iterator[Mapping[str, object]]:
    for item in items:
        # Documented with a wrapper; read without one as well.
        yield as_object(item.get("resource")) or item


def _doubts(items: Collection[Mapping[str, object]], missing: int) -> list[str]:
    """Why the tasks without a report may exist all the same; empty where they certainly do not.

    An error item does not say of which task it speaks.
    So the missing tasks are gone only where there are as many errors as missing tasks, all of them "not found".
    """
    errors = [as_object(item.get("error")) for item in items if item.get("error")]
    others = [error for error in errors if error.get("code") != TASK_NOT_FOUND]
    if others:
        return [f"one of the tasks could not be read: {as_text(others[0].get('message'))}"]
    return [] if len(errors) == missing else ["the service did not tell of every task"]
