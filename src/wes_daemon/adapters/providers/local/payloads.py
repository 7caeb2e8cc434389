"""From the files of a run to the values of the port."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from wes_daemon.adapters.providers.local.durable import read_object
from wes_daemon.adapters.providers.local.journal import Step, read_journal
from wes_daemon.adapters.providers.local.result import Result
from wes_daemon.adapters.providers.local.run_directory import RunDirectory
from wes_daemon.application.ports.providers import ProviderTask, RunDetails


def details(run: RunDirectory) -> RunDetails:
    """What the run's files tell at this moment."""
    result = run.result
    account = read_journal(run.steps)
    return RunDetails(
        outputs=_outputs(run) if result is not None else {},
        stdout=_address(run.cwltool_stdout),
        stderr=_address(run.cwltool_stderr),
        exit_code=result.exit_code if result is not None else None,
        system_logs=[*account.notes, *([result.message] if result is not None and result.message else [])],
        tasks=[_task(step, run.steps, result) for step in account.steps],
    )


def _outputs(run: RunDirectory) -> Mapping[str, object]:
    # Empty when cwltool never came to print them.
    return read_object(run.cwltool_stdout) or {}


def _task(step: Step, folder: Path, result: Result | None) -> ProviderTask:
    cut_short = step.ended_at is None and result is not None
    return ProviderTask(
        id=step.id,
        name=step.name,
        cmd=step.cmd,
        started_at=step.started_at,
        ended_at=result.ended_at if cut_short and result is not None else step.ended_at,
        stdout=_address(folder / step.stdout),
        stderr=_address(folder / step.stderr),
        exit_code=step.exit_code,
        system_logs=_remarks(step, cut_short=cut_short),
    )


def _remarks(step: Step, *, cut_short: bool) -> Sequence[str]:
    if cut_short:
        return ["the run ended before this step did"]
    if step.has_failed and not step.exit_code:
        return ["the step failed without an exit code of its own; see the run's stderr"]
    return []


def _address(path: Path) -> str | None:
    return path.as_uri() if path.exists() else None
