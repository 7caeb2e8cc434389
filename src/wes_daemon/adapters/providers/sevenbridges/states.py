"""The service's words for what becomes of a task, in ours."""

from collections.abc import Mapping

from wes_daemon.adapters.providers.sevenbridges.reading import as_moment, as_number, as_object, as_text
from wes_daemon.domain.runs import StatusReport
from wes_daemon.domain.states import RunState

STATES: Mapping[str, RunState] = {
    # Source: TaskStatus of sevenbridges-python 2.11.2, and the platform's pages on task statuses.
    "DRAFT": RunState.INITIALIZING,
    "CREATING": RunState.INITIALIZING,
    # Also a task that has run and waits again for an instance: the domain takes no run backwards.
    "QUEUED": RunState.INITIALIZING,
    "RUNNING": RunState.RUNNING,
    "ABORTING": RunState.CANCELING,
    "ABORTED": RunState.CANCELED,
    "COMPLETED": RunState.COMPLETE,
    # Or SYSTEM_ERROR, where no job of the workflow has failed: see `failures.py`.
    "FAILED": RunState.EXECUTOR_ERROR,
}

# Not yet told apart from waiting by the service itself: `start_time` may be set while a task is queued.
_HAS_NOT_STARTED = frozenset({"DRAFT", "CREATING", "QUEUED"})


def report(task: Mapping[str, object]) -> StatusReport:
    """What a task's own object tells of it."""
    status = as_text(task.get("status"))
    state = _state(status, task)
    return StatusReport(
        state=state,
        provider_status=status or "none",
        started_at=None if status in _HAS_NOT_STARTED else as_moment(task.get("start_time")),
        ended_at=as_moment(task.get("end_time")) if state.has_ended else None,
        message=_message(status, state, task),
    )


def unreadable(why: str) -> StatusReport:
    """No news of a task that may well exist."""
    return StatusReport(state=RunState.UNKNOWN, provider_status="unreadable", message=why)


def _state(status: str, task: Mapping[str, object]) -> RunState:
    progress = as_object(task.get("execution_status"))
    if status == "RUNNING" and progress.get("instance_init") is True:
        return RunState.INITIALIZING
    # What a batch with failed children ends as is not documented; it has not done what was asked for.
    if status == "COMPLETED" and task.get("batch") is True and as_number(progress.get("failed")):
        return RunState.EXECUTOR_ERROR
    return STATES.get(status, RunState.UNKNOWN)


def _message(status: str, state: RunState, task: Mapping[str, object]) -> str:
    """The service's words; only where they explain something, for they change all the time while a task runs."""
    if state not in (RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR):
        return ""
    progress = as_object(task.get("execution_status"))
    code = progress.get("message_code")
    words = as_text(progress.get("message")) or f"the task ended as {status} without a word of explanation"
    return f"{words} (message code {code})" if code is not None else words
