"""The execution of an external engine by the runner: its command line, its environment, what it prints, its result."""

import json
import os
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import IO
from urllib.parse import quote, unquote, urlsplit

from wes_daemon.adapters.providers.local.disk import describe, no_space, write_when_possible
from wes_daemon.adapters.providers.local.engine_parameters import ContainerEngine
from wes_daemon.adapters.providers.local.engines import JOB_STORE, RUN, SETTING, Dialect, ExternalEngine
from wes_daemon.adapters.providers.local.failure_messages import (
    describe_exit,
    failure_message,
    read_tail,
    without_secrets,
)
from wes_daemon.adapters.providers.local.journal import Journal, read_journal
from wes_daemon.adapters.providers.local.plan import Plan
from wes_daemon.adapters.providers.local.run_directory import (
    RUN_VARIABLE,
    Ending,
    Result,
    RunDirectory,
    read_object,
    replace_file,
)
from wes_daemon.adapters.providers.local.toil import StepFollower, as_cwltool_log, remaining_jobs
from wes_daemon.adapters.system import SystemClock

# The exit codes of the convention, of command line parsers, and of programs such as `env` and `nice`.
_UNSUPPORTED = 33
_USAGE = 2
_NOT_STARTED = frozenset({126, 127})
_LARGEST_OUTPUTS = 64 << 20
_READ_TIMEOUT = timedelta(seconds=5)
_CANCEL_TIMEOUT = timedelta(seconds=60)
# These belong to the daemon's own Python; an engine may be installed in another one.
_PYTHON_VARIABLES = frozenset({"PYTHONPATH", "VIRTUAL_ENV"})
_CONTAINERS: Mapping[ContainerEngine | None, Sequence[str]] = {
    None: (),  # The engine's own default, or what the setting says.
    ContainerEngine.NONE: ("--no-container",),
    ContainerEngine.DOCKER: (),
    ContainerEngine.PODMAN: ("--podman",),
    ContainerEngine.SINGULARITY: ("--singularity",),
    ContainerEngine.UDOCKER: ("--user-space-docker-cmd=udocker",),
}
_RECORD_START = re.compile(r"^(?=\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] [A-Z]+ )", re.MULTILINE)
_ERROR = re.compile(r"\[[^\]]*\] (?:ERROR|CRITICAL) ")
_LINE_WRAP = re.compile(r"\n {16,}")
_TRACEBACK = "Traceback (most recent call last):"
_CHATTER = re.compile(r"\W*(?:\[[^\]]*\]\W*)*(?:DEBUG|INFO)\b")


class ExternalProcess:
    """An engine that has been started, and what it prints on standard output."""

    def __init__(self, run: RunDirectory, plan: Plan, engine: ExternalEngine) -> None:
        """Start the engine.

        Raises:
            OSError: it could not be started.
        """
        run.cwltool_stdout.touch()
        with run.cwltool_stderr.open("wb") as log:
            self._process = subprocess.Popen(
                engine_arguments(plan, engine, run),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(run, engine),
                cwd=run.attachments,
                start_new_session=True,
            )
        self._printed = bytearray()
        self._run = run
        self._journal = Journal(run.steps, SystemClock())
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        self._follower = StepFollower(run, self._journal) if engine.dialect is Dialect.TOIL else None

    def wait(self) -> int:
        """Return the exit code when the engine has ended; a negative number is the signal that killed it."""
        return self._process.wait()

    def finish(self) -> None:
        """Write the outputs and the journal; a full disk is waited for, because nothing else has them.

        Call it when the processes of the run have ended, because one of them may have inherited the pipe.
        """
        self._reader.join(_READ_TIMEOUT.total_seconds())
        content = bytes(self._printed)
        writes = [self._journal.flush]
        if self._follower:
            writes.insert(0, self._follower.close)
        if content:
            writes.insert(0, lambda: replace_file(self._run.cwltool_stdout, content))
        with suppress(FileNotFoundError):  # The run's directory was deleted.
            for write in writes:
                write_when_possible(write, folder=self._run.path)

    def _read(self, stream: IO[bytes]) -> None:
        while piece := os.read(stream.fileno(), 1 << 16):
            if len(self._printed) <= _LARGEST_OUTPUTS:
                self._printed += piece


def engine_arguments(plan: Plan, engine: ExternalEngine, run: RunDirectory) -> list[str]:
    """Return the command line of an engine.

    No value from the request can be an option: the document and the inputs are addresses or absolute paths, and the
    engine parameters are members of closed sets.
    """
    return [
        *(word.replace(RUN, run.path.name) for word in engine.command),
        *(_toil_options(engine, run) if engine.dialect is Dialect.TOIL else ()),
        *(_cwltool_options(plan, run) if engine.dialect is Dialect.CWLTOOL else ()),
        *(_parameter_options(plan) if engine.dialect is not Dialect.OTHER else ()),
        *("--outdir", str(run.outputs)),
        *(_argument(plan.document_address(run)), _argument((run.attachments / plan.inputs_file).as_uri())),
    ]


def external_result(run: RunDirectory, engine: ExternalEngine, exit_code: int, *, full: bool) -> Result:
    """Return the result of a run whose engine has ended.

    Args:
        full: the disk was full when the engine failed.
    """
    now = SystemClock().now()
    # A run that succeeded before its cancellation took effect counts as complete.
    if exit_code == 0 and _is_json_object(run.cwltool_stdout):
        return Result(ending=Ending.EXITED, ended_at=now, exit_code=exit_code)
    if run.is_cancelled:
        return Result(ending=Ending.CANCELLED, ended_at=now, exit_code=exit_code)
    message, is_system_error = _judge(run, engine, exit_code)
    if full:
        message, is_system_error = f"{no_space(run.path)}: make some, and submit the run again. {message}", True
    return Result(
        ending=Ending.EXITED, ended_at=now, exit_code=exit_code, message=message, is_system_error=is_system_error
    )


def end_jobs(run: RunDirectory, engine: ExternalEngine) -> None:
    """End the jobs in the scheduler that an engine has left, because it was killed."""
    jobs = remaining_jobs(run) if engine.dialect is Dialect.TOIL else ()
    if not jobs:
        return
    named = f"the run's jobs {', '.join(jobs)} may go on in the scheduler, because its engine was killed"
    if not engine.cancel_jobs:
        _note(run, f"{named}: end them with the scheduler's own command; {SETTING}_CANCEL_JOBS would do it")
    elif problem := _call(run, engine, [*engine.cancel_jobs, *jobs]):
        _note(run, f"{named}: {SETTING}_CANCEL_JOBS `{shlex.join(engine.cancel_jobs)}` {problem}")


def was_killed(exit_code: int) -> bool:
    """Whether a signal ended the engine; a shell around it reports one as 128 plus its number."""
    return exit_code < 0 or exit_code - 128 in signal.valid_signals()


def readable_log(log: str) -> str:
    """Reduce a log to its errors, else to the last exception, else to what is no report of progress."""
    records = _RECORD_START.split(log)
    errors = [record for record in records if _TRACEBACK not in record]
    if any(_ERROR.match(record) for record in errors):
        return "\n".join(record.rstrip("\n") for record in errors)
    return _last_error(log) if _TRACEBACK in log else _without_chatter(log)


def not_started(run: RunDirectory, engine: ExternalEngine, error: OSError) -> str:
    """Say why the engine could not be started."""
    reason = error.strerror if error.filename == engine.command[0] else describe(run.path, error)
    return f"{SETTING}: {engine.command[0]} could not be started: {reason}"


def _judge(run: RunDirectory, engine: ExternalEngine, exit_code: int) -> tuple[str, bool]:
    """Return why a run failed, and whether the set-up is the reason and not the run."""
    if exit_code == 0:
        return (
            f"{SETTING}: {engine.name} exited 0 and did not print one JSON object, the outputs, on standard output "
            f"(see {run.cwltool_stdout.as_uri()}): name a command that keeps the convention of cwl-runner",
            True,
        )
    if was_killed(exit_code):
        number = abs(exit_code) if exit_code < 0 else exit_code - 128
        # The kernel sends SIGKILL when memory runs out.
        cause = (
            " (the machine may have run out of memory: see the kernel's log, dmesg)" if number == signal.SIGKILL else ""
        )
        return f"{engine.name} {describe_exit(-number)}{cause}", True
    words = _words(run, engine)
    if exit_code == _USAGE:
        return f"{SETTING}: {engine.name} refused its command line (exit code 2); correct its options: {words}", True
    if exit_code in _NOT_STARTED:
        return f"{SETTING}: a program could not be started (exit code {exit_code}): {words}", True
    if exit_code == _UNSUPPORTED:
        return f"{engine.name} does not support what the workflow requires (exit code 33): {words}", False
    return words, False


def _words(run: RunDirectory, engine: ExternalEngine) -> str:
    log = read_tail(run.cwltool_stderr)
    log = as_cwltool_log(log) if engine.dialect is Dialect.TOIL else log
    steps, _ = read_journal(run.steps)
    document = (read_object(run.request) or {}).get("document", "")
    found = failure_message(steps, run.steps, log=readable_log(log), base=run.attachments)
    return without_secrets(found or f"see {run.cwltool_stderr.as_uri()}", str(document))


def _without_chatter(log: str) -> str:
    """Leave out what is no error, such as the command lines of steps, which contain values of inputs."""
    kept: list[str] = []
    is_chatter = False
    for line in log.split("\n"):
        is_chatter = bool(_CHATTER.match(line)) or (is_chatter and line.startswith("    "))
        if not is_chatter:
            kept.append(line)
    return "\n".join(kept)


def _last_error(text: str) -> str:
    """Return the message of the last exception, up to the next record of the log."""
    lines = _RECORD_START.split(text.rpartition(_TRACEBACK)[2])[0].split("\n")[1:]
    start = next((n for n, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    message = _LINE_WRAP.sub(" ", "\n".join(lines[start:]).strip())
    return re.sub(r"^[\w.]+: ", "", message)


def _is_json_object(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError):
        return False


def _toil_options(engine: ExternalEngine, run: RunDirectory) -> Sequence[str]:
    """Return the options with which Toil keeps its state in a run's directory and reports its steps."""
    has_job_store = any(word.partition("=")[0] in JOB_STORE for word in engine.command)
    return [
        *(() if has_job_store else ("--jobStore", str(run.temporary / "jobstore"))),
        *("--batchLogsDir", str(run.temporary)),
        *("--writeLogs", str(run.engine_logs)),
        *("--writeMessages", str(run.engine_messages)),
    ]


def _cwltool_options(plan: Plan, run: RunDirectory) -> Sequence[str]:
    parameters = plan.parameters
    return [
        *("--timestamps", "--disable-color", f"--cidfile-dir={run.containers}"),
        *(["--parallel"] if parameters.parallel else []),
        f"--on-error={parameters.on_error}",
    ]


def _parameter_options(plan: Plan) -> Sequence[str]:
    parameters = plan.parameters
    return [
        *(["--relax-path-checks"] if parameters.relax_path_checks else []),
        *(f"--preserve-environment={variable}" for variable in parameters.preserve_environment),
        *_CONTAINERS[parameters.container],
    ]


def _argument(address: str) -> str:
    """Return a path for the address of a file, because not every engine reads one; an address if it needs to be one."""
    parts = urlsplit(address)
    path = unquote(parts.path)
    is_plain = parts.scheme == "file" and not parts.fragment and quote(path) == path
    return path if is_plain else address


def _environment(run: RunDirectory, engine: ExternalEngine) -> Mapping[str, str]:
    daemon = {
        name: value for name, value in os.environ.items() if name not in _PYTHON_VARIABLES or name in engine.variables
    }
    # Engines start programs that are installed beside them, such as `_toil_worker`.
    programs = [word for word in engine.command if os.path.isabs(word) and os.access(word, os.X_OK)]
    folders = dict.fromkeys(os.path.dirname(word) for word in programs if os.path.isfile(word))
    return {
        "CWL_SINGULARITY_CACHE": str(run.temporary),
        **daemon,
        "PATH": os.pathsep.join([*folders, daemon.get("PATH", os.defpath)]),
        "TMPDIR": str(run.temporary),
        RUN_VARIABLE: str(run.path),
    }


def _call(run: RunDirectory, engine: ExternalEngine, command: Sequence[str]) -> str:
    """Call a command of the set-up; return what went wrong."""
    try:
        with run.cwltool_stderr.open("ab") as log:
            completed = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(run, engine),
                timeout=_CANCEL_TIMEOUT.total_seconds(),
                check=False,
            )
    except subprocess.TimeoutExpired:
        return f"did not end within {_CANCEL_TIMEOUT.total_seconds():g} s"
    except OSError as error:
        return f"could not be started: {error.strerror}"
    return "" if completed.returncode == 0 else describe_exit(completed.returncode)


def _note(run: RunDirectory, text: str) -> None:
    Journal(run.steps, SystemClock()).note(text)
