"""Drafts taken away."""

import logging

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.errors import NO_DRAFT, Failure
from wes_daemon.adapters.providers.sevenbridges.tasks import is_no_such_task, is_task_id
from wes_daemon.application.ports.errors import NotNow
from wes_daemon.application.runtime.event_log import log_event

_log = logging.getLogger(__name__)


def remove_draft(client: SevenBridgesClient, id: str) -> None:
    """Delete a draft; one that is gone already is no matter.

    Raises:
        Failure, NotNow: it may be there still, or be a draft no more.
    """
    try:
        client.delete("DeleteTask", f"/tasks/{id}")
    except Failure as failure:
        if not is_no_such_task(failure):
            raise


def discard_draft(client: SevenBridgesClient, id: str) -> bool:
    """Delete what is a draft, and tell whether there was one; the service itself refuses to delete anything else.

    Raises:
        Failure, NotNow: it may be there still.
    """
    if not is_task_id(id):
        return False
    try:
        client.delete("DeleteTask", f"/tasks/{id}")
    except Failure as failure:
        if is_no_such_task(failure) or failure.code == NO_DRAFT:
            return False
        raise
    return True


def remove_surplus(client: SevenBridgesClient, id: str) -> None:
    """Delete a draft that must not stay beside the one that counts, unless the service refuses it for good.

    Raises:
        Failure, NotNow: passing trouble, or it is a draft no more: look again.
    """
    try:
        remove_draft(client, id)
        log_event(_log, logging.WARNING, "sevenbridges.surplus_draft", task=id)
    except Failure as failure:
        if failure.is_passing:
            raise
        log_event(_log, logging.WARNING, "sevenbridges.draft_left", task=id, reason=failure)


def try_to_remove_draft(client: SevenBridgesClient, id: str) -> None:
    """Delete a draft that nobody will run; one that stays costs nothing."""
    try:
        remove_draft(client, id)
    except (Failure, NotNow) as error:
        log_event(_log, logging.WARNING, "sevenbridges.draft_left", task=id, reason=error)
