"""Functions that tests execute in other processes; in a module, so that a spawned process can import them."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from threading import Barrier

from wes_daemon.adapters.providers.local.engines import ExternalEngine
from wes_daemon.adapters.providers.local.provider import LocalProvider
from wes_daemon.adapters.system import SystemClock
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import ProviderRunId


def submit(workdir: Path, submission: Submission, engine: ExternalEngine | None = None) -> ProviderRunId:
    """Submit, and return the id."""
    return LocalProvider(workdir, clock=SystemClock(), engine=engine).submit(submission).id


def submit_and_die(workdir: Path, submission: Submission) -> None:
    """Submit and die of SIGKILL at once, without clean-up."""
    submit(workdir, submission)
    os.kill(os.getpid(), signal.SIGKILL)


def submit_together(workdir: Path, submissions: Sequence[Submission], barrier: Barrier) -> None:
    """Submit each at the same moment as the other processes at the barrier."""
    for submission in submissions:
        barrier.wait(180)
        submit(workdir, submission)
