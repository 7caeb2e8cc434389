"""The runner, the process that supervises one run: `python -m wes_daemon.adapters.providers.local.runner DIRECTORY`.

It detaches from the process that started it, so it survives the end of the daemon.
It holds the run's lock for as long as it lives. Only the runner starts cwltool, once.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL

from wes_daemon.adapters.providers.local.cleanup import clean_up, end_processes
from wes_daemon.adapters.providers.local.disk import describe, is_full, no_space, write_when_possible
from wes_daemon.adapters.providers.local.failure_messages import (
    describe_exit,
    failure_message,
    read_tail,
    without_secrets,
)
from wes_daemon.adapters.providers.local.journal import read_journal
from wes_daemon.adapters.providers.local.run_directory import (
    NO_CWLTOOL,
    NO_SPACE,
    RUN_VARIABLE,
    Ending,
    Result,
    RunDirectory,
    read_object,
)
from wes_daemon.adapters.system import SystemClock, sleep

ENGINE = "wes_daemon.adapters.providers.local.engine"
GRACE = timedelta(seconds=5)
_LOCK_ATTEMPTS = 500
_LOCK_RETRY_INTERVAL = timedelta(milliseconds=10)


def main(arguments: Sequence[str]) -> int:
    """Fork a detached runner; return when it has started the run, or has ended without starting it."""
    has_started, started = os.pipe()
    if os.fork():
        os.close(started)
        os.read(has_started, 1)  # Returns when the runner closes its end of the pipe, or dies.
        return 0
    os.close(has_started)
    os.setsid()
    supervise(RunDirectory(Path(arguments[0])), lambda: os.close(started))
    return 0


def supervise(run: RunDirectory, on_started: Callable[[], None]) -> None:
    """Start the run, execute it and record its result; return at once when another runner has started it."""
    # `has_runner` holds the lock for an instant, so a failed attempt is repeated.
    for _ in range(_LOCK_ATTEMPTS):
        with run.try_lock() as is_locked:
            if is_locked:
                if run.record_start(SystemClock().now()):
                    on_started()
                    _record(run, _execute(run))
                return
        if run.has_started:
            return
        sleep(_LOCK_RETRY_INTERVAL)


def _record(run: RunDirectory, result: Result) -> None:
    # Without the result the run would count as lost; without its directory it is.
    with suppress(FileNotFoundError):
        write_when_possible(lambda: run.record_result(result), folder=run.path)


def _execute(run: RunDirectory) -> Result:
    # The pipe is opened before the check for a cancellation, so that no cancellation is missed: the check finds an
    # earlier one, and a later one writes to the pipe.
    wakeup_pipe = os.open(run.wakeup_pipe, os.O_RDWR)
    if run.is_cancelled:
        clean_up(run, grace=timedelta())
        return _result(run, None)
    try:
        cwltool = _start_cwltool(run)
    except OSError as error:
        return _not_executed(run, f"cwltool could not be started: {describe(run.path, error)}")
    threading.Thread(target=_end_on_cancellation, args=(run, wakeup_pipe), daemon=True).start()
    exit_code = cwltool.wait()
    # Before the clean-up, which makes space. The engine has looked itself, unless it was killed.
    full = exit_code == NO_SPACE or (exit_code < 0 and is_full(run.path))
    clean_up(run, grace=GRACE)
    return _result(run, exit_code, full=full)


def _start_cwltool(run: RunDirectory) -> subprocess.Popen[bytes]:
    run.cwltool_stdout.touch()
    with run.cwltool_stderr.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", ENGINE, str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,  # The engine writes the outputs itself.
            stderr=log,
            env=_cwltool_environment(run),
            cwd=run.attachments,  # cwltool's error messages name files relative to its working directory.
            start_new_session=True,
        )


def _cwltool_environment(run: RunDirectory) -> Mapping[str, str]:
    # Without this variable cwltool downloads Singularity images into its working directory.
    images = {"CWL_SINGULARITY_CACHE": str(run.temporary)}
    return {**images, **os.environ, RUN_VARIABLE: str(run.path), "TMPDIR": str(run.temporary)}


def _end_on_cancellation(run: RunDirectory, wakeup_pipe: int) -> None:
    while not run.is_cancelled:
        os.read(wakeup_pipe, 1)
    end_processes(run, grace=GRACE)


def _result(run: RunDirectory, exit_code: int | None, *, full: bool = False) -> Result:
    # A run that succeeded before its cancellation took effect counts as complete.
    if exit_code == 0 or run.is_cancelled:
        ending = Ending.CANCELLED if exit_code != 0 else Ending.EXITED
        return Result(ending=ending, ended_at=SystemClock().now(), exit_code=exit_code)
    message = _failure_message(run, exit_code)
    return Result(
        ending=Ending.EXITED,
        ended_at=SystemClock().now(),
        exit_code=exit_code,
        message=f"{no_space(run.path)}: make some, and submit the run again. {message}" if full else message,
    )


def _not_executed(run: RunDirectory, message: str) -> Result:
    clean_up(run, grace=timedelta())
    return Result(ending=Ending.EXITED, ended_at=SystemClock().now(), message=message)


def _failure_message(run: RunDirectory, exit_code: int | None) -> str:
    log = read_tail(run.cwltool_stderr)
    if exit_code == NO_CWLTOOL:
        return log.strip()
    if exit_code is not None and exit_code < 0:
        # The kernel sends SIGKILL when memory runs out.
        cause = (
            " (the machine may have run out of memory: see the kernel's log, dmesg)" if exit_code == -SIGKILL else ""
        )
        return f"cwltool {describe_exit(exit_code)}{cause}"
    document = (read_object(run.request) or {}).get("document", "")
    steps, _ = read_journal(run.steps)
    return without_secrets(failure_message(steps, run.steps, log=log, base=run.attachments), str(document))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
