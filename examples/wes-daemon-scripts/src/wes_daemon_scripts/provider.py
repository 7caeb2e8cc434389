"""The provider: each run is a directory, in which a runner executes a copy of the script."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from wes_daemon.plugins import (
    Accepted,
    BaseProvider,
    Clock,
    IdempotencyKey,
    InvalidRequest,
    Misconfigured,
    Needed,
    NotNow,
    OwnedPage,
    OwnedRun,
    ProviderLimits,
    ProviderRunId,
    ProviderTask,
    Recorded,
    Rejected,
    RunDetails,
    RunState,
    StatusReport,
    Submission,
    WrongProvider,
    all_needed,
    nothing_recorded,
)
from wes_daemon_scripts.runs import OUTPUTS, PARAMS, REQUEST, SCRIPT, STDERR, STDOUT, RunDirectory

_SCHEME = "scripts://"
_ID = re.compile("[0-9a-f]{40}")


def script_name(submission: Submission) -> str:
    """Return the name of the script in `workflow_url`; raises `WrongProvider` if that has another form."""
    url = submission.request.workflow_url
    if not url.startswith(_SCHEME):
        raise WrongProvider(f"workflow_url names no script: write {_SCHEME} and the name of a script")
    return url.removeprefix(_SCHEME)


def find_script(name: str, directory: Path) -> Path:
    """Return the script; raises `Rejected` if the directory has none, or the name leads out of the directory."""
    script = (directory / name).resolve() if name.isprintable() else directory
    if ".." in Path(name).parts or not script.is_relative_to(directory.resolve()) or not script.is_file():
        raise Rejected(f"workflow_url: there is no script {name!r} in SCRIPTS_DIRECTORY")
    return script


def params_of(submission: Submission) -> bytes:
    """Return the parameters as JSON; raises `Rejected` if a script cannot have them."""
    try:
        content = json.dumps(dict(submission.request.params)).encode()
    except InvalidRequest as error:
        raise Rejected(str(error)) from error
    if b"\\u0000" in content:
        raise Rejected("workflow_params: a text contains a NUL, which no environment can have")
    return content


def launch(run: Path) -> None:
    """Start the runner, which returns as soon as the run goes on by itself."""
    command = [sys.executable, "-P", "-m", "wes_daemon_scripts.runner", str(run)]
    with (run / "runner.log").open("ab") as log:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, timeout=20, check=True
        )


class ScriptsProvider(BaseProvider):
    """A `WorkflowProvider` for scripts. The directory of a run is named for its key."""

    limits = ProviderLimits(status_batch=1000)

    def __init__(
        self, directory: Path, workdir: Path, *, clock: Clock, launch: Callable[[Path], None] = launch
    ) -> None:
        if not directory.is_dir():
            raise Misconfigured(f"SCRIPTS_DIRECTORY: {directory} is no directory: create it, or name another one")
        try:
            workdir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"SCRIPTS_WORKDIR: {workdir} cannot be created: {error.strerror}") from error
        self._directory, self._workdir, self._clock, self._launch = directory, workdir, clock, launch

    def submit(self, submission: Submission) -> Accepted:
        id = ProviderRunId(sha256(submission.key.encode()).hexdigest()[:40])
        run = RunDirectory(self._workdir / id)
        try:
            # A run that exists is not checked again: it may have been started.
            if not run.exists:
                run.create(self._files(submission))
            self._launch(run.path)
        except (OSError, subprocess.SubprocessError) as error:
            if run.started is None:
                raise NotNow(f"{run.path}: the script could not be started: {type(error).__name__}") from error
        return Accepted(id)

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        return {id: _report(run) for id in ids if (run := self._find(id))}

    def cancel(self, id: ProviderRunId) -> None:
        run = self._find(id)
        if run and run.result is None:
            run.cancel()

    def owned_runs(
        self,
        since: datetime,
        *,
        after: str | None = None,
        recorded: Recorded = nothing_recorded,
        needed: Needed = all_needed,
    ) -> OwnedPage:
        del after, recorded, needed
        found = [_owned_run(run) for each in self._workdir.iterdir() if (run := self._find(ProviderRunId(each.name)))]
        return OwnedPage(runs=[run for run in found if run.created_at >= since])

    def details(self, id: ProviderRunId) -> RunDetails:
        run = self._find(id)
        if run is None:
            raise Rejected(f"there is no run {id} in SCRIPTS_WORKDIR")
        return _details(run)

    def _find(self, id: ProviderRunId) -> RunDirectory | None:
        run = RunDirectory(self._workdir / id) if _ID.fullmatch(id) else None
        return run if run and run.exists else None

    def _files(self, submission: Submission) -> Mapping[str, bytes]:
        name = script_name(submission)
        request = {"key": submission.key, "name": name, "created_at": self._clock.now().isoformat()}
        script = find_script(name, self._directory).read_bytes()
        return {SCRIPT: script, PARAMS: params_of(submission), REQUEST: json.dumps(request).encode()}


def _report(run: RunDirectory) -> StatusReport:
    has_process = run.has_process()  # before the result, which a process may write meanwhile
    started, result = run.started, run.result
    state, message = _state(run, has_process)
    return StatusReport(
        state=state,
        provider_status=state.lower(),
        started_at=_time(started),
        ended_at=_time(result),
        message=message,
    )


def _state(run: RunDirectory, has_process: bool) -> tuple[RunState, str]:
    result, is_started = run.result, run.started is not None
    if result and result["is_cancelled"]:
        return RunState.CANCELED, ""
    if result and result["exit_code"] == 0:
        return RunState.COMPLETE, ""
    if result:
        return RunState.EXECUTOR_ERROR, f"the script ended with exit code {result['exit_code']}: {run.last_words()}"
    if is_started and not has_process:
        return RunState.SYSTEM_ERROR, "the runner of the script was killed, or the machine was restarted"
    if run.is_to_cancel:
        return (RunState.CANCELING if is_started else RunState.CANCELED), ""
    return (RunState.RUNNING if is_started else RunState.INITIALIZING), ""


def _time(event: Mapping[str, str] | None) -> datetime | None:
    return datetime.fromisoformat(event["at"]) if event else None


def _owned_run(run: RunDirectory) -> OwnedRun:
    report, request = _report(run), run.request
    return OwnedRun(
        id=ProviderRunId(run.path.name),
        key=IdempotencyKey(request["key"]),
        created_at=datetime.fromisoformat(request["created_at"]),
        state=report.state,
        provider_status=report.provider_status,
    )


def _details(run: RunDirectory) -> RunDetails:
    report, result, name = _report(run), run.result, run.request["name"]
    try:
        outputs = (run.read(OUTPUTS) if result else None) or {}
    except ValueError as error:
        raise Rejected(f"the file of the outputs cannot be read: {error}") from error
    code = result["exit_code"] if result else None
    stdout, stderr = ((run.path / file).as_uri() for file in (STDOUT, STDERR))
    task = ProviderTask(
        id="script",
        name=name,
        cmd=["/bin/sh", name],
        started_at=report.started_at,
        ended_at=report.ended_at,
        stdout=stdout,
        stderr=stderr,
        exit_code=code,
    )
    return RunDetails(outputs=outputs, stdout=stdout, stderr=stderr, exit_code=code, tasks=[task])
