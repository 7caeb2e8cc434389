"""A run stopped, in whatever state it is."""

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.errors import Failure
from wes_daemon.adapters.providers.sevenbridges.reading import as_text
from wes_daemon.adapters.providers.sevenbridges.removing import remove_draft
from wes_daemon.adapters.providers.sevenbridges.tasks import DRAFT, get_task, is_no_such_task, is_task_id

_NOTHING_TO_STOP = frozenset({"COMPLETED", "FAILED", "ABORTED", "ABORTING"})


def abort(client: SevenBridgesClient, id: str) -> None:
    """Stop the task, or delete the draft; nothing where it has ended or is not known.

    Raises:
        Failure, NotNow: it may run still.
    """
    if not is_task_id(id):
        return
    try:
        client.post("AbortTask", f"/tasks/{id}/actions/abort")
    except Failure as failure:
        if not is_no_such_task(failure):
            _by_status(client, id, failure)


def _by_status(client: SevenBridgesClient, id: str, failure: Failure) -> None:
    """Which states cannot be aborted is told by several codes; the task itself tells it best."""
    if failure.is_certainly_nothing:
        raise failure
    task = get_task(client, id, "id,status")
    status = as_text(task.get("status")) if task else None
    if status == DRAFT:
        remove_draft(client, id)
    elif status is not None and status not in _NOTHING_TO_STOP:
        raise failure
