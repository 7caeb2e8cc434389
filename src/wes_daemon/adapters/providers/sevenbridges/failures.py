"""Whose fault it was that a task failed: the workflow's or the platform's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.errors import Failure
from wes_daemon.adapters.providers.sevenbridges.reading import as_objects, as_text
from wes_daemon.adapters.providers.sevenbridges.states import unreadable
from wes_daemon.application.ports.errors import NotNow
from wes_daemon.domain.runs import StatusReport
from wes_daemon.domain.states import RunState

_NAMED_AT_MOST = 5


def judged(client: SevenBridgesClient, id: str, found: StatusReport) -> StatusReport:
    """The report of a failed task, with the fault put where it belongs; one call.

    The service documents no flag for it.
    A tool that fails shows as a job that has failed; where none has, the platform could not do its part.
    """
    try:
        jobs = execution_jobs(client, id)
    except NotNow as error:
        return unreadable(str(error))
    except Failure as failure:
        # Without the jobs, for good: most failures are the workflow's.
        return found if failure.is_about_the_thing else unreadable(str(failure))
    failed = [as_text(job.get("name")) for job in jobs if job.get("status") == "FAILED"]
    if not failed:
        return replace(found, state=RunState.SYSTEM_ERROR)
    return replace(found, message=f"{found.message}; failed: {_listed(failed)}")


def execution_jobs(client: SevenBridgesClient, id: str) -> Sequence[Mapping[str, object]]:
    """The jobs of a task, as far as it has come."""
    return as_objects(client.get("GetExecutionDetails", f"/tasks/{id}/execution_details").get("jobs"))


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
