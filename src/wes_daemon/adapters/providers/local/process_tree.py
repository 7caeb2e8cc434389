"""The processes of a run: found wherever they went, and ended."""

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import timedelta

import psutil

from wes_daemon.adapters.providers.local.environment import RUN_VARIABLE
from wes_daemon.adapters.providers.local.run_directory import RunDirectory
from wes_daemon.adapters.system import sleep

_PASSES = 20
_BETWEEN_LOOKS = timedelta(milliseconds=50)
_KILLED_WITHIN = timedelta(seconds=1)


def end_processes(run: RunDirectory, *, grace: timedelta) -> None:
    """End every process of a run, except the one that calls.

    They are asked with SIGTERM, and killed when `grace` has passed; without grace they are killed at once.
    """
    known = set(find_processes(run))
    if grace:
        _send(psutil.Process.terminate, known)
        _await_end(known, grace)
    for _ in range(_PASSES):
        # What we knew may have lost the parent by which it was found, and started others meanwhile.
        known = {process for process in known if _lives(process)} | set(find_processes(run))
        if not known:
            return
        _send(psutil.Process.kill, known)
        _await_end(known, _KILLED_WITHIN)


def find_processes(run: RunDirectory) -> Collection[psutil.Process]:
    """The living processes of a run: by the variable that they inherit, by where they work, and their offspring."""
    others = {process.pid: process for process in psutil.process_iter() if process.pid != os.getpid()}
    found = {pid for pid, process in others.items() if _is_marked(process, run) or _works_in(process, run)}
    return [others[pid] for pid in _with_offspring(found, others) if _lives(others[pid])]


def _is_marked(process: psutil.Process, run: RunDirectory) -> bool:
    with suppress(psutil.Error, OSError):
        return process.environ().get(RUN_VARIABLE) == str(run.path)
    return False


def _works_in(process: psutil.Process, run: RunDirectory) -> bool:
    """A tool may have emptied its environment, but a process at a terminal is a person who looks at the files."""
    with suppress(psutil.Error, OSError):
        return process.cwd().startswith(f"{run.temporary}/") and process.terminal() is None
    return False


def _with_offspring(found: Collection[int], others: Mapping[int, psutil.Process]) -> Collection[int]:
    parents = {pid: _parent(process) for pid, process in others.items()}
    family = set(found)
    while grown := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= grown
    return family


def _parent(process: psutil.Process) -> int | None:
    with suppress(psutil.Error):
        return process.ppid()
    return None


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _send(signal: Callable[[psutil.Process], None], processes: Collection[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            signal(process)


def _await_end(processes: Collection[psutil.Process], within: timedelta) -> None:
    # Not psutil.wait_procs: it would take the exit code of our own child away from who waits for it.
    for _ in range(within // _BETWEEN_LOOKS):
        if not any(_lives(process) for process in processes):
            return
        sleep(_BETWEEN_LOOKS)
