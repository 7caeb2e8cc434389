"""One task of the service: read it, start it, abort it, delete its draft."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.adapters.json_values import as_object, as_text
from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient, as_message
from wes_daemon.adapters.providers.sevenbridges.codes import NO_DRAFT, NO_TASK_ID, PROJECT_CODES, TASK_NOT_FOUND
from wes_daemon.adapters.providers.sevenbridges.errors import Failure, outcome_unknown, provider_error
from wes_daemon.application.ports.errors import Misconfigured, NotNow, OutcomeUnknown, Rejected
from wes_daemon.application.runtime.event_log import log_event

DRAFT = "DRAFT"
PAGE_OVERLAP = 10
"""Tasks that each page of a listing repeats from the page before: a draft may be deleted between the two calls."""

_FIELDS = "id,name,description,status,parent,batch,errors,app,project"
_TASK_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NO_SUCH_TASK = frozenset({TASK_NOT_FOUND, NO_TASK_ID})
_ABORTED_OR_ENDED = frozenset({"COMPLETED", "FAILED", "ABORTED", "ABORTING"})
_MONEY = re.compile(r"\b(funds|billing|payment)\b", re.IGNORECASE)
_MISSING_MONEY_DELAY = timedelta(minutes=10)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The fields of a task that decide whether it is started.

    Attributes:
        app: with the revision that the service has pinned.
        is_batch: whether the task is split into other tasks.
        is_child: whether the task is a part of a batch.
        problems: the reasons why the service refuses to run this draft, by input; errors at run time are not included.
    """

    id: str
    name: str
    description: str
    status: str
    is_batch: bool
    is_child: bool = False
    problems: Sequence["Problem"] = ()
    app: str = ""
    project: str = ""

    @property
    def is_draft(self) -> bool:
        """Whether the task was never started."""
        return self.status == DRAFT


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One entry of a task's `errors`, which hold the results of validation only.

    Attributes:
        is_about_money: whether a payment solves the problem.
    """

    input: str
    message: str
    is_about_money: bool = False

    def __str__(self) -> str:
        return f"{self.input}: {self.message}" if self.input else self.message


def is_task_id(text: str) -> bool:
    """Whether the text has the form of a task id: all are UUIDs (source: the SDK refuses others)."""
    return _TASK_ID.fullmatch(text) is not None


def read_task(fields: Mapping[str, object]) -> Task:
    """Read a task from an answer."""
    return Task(
        id=as_text(fields.get("id")),
        name=as_text(fields.get("name")),
        description=as_text(fields.get("description")),
        status=as_text(fields.get("status")),
        is_batch=fields.get("batch") is True,
        is_child=bool(fields.get("parent")),
        problems=_read_problems(fields.get("errors")),
        app=as_text(fields.get("app")),
        project=as_text(fields.get("project")),
    )


def get_fields(client: SevenBridgesClient, id: str, fields: str | None = None) -> Mapping[str, object] | None:
    """Return the fields of a task, or None if the service does not know the task.

    Args:
        fields: their names, separated by commas; by default all.
    """
    if not is_task_id(id):
        return None
    try:
        return client.get("GetTask", f"/tasks/{id}", fields=fields)
    except Failure as failure:
        if _is_no_such_task(failure):
            return None
        raise


def find_task(client: SevenBridgesClient, id: str) -> Task | None:
    """Return the task in its current state, or None if the service does not know it."""
    fields = get_fields(client, id, _FIELDS)
    return None if fields is None else read_task(fields)


def reject_invalid_draft(client: SevenBridgesClient, task: Task) -> None:
    """Delete a draft that the service's validation refuses, and raise the reason. A valid task is left as it is.

    Raises:
        Rejected: with the service's message for each input.
        NotNow: money is missing, and the run itself is valid.
    """
    if not (task.is_draft and task.problems):
        return
    try_to_delete_draft(client, task.id)
    problems = "; ".join(map(str, task.problems))
    if any(problem.is_about_money for problem in task.problems):
        raise NotNow(f"Seven Bridges: {problems}", retry_after=_MISSING_MONEY_DELAY)
    place = f" of {task.app} in {task.project}" if task.app and task.project else ""
    raise Rejected(f"Seven Bridges refused the inputs{place}: {problems}")


def start_task(client: SevenBridgesClient, task: Task) -> None:
    """Start a draft. Returns once the task has certainly been started, now or earlier.

    A repeated start has no effect: the service starts drafts only.

    Raises:
        Rejected: the service refuses to run the draft; the draft is deleted.
        OutcomeUnknown: the task may have been started.
        Failure, NotNow: the task was not started.
    """
    if not task.is_draft:
        return
    reject_invalid_draft(client, task)
    try:
        answer = client.post("RunTask", f"/tasks/{task.id}/actions/run", **_batch_parameter(task))
    except Failure as failure:
        if failure.is_unprocessed:
            raise
        _check_refused_start(client, task.id, failure)
    else:
        _check_started(client, task.id, answer)


def abort_task(client: SevenBridgesClient, id: str) -> None:
    """Abort the task, or delete the draft. Does nothing if the task has ended or is not known.

    Raises:
        Failure, NotNow: the task may still run.
    """
    if not is_task_id(id):
        return
    try:
        client.post("AbortTask", f"/tasks/{id}/actions/abort")
    except Failure as failure:
        if not _is_no_such_task(failure):
            _check_refused_abort(client, id, failure)


def delete_draft(client: SevenBridgesClient, id: str) -> None:
    """Delete a draft. Does nothing if the draft no longer exists.

    Raises:
        Failure, NotNow: the draft may still exist, or the task has been started.
    """
    try:
        client.delete("DeleteTask", f"/tasks/{id}")
    except Failure as failure:
        if not _is_no_such_task(failure):
            raise


def delete_if_draft(client: SevenBridgesClient, id: str) -> bool:
    """Delete the task if it is a draft, and return whether it was one. The service refuses to delete other tasks.

    Raises:
        Failure, NotNow: the draft may still exist.
    """
    if not is_task_id(id):
        return False
    try:
        client.delete("DeleteTask", f"/tasks/{id}")
    except Failure as failure:
        if _is_no_such_task(failure) or failure.code == NO_DRAFT:
            return False
        raise
    return True


def delete_surplus_draft(client: SevenBridgesClient, id: str) -> None:
    """Delete a draft of a run that has another task. A permanent refusal is logged, and the draft stays.

    Raises:
        Failure, NotNow: a transient error, or the task has been started: read the run's tasks again.
    """
    try:
        delete_draft(client, id)
        log_event(_log, logging.WARNING, "sevenbridges.surplus_draft", task=id)
    except Failure as failure:
        if failure.is_transient:
            raise
        log_event(_log, logging.WARNING, "sevenbridges.draft_left", task=id, reason=failure)


def try_to_delete_draft(client: SevenBridgesClient, id: str) -> None:
    """Delete a draft that will never be started. A failure is logged: a draft that stays costs nothing."""
    try:
        delete_draft(client, id)
    except (Failure, NotNow) as error:
        log_event(_log, logging.WARNING, "sevenbridges.draft_left", task=id, reason=error)


def _read_problems(errors: object) -> Sequence[Problem]:
    """Read a task's `errors`: a list of objects by the documentation, which other values stand for as a whole."""
    entries = errors if isinstance(errors, list) else [errors]
    return [_read_problem(entry) for entry in entries if entry]


def _read_problem(entry: object) -> Problem:
    fields = as_object(entry)
    input, message = as_text(fields.get("input_id")), as_text(fields.get("message"))
    # Which type the service has for missing money is not documented: its message counts as well.
    says_money = any(_MONEY.search(text) for text in (message, as_text(fields.get("type"))))
    return Problem(input=input, message=as_message(entry), is_about_money=says_money and not input)


def _is_no_such_task(failure: Failure) -> bool:
    """Whether the service does not know the task; a wrong address has another code."""
    return failure.code in _NO_SUCH_TASK


def _batch_parameter(task: Task) -> Mapping[str, object]:
    """Return the parameter that runs a batch as one task: an app may make each of its tasks a batch.

    For other tasks the service refuses the parameter, with code 7022.
    """
    return {"batch": "False"} if task.is_batch else {}


def _check_started(client: SevenBridgesClient, id: str, answer: Mapping[str, object]) -> None:
    """Check that the task has been started, by the answer and if necessary by reading the task.

    Two things are not documented: whether a draft that has errors is refused or returned, and whether the answer
    has the new status.
    """
    task = read_task(answer)
    reject_invalid_draft(client, task)
    if task.id == id and task.status and not task.is_draft:
        return
    if _read_again(client, id).is_draft:
        raise OutcomeUnknown(f"Seven Bridges was asked to run the draft {id} and still shows it as a draft")


def _check_refused_start(client: SevenBridgesClient, id: str, failure: Failure) -> None:
    """Return if the task runs nevertheless: an earlier attempt, whose answer was lost, has started it. Else raise."""
    if not _read_again(client, id).is_draft:
        return
    if failure.code in PROJECT_CODES:
        # The draft was created in that project, so a person can restore the access. Other runs are not affected.
        raise NotNow(str(failure)) from failure
    if isinstance(provider_error(failure), Rejected):
        _delete_refused_draft(client, id, failure)
    raise failure


def _delete_refused_draft(client: SevenBridgesClient, id: str, refusal: Failure) -> None:
    """Delete the draft, so that no delayed request of an earlier attempt can start it after the refusal."""
    try:
        delete_draft(client, id)
    except (Failure, NotNow) as error:
        evidence = f"{refusal}; but the draft {id} may still exist, and a delayed request may still start it"
        raise outcome_unknown(evidence, error) from error


def _read_again(client: SevenBridgesClient, id: str) -> Task:
    try:
        task = find_task(client, id)
    except (Failure, NotNow, Misconfigured) as error:
        raise outcome_unknown(f"it is unknown whether the draft {id} runs", error) from error
    if task is None:
        raise OutcomeUnknown(f"the draft {id} disappeared while it was started")
    reject_invalid_draft(client, task)
    return task


def _check_refused_abort(client: SevenBridgesClient, id: str, failure: Failure) -> None:
    """Decide by the task's status, because several codes mean that a task cannot be aborted in its status."""
    if failure.is_unprocessed:
        raise failure
    task = get_fields(client, id, "id,status")
    status = as_text(task.get("status")) if task else None
    if status == DRAFT:
        delete_draft(client, id)
    elif status is not None and status not in _ABORTED_OR_ENDED:
        raise failure
