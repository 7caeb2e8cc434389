"""The directory of one run: what lies where in it, and the marks that tell how far the run has come.

Every mark is a file that appears once and whole, so any process can read them at any moment:
`request.json` (prepared), `started.json` (a runner took it, for ever), `cancelled.json` (somebody wants it stopped),
`result.json` (ended). Whether the runner lives is told by a lock that ends with it, never by a process id.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from wes_daemon.adapters.providers.local.durable import as_json, read_object, replace, write_new
from wes_daemon.adapters.providers.local.result import Result, read_moment


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One run on disk; knows no rules, only where things are."""

    path: Path

    @property
    def request(self) -> Path:
        """What is to be run, as `Plan` writes it."""
        return self.path / "request.json"

    @property
    def attachments(self) -> Path:
        """The submission's files, with the workflow's inputs among them."""
        return self.path / "attachments"

    @property
    def outputs(self) -> Path:
        """Where cwltool puts the files of the workflow's outputs."""
        return self.path / "outputs"

    @property
    def steps(self) -> Path:
        """The journal of the steps and their logs."""
        return self.path / "steps"

    @property
    def containers(self) -> Path:
        """The ids of the containers that were started, one a file."""
        return self.path / "containers"

    @property
    def temporary(self) -> Path:
        """Everything that goes when the run ends."""
        return self.path / "tmp"

    @property
    def cwltool_stdout(self) -> Path:
        """The workflow's outputs as JSON."""
        return self.path / "logs" / "outputs.json"

    @property
    def cwltool_stderr(self) -> Path:
        """cwltool's log."""
        return self.path / "logs" / "cwltool.log"

    @property
    def runner_log(self) -> Path:
        """Empty, unless the runner itself broke."""
        return self.path / "logs" / "runner.log"

    @property
    def lock(self) -> Path:
        """Locked as long as the runner lives."""
        return self.path / "lock"

    @property
    def bell(self) -> Path:
        """The pipe on which a living runner is told to look for `cancelled.json`."""
        return self.path / "bell"

    @property
    def exists(self) -> bool:
        """Whether the run is prepared: from then on everything but the marks is there."""
        return self.request.exists()

    @property
    def has_started(self) -> bool:
        """Whether a runner has taken the run; no other ever will."""
        return self._started.exists()

    @property
    def started_at(self) -> datetime | None:
        """When a runner took the run."""
        return _moment(self._started)

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody wants the run stopped."""
        return self._cancelled.exists()

    @property
    def cancelled_at(self) -> datetime | None:
        """When somebody first wanted the run stopped."""
        return _moment(self._cancelled)

    @property
    def result(self) -> Result | None:
        """How the run ended, once it has."""
        found = read_object(self._result)
        return None if found is None else Result.read(found)

    def mark_started(self, at: datetime) -> bool:
        """Take the run; false when it was taken before."""
        return _mark(self._started, at)

    def mark_cancelled(self, at: datetime) -> bool:
        """Ask for the run's end; false when it was asked before."""
        return _mark(self._cancelled, at)

    def conclude(self, result: Result) -> None:
        """Write how the run ended."""
        replace(self._result, as_json(result.as_object()))

    @property
    def has_runner(self) -> bool:
        """Whether a process holds the run at this moment."""
        descriptor = os.open(self.lock, os.O_RDONLY)
        try:
            # Shared, so that two who look at once do not take each other for a runner.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Hold the run as its runner does; false when somebody else holds it."""
        descriptor = os.open(self.lock, os.O_RDWR)
        try:
            yield _locked(descriptor)
        finally:
            os.close(descriptor)

    def ring(self) -> bool:
        """Wake the runner; false when none listens."""
        try:
            descriptor = os.open(self.bell, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        with suppress(BlockingIOError):  # full: it was rung often enough
            os.write(descriptor, b"!")
        os.close(descriptor)
        return True

    @property
    def _started(self) -> Path:
        return self.path / "started.json"

    @property
    def _cancelled(self) -> Path:
        return self.path / "cancelled.json"

    @property
    def _result(self) -> Path:
        return self.path / "result.json"


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _mark(path: Path, at: datetime) -> bool:
    try:
        write_new(path, as_json({"at": at.isoformat()}))
    except FileExistsError:
        return False
    return True


def _moment(path: Path) -> datetime | None:
    # Empty for an instant: the mark is made first and then filled.
    return read_moment((read_object(path) or {}).get("at"))
