"""How the daemon starts a runner that outlives it."""

import os
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta

from wes_daemon.adapters.providers.local.environment import run_environment
from wes_daemon.adapters.providers.local.run_directory import RunDirectory

RUNNER = "wes_daemon.adapters.providers.local.runner"
_STARTS_WITHIN = timedelta(seconds=30)


def launch_runner(run: RunDirectory) -> None:
    """Start a runner and wait until it has taken the run, has found it taken, or the time is up.

    Launching twice is harmless. Whether the run was taken is told by its mark alone.

    Raises:
        OSError: no process could be started.
    """
    with run.runner_log.open("ab") as log, suppress(subprocess.TimeoutExpired):
        subprocess.run(
            # -P: never import from the directory that we happen to work in.
            [sys.executable, "-P", "-m", RUNNER, str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=run_environment(os.environ),
            cwd="/",
            start_new_session=True,
            timeout=_STARTS_WITHIN.total_seconds(),
            check=False,
        )
