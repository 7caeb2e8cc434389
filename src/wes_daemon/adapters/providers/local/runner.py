"""The runner, the process that supervises one run: `python -m wes_daemon.adapters.providers.local.runner DIRECTORY`.

It detaches from the process that started it, so it survives the end of the daemon.
It holds the run's lock for as long as it lives. Only the runner starts the engine, once.
With `--finalise` before the directory it completes the record of a run whose runner died, where that takes time.
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

from wes_daemon.adapters.providers.local.cleanup import (
    EngineEnd,
    clean_up,
    end_engine,
    end_processes,
    final_result,
    release_resources,
)
from wes_daemon.adapters.providers.local.disk import describe, is_full, no_space, write_when_possible
from wes_daemon.adapters.providers.local.engines import ExternalEngine
from wes_daemon.adapters.providers.local.external_engine import (
    ExternalProcess,
    end_jobs,
    external_result,
    not_started,
    was_killed,
)
from wes_daemon.adapters.providers.local.failure_messages import (
    describe_exit,
    failure_message,
    read_tail,
    without_secrets,
)
from wes_daemon.adapters.providers.local.journal import read_journal
from wes_daemon.adapters.providers.local.plan import Plan, recorded_engine
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
FINALISE = "--finalise"
GRACE = timedelta(seconds=5)
_LOCK_ATTEMPTS = 500
_LOCK_RETRY_INTERVAL = timedelta(milliseconds=10)


def main(arguments: Sequence[str]) -> int:
    """Fork a detached runner; return when it has started its work, or has ended without starting it."""
    *options, path = arguments
    act = finalise_run if options == [FINALISE] else supervise
    has_started, started = os.pipe()
    if os.fork():
        os.close(started)
        os.read(has_started, 1)  # Returns when the runner closes its end of the pipe, or dies.
        return 0
    os.close(has_started)
    os.setsid()
    act(RunDirectory(Path(path)), lambda: os.close(started))
    return 0


def supervise(run: RunDirectory, on_started: Callable[[], None]) -> None:
    """Start the run, execute it and record its result; return at once when another runner has started it."""

    def execute() -> None:
        if run.record_start(SystemClock().now()):
            on_started()
            _record(run, _execute(run))

    _do_locked(run, execute, is_done=lambda: run.has_started)


def finalise_run(run: RunDirectory, on_started: Callable[[], None]) -> None:
    """End what is left of a run whose runner died, as a cancellation does, and record its result."""

    def finalise() -> None:
        if run.result is None:
            on_started()
            if engine := recorded_engine(run):
                if end_engine(run, grace=engine.grace) is not EngineEnd.ITSELF:
                    end_jobs(run, engine)
                end_processes(run, grace=GRACE)
            clean_up(run, grace=timedelta())
            _record(run, final_result(run, SystemClock().now()))

    _do_locked(run, finalise, is_done=lambda: run.result is not None)


def _do_locked(run: RunDirectory, act: Callable[[], None], *, is_done: Callable[[], bool]) -> None:
    # `has_runner` holds the lock for an instant, so a failed attempt is repeated.
    for _ in range(_LOCK_ATTEMPTS):
        with run.try_lock() as is_locked:
            if is_locked:
                act()
                return
        if is_done():
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
    if engine := recorded_engine(run):
        return _execute_with(run, engine, wakeup_pipe)
    try:
        cwltool = _start_cwltool(run)
    except OSError as error:
        return _not_executed(run, f"cwltool could not be started: {describe(run.path, error)}")
    _end_on_cancellation(run, wakeup_pipe, lambda: end_processes(run, grace=GRACE))
    exit_code = cwltool.wait()
    # Before the clean-up, which makes space. The engine has looked itself, unless it was killed.
    full = exit_code == NO_SPACE or (exit_code < 0 and is_full(run.path))
    clean_up(run, grace=GRACE)
    return _result(run, exit_code, full=full)


def _execute_with(run: RunDirectory, engine: ExternalEngine, wakeup_pipe: int) -> Result:
    try:
        process = ExternalProcess(run, Plan.from_object(read_object(run.request) or {}), engine)
    except OSError as error:
        return _not_executed(run, not_started(run, engine, error))
    _end_on_cancellation(run, wakeup_pipe, lambda: _end_externally(run, engine))
    exit_code = process.wait()
    full = exit_code != 0 and is_full(run.path)  # Before the clean-up, which makes space.
    if was_killed(exit_code):
        end_jobs(run, engine)  # Before the processes: a job on this machine is one of them, and not the only job.
    end_processes(run, grace=GRACE)
    if full:
        release_resources(run)  # The result must not wait for space that the run occupies itself.
    process.finish()
    result = external_result(run, engine, exit_code, full=full)
    release_resources(run)
    return result


def _end_externally(run: RunDirectory, engine: ExternalEngine) -> None:
    if end_engine(run, grace=engine.grace) is EngineEnd.NOT_FOUND:
        end_processes(run, grace=GRACE)


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


def _end_on_cancellation(run: RunDirectory, wakeup_pipe: int, end: Callable[[], None]) -> None:
    """Call `end` in a thread when the run is cancelled."""

    def wait() -> None:
        while not run.is_cancelled:
            os.read(wakeup_pipe, 1)
        end()

    threading.Thread(target=wait, daemon=True).start()


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
