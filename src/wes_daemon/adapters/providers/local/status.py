"""The status and the details of a run, read from the files in its directory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from wes_daemon.adapters.providers.local.journal import Step, read_journal
from wes_daemon.adapters.providers.local.run_directory import (
    NO_CWLTOOL,
    NO_SPACE,
    TERMINATED,
    UNREACHABLE,
    Ending,
    Result,
    RunDirectory,
    read_object,
)
from wes_daemon.application.ports.providers import ProviderTask, RunDetails
from wes_daemon.domain.runs import StatusReport
from wes_daemon.domain.states import RunState

# cwltool exits with 0 on success, 1 when the workflow or its inputs are wrong, and 33 when it does not support what
# the document requires. It exits with 2 when the command line that this package built is wrong.
_SYSTEM_ERROR_EXIT_CODES = frozenset({2, NO_CWLTOOL, NO_SPACE, TERMINATED, UNREACHABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSnapshot:
    """The state files of a run at one moment; `result` was read after `has_runner`."""

    started: bool = False
    started_at: datetime | None = None
    cancelled: bool = False
    cancelled_at: datetime | None = None
    has_runner: bool = False
    result: Result | None = None

    @property
    def is_draft(self) -> bool:
        """Whether the run is prepared and no runner has started it."""
        return not (self.started or self.cancelled or self.result)

    @property
    def is_orphaned(self) -> bool:
        """Whether the runner died before it recorded a result."""
        return self.started and not self.has_runner and self.result is None


def read_snapshot(run: RunDirectory) -> RunSnapshot:
    """Read the state files in an order that stays consistent while a runner is working."""
    if (result := run.result) is not None:
        return RunSnapshot(started=run.has_started, started_at=run.started_at, result=result)
    started, cancelled = run.has_started, run.is_cancelled
    # A runner writes the result before it releases the lock. If no runner holds the lock at this point, the result
    # that is read below is final: either it exists or the runner died without one.
    has_runner = run.has_runner
    return RunSnapshot(
        started=started,
        started_at=run.started_at,
        cancelled=cancelled,
        cancelled_at=run.cancelled_at,
        has_runner=has_runner,
        result=run.result,
    )


def status_report(snapshot: RunSnapshot) -> StatusReport:
    """Translate a snapshot into a status report. An orphaned run has to be finalised first."""
    if snapshot.result is not None:
        return _ended_report(snapshot.result, snapshot.started_at)
    if snapshot.cancelled and not snapshot.started:
        # A runner that starts now finds `cancelled.json` and executes nothing.
        return StatusReport(state=RunState.CANCELED, provider_status="cancelled", ended_at=snapshot.cancelled_at)
    if not snapshot.started:
        return StatusReport(state=RunState.INITIALIZING, provider_status="prepared")
    if snapshot.cancelled:
        return StatusReport(state=RunState.CANCELING, provider_status="cancelling", started_at=snapshot.started_at)
    return StatusReport(state=RunState.RUNNING, provider_status="running", started_at=snapshot.started_at)


def deleted_report(run: RunDirectory, *, has_processes: bool) -> StatusReport:
    """Return the report for a run that has not ended and whose directory was deleted."""
    was_cancelled = run.active_marker.stat().st_size > 0
    if has_processes:
        return StatusReport(
            state=RunState.CANCELING if was_cancelled else RunState.RUNNING,
            provider_status="deleted",
            message=f"the run's directory {run.path} was deleted; its processes go on until the run is cancelled",
        )
    return StatusReport(
        state=RunState.CANCELED if was_cancelled else RunState.SYSTEM_ERROR,
        provider_status="deleted",
        message=f"the run's directory {run.path} was deleted before the run ended, with its outputs and logs",
    )


def unreadable_report(reason: str) -> StatusReport:
    """Return the report for a run that exists but whose state cannot be read."""
    return StatusReport(state=RunState.UNKNOWN, provider_status="unreadable", message=reason)


def details(run: RunDirectory) -> RunDetails:
    """Return outputs, logs and tasks as far as the run's files contain them."""
    result = run.result
    steps, notes = read_journal(run.steps)
    return RunDetails(
        outputs=_outputs(run) if result is not None else {},
        stdout=_address(run.cwltool_stdout),
        stderr=_address(run.cwltool_stderr),
        exit_code=result.exit_code if result is not None else None,
        system_logs=[*notes, *([result.message] if result is not None and result.message else [])],
        tasks=[_task(step, run.steps, result) for step in steps],
    )


def _ended_report(result: Result, started_at: datetime | None) -> StatusReport:
    return StatusReport(
        state=_state(result),
        provider_status=_provider_status(result),
        started_at=started_at,
        ended_at=result.ended_at,
        message=result.message,
    )


def _state(result: Result) -> RunState:
    if result.ending is Ending.CANCELLED:
        return RunState.CANCELED
    if result.ending is Ending.LOST or result.exit_code is None or result.is_system_error:
        return RunState.SYSTEM_ERROR
    if result.exit_code == 0:
        return RunState.COMPLETE
    # A signal comes from outside the workflow: from a person, or from the kernel when memory ran out.
    is_system_error = result.exit_code < 0 or result.exit_code in _SYSTEM_ERROR_EXIT_CODES
    return RunState.SYSTEM_ERROR if is_system_error else RunState.EXECUTOR_ERROR


def _provider_status(result: Result) -> str:
    if result.ending is Ending.EXITED and result.exit_code is not None:
        return f"killed {-result.exit_code}" if result.exit_code < 0 else f"exited {result.exit_code}"
    return result.ending.value


def _outputs(run: RunDirectory) -> Mapping[str, object]:
    # The file holds no JSON when cwltool ended before it printed the outputs.
    return read_object(run.cwltool_stdout) or {}


def _task(step: Step, folder: Path, result: Result | None) -> ProviderTask:
    ended_at = step.ended_at
    notes = _failure_notes(step)
    if ended_at is None and result is not None:
        ended_at = result.ended_at
        notes = ["the run ended before this step did"]
    return ProviderTask(
        id=step.id,
        name=step.name,
        cmd=step.cmd,
        started_at=step.started_at,
        ended_at=ended_at,
        stdout=_address(folder / step.stdout),
        stderr=_address(folder / step.stderr),
        exit_code=step.exit_code,
        system_logs=notes,
    )


def _failure_notes(step: Step) -> Sequence[str]:
    if step.has_failed and not step.exit_code:
        return ["the step failed without an exit code of its own; see the run's stderr"]
    return []


def _address(path: Path) -> str | None:
    return path.as_uri() if path.exists() else None
