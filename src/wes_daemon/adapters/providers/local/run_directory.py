"""The directory of one run: its layout, its state files and how they are written.

The existence of a state file records a stage of the run. State files are never removed while the run's directory
exists, so any process can check for them at any time:

- `request.json`: the run is prepared.
- `started.json`: a runner has started the run; no second runner ever starts it.
- `cancelled.json`: cancellation was requested.
- `result.json`: the run has ended.

A lock on the file `lock` shows whether the runner is alive. The operating system releases it when the runner dies;
a process id could belong to another process by then.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

RUN_VARIABLE = "WES_DAEMON_LOCAL_RUN"
"""Environment variable that identifies the processes of a run; its value is the path of the run's directory."""
NO_CWLTOOL = 70
"""Exit code of the engine process when cwltool is not installed (sysexits.h: internal software error)."""
NO_SPACE = 74
"""Exit code of the engine process when the run failed and the disk was full (sysexits.h: error while doing I/O)."""
UNREACHABLE = 75
"""Exit code of the engine process when a download failed that may succeed later (sysexits.h: temporary failure)."""
TERMINATED = 143
"""Exit code of the engine process after SIGTERM (128 plus the signal number, as in a shell)."""


# cwltool reads its inputs as YAML. There the two escapes of a character beyond U+FFFF are two characters that no text
# may contain, so such a character is not escaped; below it some characters are refused unless they are escaped.
_ESCAPED = re.compile("[\x7f-\uffff]")


class Ending(StrEnum):
    """How a run ended; `LOST` means that its runner died."""

    EXITED = "exited"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The content of `result.json`.

    Attributes:
        exit_code: the engine's exit code; a negative number is the signal that killed it.
            `None` when the engine was never started or the run is lost.
        message: why the run failed, for a person; empty when it did not fail.
        is_system_error: the set-up or the machine is the reason, whatever the exit code says.
    """

    ending: Ending
    ended_at: datetime | None
    exit_code: int | None = None
    message: str = ""
    is_system_error: bool = False

    def as_object(self) -> Mapping[str, object]:
        """Return the JSON object to write."""
        return {
            "ending": self.ending.value,
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
            "exit_code": self.exit_code,
            "message": self.message,
            "is_system_error": self.is_system_error,
        }

    @classmethod
    def from_object(cls, found: Mapping[str, object]) -> Self:
        """Read a JSON object. Damaged fields get defaults, because a run with a result must count as ended."""
        ending, ended_at, exit_code = found.get("ending"), found.get("ended_at"), found.get("exit_code")
        return cls(
            ending=Ending(str(ending)) if ending in list(Ending) else Ending.LOST,
            ended_at=_parse_time(ended_at),
            exit_code=exit_code if isinstance(exit_code, int) else None,
            message=str(found.get("message", "the run's result file is damaged")),
            is_system_error=found.get("is_system_error") is True,
        )


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The files of one run."""

    path: Path

    @property
    def request(self) -> Path:
        """The run's `Plan` and its idempotency key, as JSON."""
        return self.path / "request.json"

    @property
    def attachments(self) -> Path:
        """The attachments of the submission, and the file of workflow inputs."""
        return self.path / "attachments"

    @property
    def outputs(self) -> Path:
        """The files of the workflow's outputs."""
        return self.path / "outputs"

    @property
    def steps(self) -> Path:
        """The journal of the steps, and their logs."""
        return self.path / "steps"

    @property
    def containers(self) -> Path:
        """The ids of the containers that were started, one file each."""
        return self.path / "containers"

    @property
    def temporary(self) -> Path:
        """Files that are removed when the run ends."""
        return self.path / "tmp"

    @property
    def cwltool_stdout(self) -> Path:
        """The workflow's outputs as JSON."""
        return self.path / "logs" / "outputs.json"

    @property
    def cwltool_stderr(self) -> Path:
        """The engine's log; the name is the same for every engine."""
        return self.path / "logs" / "cwltool.log"

    @property
    def engine_logs(self) -> Path:
        """The logs that Toil keeps of its jobs; exists when there is one."""
        return self.path / "logs" / "toil"

    @property
    def engine_messages(self) -> Path:
        """What Toil reports about its jobs, a line each."""
        return self.path / "logs" / "toil.messages"

    @property
    def runner_log(self) -> Path:
        """The runner's output; empty unless the runner itself failed."""
        return self.path / "logs" / "runner.log"

    @property
    def lock(self) -> Path:
        """The file that the runner locks for as long as it lives."""
        return self.path / "lock"

    @property
    def wakeup_pipe(self) -> Path:
        """The named pipe that makes the runner check for `cancelled.json`."""
        return self.path / "bell"

    @property
    def active_marker(self) -> Path:
        """A file beside the directory, from the preparation of the run to its end: it outlives a deleted directory.

        It is not empty if the run was cancelled after its directory was deleted.
        """
        return self.path.with_name(f".{self.path.name}.active")

    @property
    def was_deleted(self) -> bool:
        """Whether the directory of a run that has not ended was deleted."""
        return self.active_marker.exists() and not self.exists

    @property
    def exists(self) -> bool:
        """Whether the run is prepared: all files except the later state files exist."""
        return self.request.exists()

    @property
    def has_started(self) -> bool:
        """Whether a runner has started the run or `delete_draft` has reserved it; no runner starts it after that."""
        return self._started.exists()

    @property
    def started_at(self) -> datetime | None:
        """When a runner started the run."""
        return _read_time(self._started)

    @property
    def is_cancelled(self) -> bool:
        """Whether cancellation was requested."""
        return self._cancelled.exists()

    @property
    def cancelled_at(self) -> datetime | None:
        """When cancellation was first requested."""
        return _read_time(self._cancelled)

    @property
    def result(self) -> Result | None:
        """The result of the run; `None` until it has ended."""
        found = read_object(self._result)
        return None if found is None else Result.from_object(found)

    def record_start(self, at: datetime) -> bool:
        """Create `started.json`; return false if it already existed."""
        return _write_state_file(self._started, at)

    def record_cancellation(self, at: datetime) -> bool:
        """Create `cancelled.json`; return false if it already existed."""
        return _write_state_file(self._cancelled, at)

    def record_result(self, result: Result) -> None:
        """Write `result.json`."""
        if self.exists:
            self.active_marker.unlink(missing_ok=True)
        replace_file(self._result, as_json(result.as_object()))

    @property
    def has_runner(self) -> bool:
        """Whether a process holds the run's lock now."""
        descriptor = os.open(self.lock, os.O_RDONLY)
        try:
            # A shared lock, so that two readers do not mistake each other for a runner.
            return not _try_lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    @contextmanager
    def try_lock(self) -> Iterator[bool]:
        """Lock the run as its runner; yields false when another process holds the lock."""
        descriptor = os.open(self.lock, os.O_RDWR)
        try:
            yield _try_lock(descriptor, fcntl.LOCK_EX)
        finally:
            os.close(descriptor)

    def wake_runner(self) -> bool:
        """Make the runner check for `cancelled.json`; return false when there is no runner."""
        try:
            descriptor = os.open(self.wakeup_pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        with suppress(BlockingIOError):  # The pipe is full, so a wake-up is pending.
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


def write_new(path: Path, content: bytes) -> None:
    """Create a file durably.

    Raises:
        FileExistsError: `path` exists.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file durably and atomically; of two concurrent writers, one wins."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        write_new(temporary, content)
        temporary.replace(path)
    except OSError:
        # What a full disk has cut off must not occupy the space that the next try needs.
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Flush the entries of a directory to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_object(path: Path) -> Mapping[str, object] | None:
    """Read a JSON object; `{}` when the file holds no JSON object, `None` when there is no file."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def as_json(value: Mapping[str, object]) -> bytes:
    """Serialise a JSON object in UTF-8, so that readers of JSON and readers of YAML find the same texts in it."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def _try_lock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_state_file(path: Path, at: datetime) -> bool:
    try:
        write_new(path, as_json({"at": at.isoformat()}))
    except FileExistsError:
        return False
    except OSError:
        # The file's existence counts. On a full disk it may exist and be empty.
        if not path.exists():
            raise
    return True


def _read_time(path: Path) -> datetime | None:
    found = read_object(path)
    if found is None:
        return None
    # The file is empty for a moment, between its creation and its first write, and for ever on a full disk.
    with suppress(OSError):
        return _parse_time(found.get("at")) or datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return None


def _parse_time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None
