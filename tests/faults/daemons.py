"""Processes of the daemon, forked from one that has imported everything: each is ready in a moment."""

import multiprocessing
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.faults import process

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "tests.faults.process",
        "wes_daemon.bootstrap.application",
        "alembic.command",
        "sevenbridges",
        "boto3",
        "botocore.session",
    ]
)


class DaemonProcess:
    """One process that runs the command line.

    Attributes:
        log: what it writes to standard output and standard error.
        began: when it was started, on the monotonic clock.
        told: how often it was told to stop.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], *, directory: Path, log: Path) -> None:
        self.log = log
        self.began = time.monotonic()
        self.told = 0
        self._process = _context.Process(target=process.run, args=(arguments, environment, directory, log), daemon=True)
        self._process.start()
        self.pid = self._process.pid or 0

    @property
    def exit_code(self) -> int | None:
        """None while it is there; the negative number of the signal that has killed it."""
        return self._process.exitcode

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.began

    @property
    def is_stopped(self) -> bool:
        """Whether SIGSTOP holds it."""
        try:
            return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False

    @property
    def has_begun(self) -> bool:
        """Whether it says that it works."""
        return "daemon.started" in self.log_text()

    def log_text(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def send(self, number: signal.Signals) -> None:
        """Send a signal; one that has ended hears none."""
        if self.exit_code is None:
            self.told += number is signal.SIGTERM
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> int | None:
        """Its exit code, or None when it is still there after so long."""
        self._process.join(seconds)
        return self.exit_code

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self._process.join(10)
