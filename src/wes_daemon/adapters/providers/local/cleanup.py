"""Clean-up after a run: find and end its processes, stop its containers, finalise a run whose runner died."""

import os
import shutil
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from enum import Enum, auto

import psutil

from wes_daemon.adapters.providers.local.containers import stop_containers
from wes_daemon.adapters.providers.local.disk import is_full, no_space
from wes_daemon.adapters.providers.local.plan import Plan
from wes_daemon.adapters.providers.local.run_directory import RUN_VARIABLE, Ending, Result, RunDirectory, read_object
from wes_daemon.adapters.system import sleep

_KILL_ATTEMPTS = 20
_POLL_INTERVAL = timedelta(milliseconds=50)
_KILL_TIMEOUT = timedelta(seconds=1)


class EngineEnd(Enum):
    """How an external engine ended; only one that ended itself has ended its jobs in a scheduler."""

    ITSELF = auto()
    KILLED = auto()
    NOT_FOUND = auto()


def clean_up(run: RunDirectory, *, grace: timedelta) -> None:
    """End the run's processes and containers and remove its temporary files; outputs and logs stay."""
    end_processes(run, grace=grace)
    release_resources(run)


def finalise(run: RunDirectory, now: datetime) -> Result:
    """Complete the record of a run whose runner died. Two processes may do that for one run at once.

    Processes are killed without a grace period, because the caller must not wait.
    """
    end_processes(run, grace=timedelta())
    result = final_result(run, now)
    with suppress(OSError):  # A failing disk may have killed the runner; the run has ended all the same.
        run.record_result(result)
    # In a thread, because large directories and slow container engines would delay the status request.
    threading.Thread(target=release_resources, args=(run,), daemon=True).start()
    return result


def final_result(run: RunDirectory, now: datetime) -> Result:
    """Return the result of a run whose runner died."""
    if run.is_cancelled:
        return Result(ending=Ending.CANCELLED, ended_at=now)
    cause = f" (this may be the cause: {no_space(run.path)})" if is_full(run.path) else ""
    return Result(
        ending=Ending.LOST,
        ended_at=now,
        message="the runner process that supervised this run was killed, or the machine was restarted, before the run "
        f"ended{cause}; see {run.runner_log.as_uri()}",
    )


def end_processes(run: RunDirectory, *, grace: timedelta) -> None:
    """End every process of a run except the calling one.

    Args:
        grace: the time between SIGTERM and SIGKILL; zero sends SIGKILL at once.
    """
    known = set(find_processes(run))
    if grace:
        _send(psutil.Process.terminate, known)
        _wait_for_end(known, grace)
    for _ in range(_KILL_ATTEMPTS):
        # Known processes are kept, because one may have lost the parent by which it was found.
        known = {process for process in known if _is_alive(process)} | set(find_processes(run))
        if not known:
            return
        _send(psutil.Process.kill, known)
        _wait_for_end(known, _KILL_TIMEOUT)


def end_engine(run: RunDirectory, *, grace: timedelta) -> EngineEnd:
    """End the external engine of a run: SIGTERM to it alone, so that it can end its jobs, and SIGKILL after `grace`.

    It is recognised by its argument, the run's directory of outputs. The other processes of the run are left alone.
    """
    engines = [process for process in find_processes(run) if _is_engine(process, run)]
    _send(psutil.Process.terminate, engines)
    _wait_for_end(engines, grace)
    remaining = [process for process in engines if _is_alive(process)]
    _send(psutil.Process.kill, remaining)
    _wait_for_end(remaining, _KILL_TIMEOUT)
    if not engines:
        return EngineEnd.NOT_FOUND
    return EngineEnd.KILLED if remaining else EngineEnd.ITSELF


def release_resources(run: RunDirectory) -> None:
    """Stop the containers of a run and remove its temporary files."""
    with suppress(KeyError, ValueError):
        stop_containers(run.containers, Plan.from_object(read_object(run.request) or {}).parameters.container)
    shutil.rmtree(run.temporary, ignore_errors=True)


def find_processes(run: RunDirectory) -> Collection[psutil.Process]:
    """Return the living processes of a run.

    They are found by the environment variable that they inherit, by their working directory, and by their ancestors.
    """
    others = {process.pid: process for process in psutil.process_iter() if process.pid != os.getpid()}
    found = {pid for pid, process in others.items() if _belongs_to(process, run)}
    return [others[pid] for pid in _with_descendants(found, others) if _is_alive(others[pid])]


def _belongs_to(process: psutil.Process, run: RunDirectory) -> bool:
    return _has_run_variable(process, run) or _works_in_temporary(process, run)


def _is_engine(process: psutil.Process, run: RunDirectory) -> bool:
    with suppress(psutil.Error, OSError):
        return str(run.outputs) in process.cmdline()
    return False


def _has_run_variable(process: psutil.Process, run: RunDirectory) -> bool:
    with suppress(psutil.Error, OSError):
        return process.environ().get(RUN_VARIABLE) == str(run.path)
    return False


def _works_in_temporary(process: psutil.Process, run: RunDirectory) -> bool:
    """Find tools that cleared their environment; a process with a terminal is a person's shell and is left alone."""
    with suppress(psutil.Error, OSError):
        return process.cwd().startswith(f"{run.temporary}/") and process.terminal() is None
    return False


def _with_descendants(found: Collection[int], others: Mapping[int, psutil.Process]) -> Collection[int]:
    parents = {pid: _parent(process) for pid, process in others.items()}
    family = set(found)
    while children := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= children
    return family


def _parent(process: psutil.Process) -> int | None:
    with suppress(psutil.Error):
        return process.ppid()
    return None


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _send(signal: Callable[[psutil.Process], None], processes: Collection[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            signal(process)


def _wait_for_end(processes: Collection[psutil.Process], timeout: timedelta) -> None:
    # Not psutil.wait_procs: it would consume the exit code of a child for which the runner waits.
    for _ in range(timeout // _POLL_INTERVAL):
        if not any(_is_alive(process) for process in processes):
            return
        sleep(_POLL_INTERVAL)
