"""From the marks of a run to the words of WES."""

from dataclasses import dataclass
from datetime import datetime

from wes_daemon.adapters.providers.local.result import NO_CWLTOOL, TERMINATED, Ending, Result
from wes_daemon.domain.runs import StatusReport
from wes_daemon.domain.states import RunState

# cwltool ends 0 when all went well, 1 when the workflow or its inputs are at fault, 33 when it cannot do what the
# document requires. It ends 2 when our own command line was wrong.
NOT_THE_WORKFLOWS_FAULT = frozenset({2, NO_CWLTOOL, TERMINATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What the run's directory told at one moment; `result` was read after `has_runner`."""

    started: bool = False
    started_at: datetime | None = None
    cancelled: bool = False
    cancelled_at: datetime | None = None
    has_runner: bool = False
    result: Result | None = None

    @property
    def is_orphaned(self) -> bool:
        """Whether the runner died before it could say how the run ended."""
        return self.started and not self.has_runner and self.result is None


def report(marks: Marks) -> StatusReport:
    """What the marks mean; the caller has seen to orphans, which have a result by then."""
    if marks.result is not None:
        return _ended(marks.result, marks.started_at)
    if marks.cancelled and not marks.started:
        # Whatever starts it now finds the mark and runs nothing.
        return StatusReport(state=RunState.CANCELED, provider_status="cancelled", ended_at=marks.cancelled_at)
    if not marks.started:
        return StatusReport(state=RunState.INITIALIZING, provider_status="prepared")
    if marks.cancelled:
        return StatusReport(state=RunState.CANCELING, provider_status="cancelling", started_at=marks.started_at)
    return StatusReport(state=RunState.RUNNING, provider_status="running", started_at=marks.started_at)


def unreadable(reason: str) -> StatusReport:
    """What is said of a run that is there, but cannot be looked at."""
    return StatusReport(state=RunState.UNKNOWN, provider_status="unreadable", message=reason)


def _ended(result: Result, started_at: datetime | None) -> StatusReport:
    return StatusReport(
        state=_state(result),
        provider_status=_word(result),
        started_at=started_at,
        ended_at=result.ended_at,
        message=result.message,
    )


def _state(result: Result) -> RunState:
    if result.ending is Ending.CANCELLED:
        return RunState.CANCELED
    if result.ending is Ending.LOST or result.exit_code is None:
        return RunState.SYSTEM_ERROR
    if result.exit_code == 0:
        return RunState.COMPLETE
    # Killed from outside, by a person or for want of memory: nothing that the workflow said.
    from_outside = result.exit_code < 0 or result.exit_code in NOT_THE_WORKFLOWS_FAULT
    return RunState.SYSTEM_ERROR if from_outside else RunState.EXECUTOR_ERROR


def _word(result: Result) -> str:
    if result.ending is Ending.EXITED and result.exit_code is not None:
        return f"killed {-result.exit_code}" if result.exit_code < 0 else f"exited {result.exit_code}"
    return result.ending.value
