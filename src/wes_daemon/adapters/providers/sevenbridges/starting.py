"""From a recorded draft to a run, once."""

from collections.abc import Mapping

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.errors import PROJECT_CODES, Failure, doubt, meaning
from wes_daemon.adapters.providers.sevenbridges.problems import refuse_invalid
from wes_daemon.adapters.providers.sevenbridges.removing import remove_draft
from wes_daemon.adapters.providers.sevenbridges.tasks import Task, read_draft, read_task
from wes_daemon.application.ports.errors import Misconfigured, NotNow, OutcomeUnknown, Rejected


def start(client: SevenBridgesClient, draft: Task) -> None:
    """Run the draft; return once it is certain that it runs, or has run.

    Running a task twice starts it once: the service runs only what is a draft.

    Raises:
        Rejected: the service will not run it; the draft is removed.
        OutcomeUnknown: perhaps it runs.
        Failure, NotNow: it does not run.
    """
    if not draft.is_draft:
        return
    refuse_invalid(client, draft)
    try:
        answer = client.post("RunTask", f"/tasks/{draft.id}/actions/run", **_batching(draft))
    except Failure as failure:
        if failure.is_certainly_nothing:
            raise
        _after_failure(client, draft.id, failure)
    else:
        _after_answer(client, draft.id, answer)


def _batching(draft: Task) -> Mapping[str, object]:
    """An app may make every task a batch; a run is one task. To any other task the service refuses the word (7022)."""
    return {"batch": "False"} if draft.is_batch else {}


def _after_answer(client: SevenBridgesClient, id: str, answer: Mapping[str, object]) -> None:
    """Whether a draft with errors is refused or answered as it is, is not documented; nor that the status is fresh."""
    task = read_task(answer)
    refuse_invalid(client, task)
    if task.id == id and task.status and not task.is_draft:
        return
    if _seen_again(client, id).is_draft:
        raise OutcomeUnknown(f"Seven Bridges was told to run the draft {id} and shows it as a draft still")


def _after_failure(client: SevenBridgesClient, id: str, failure: Failure) -> None:
    """What was refused may run all the same, started by an attempt whose answer was lost."""
    if not _seen_again(client, id).is_draft:
        return
    if failure.code in PROJECT_CODES:
        # The draft could be made there, so somebody can mend that it cannot be run; other runs are not concerned.
        raise NotNow(str(failure)) from failure
    if isinstance(meaning(failure), Rejected):
        _remove_for_good(client, id, failure)
    raise failure


def _remove_for_good(client: SevenBridgesClient, id: str, refusal: Failure) -> None:
    """Only of a draft that is gone can it be said that no earlier request to run it, which is late, will run it."""
    try:
        remove_draft(client, id)
    except (Failure, NotNow) as error:
        raise doubt(
            f"{refusal}; but the draft {id} may be there still, and be run by a request that is late", error
        ) from error


def _seen_again(client: SevenBridgesClient, id: str) -> Task:
    try:
        task = read_draft(client, id)
    except (Failure, NotNow, Misconfigured) as error:
        raise doubt(f"whether the draft {id} runs is not known", error) from error
    if task is None:
        raise OutcomeUnknown(f"the draft {id} has gone while it was to be run")
    refuse_invalid(client, task)
    return task
