"""What is left to do when a run has ended, by whatever way."""

import shutil
import threading
from contextlib import suppress
from datetime import datetime, timedelta

from wes_daemon.adapters.providers.local.containers import stop_containers
from wes_daemon.adapters.providers.local.durable import read_object
from wes_daemon.adapters.providers.local.plan import Plan
from wes_daemon.adapters.providers.local.process_tree import end_processes
from wes_daemon.adapters.providers.local.result import Ending, Result
from wes_daemon.adapters.providers.local.run_directory import RunDirectory


def tidy(run: RunDirectory, *, grace: timedelta) -> None:
    """End what the run has left alive, and remove what was only for its time; outputs and logs stay."""
    end_processes(run, grace=grace)
    _clear_away(run)


def bury(run: RunDirectory, now: datetime) -> Result:
    """Do for a run what its runner would have done, had it lived; harmless when two do it at once.

    Nobody can wait here, so what is left alive gets no grace.
    """
    end_processes(run, grace=timedelta())
    result = _epitaph(run, now)
    with suppress(OSError):  # the disk may be what killed the runner; the run has ended all the same
        run.conclude(result)
    # Large directories and slow engines must not hold up the one who asked for a status.
    threading.Thread(target=_clear_away, args=(run,), daemon=True).start()
    return result


def _epitaph(run: RunDirectory, now: datetime) -> Result:
    if run.is_cancelled:
        return Result(ending=Ending.CANCELLED, ended_at=now)
    return Result(
        ending=Ending.LOST,
        ended_at=now,
        message="the process that watched over this run was killed, or the machine was restarted, before the run "
        f"ended; see {run.runner_log.as_uri()}",
    )


def _clear_away(run: RunDirectory) -> None:
    with suppress(KeyError, ValueError):
        stop_containers(run.containers, Plan.read(read_object(run.request) or {}).parameters.container)
    shutil.rmtree(run.temporary, ignore_errors=True)
