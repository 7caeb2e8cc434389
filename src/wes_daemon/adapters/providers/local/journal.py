"""The journal of a run's steps: written by the process that executes them, readable at any time.

`steps/journal.jsonl` gains one line when a step begins and one when it ends.
The logs of a step are in `steps/<number>/`.
"""

import errno
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from wes_daemon.adapters.providers.local.disk import is_full
from wes_daemon.application.ports.environment import Clock

SUCCESS = "success"
"""cwltool's status of a step that succeeded; such a step can have a non-zero exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One execution of one tool.

    Attributes:
        number: from 1, in the order in which the steps began.
        stdout, stderr: files relative to the directory of steps; they may not exist yet, or never.
        status: cwltool's status of the ended step.
        exceeded_seconds: the time limit that the step exceeded before it failed, if it did.
    """

    number: int
    name: str
    cmd: Sequence[str]
    started_at: datetime
    stdout: str
    stderr: str
    ended_at: datetime | None = None
    exit_code: int | None = None
    status: str | None = None
    exceeded_seconds: float | None = None

    @property
    def id(self) -> str:
        """Identifies the step within its run."""
        return f"{self.number}:{self.name}"

    @property
    def has_failed(self) -> bool:
        """Whether the step ended without success."""
        return self.status is not None and self.status != SUCCESS


class Journal:
    """Writes the journal; several threads may use it at once.

    An event that cannot be written, because the disk is full, is kept and written before the next one.

    Attributes:
        has_failed_tool: a tool has ended with an exit code that means failure.
        has_met_full_disk: the disk was full when a step failed.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._unwritten: list[bytes] = []
        self._has_partial_line = False
        self.has_failed_tool = False
        self.has_met_full_disk = False

    def begin(self, name: str, cmd: Sequence[str], *, stdout: str | None, stderr: str | None) -> Step:
        """Record the beginning of a step and create the directory for its logs.

        Args:
            stdout, stderr: the files to which the tool's description redirects these streams, if it does.
        """
        with self._lock:
            self._count += 1
            number = self._count
        step = Step(
            number=number,
            name=name,
            cmd=tuple(cmd),
            started_at=self._clock.now(),
            stdout=f"{number}/declared/{stdout}" if stdout else f"{number}/stdout",
            stderr=f"{number}/declared/{stderr}" if stderr else f"{number}/stderr",
        )
        (self._folder / f"{number}").mkdir()
        self._write(
            {
                "event": "began",
                "number": number,
                "name": name,
                "cmd": list(step.cmd),
                "at": step.started_at.isoformat(),
                "stdout": step.stdout,
                "stderr": step.stderr,
            }
        )
        return step

    def end(self, step: Step, *, exit_code: int | None, status: str, time_limit: float | None = None) -> None:
        """Record the end of a step.

        Args:
            time_limit: the seconds that the tool's description permits, if it does.
        """
        now = self._clock.now()
        is_late = (
            bool(time_limit) and status != SUCCESS and (now - step.started_at).total_seconds() >= (time_limit or 0)
        )
        if status != SUCCESS:
            self.has_failed_tool |= exit_code not in (None, 0)
            # Now, because cwltool removes the step's files when the run ends.
            self.has_met_full_disk |= is_full(self._folder)
        self._write(
            {
                "event": "ended",
                "number": step.number,
                "at": now.isoformat(),
                "exit_code": exit_code,
                "status": status,
                "exceeded_seconds": time_limit if is_late else None,
            }
        )

    def note(self, text: str) -> None:
        """Record a remark about the run or the journal; it appears among the system logs of the run."""
        self._write({"event": "note", "text": text})

    def flush(self) -> None:
        """Write the events that could not be written before.

        Raises:
            OSError: one still cannot be written.
        """
        with self._lock:
            self._write_kept()

    def _write(self, event: Mapping[str, object]) -> None:
        with self._lock:
            self._unwritten.append(f"{json.dumps(event)}\n".encode())
            with suppress(OSError):
                self._write_kept()

    def _write_kept(self) -> None:
        if not self._unwritten:
            return
        with _file(self._folder).open("ab", buffering=0) as file:
            while self._unwritten:
                # An empty line is skipped by readers; it ends what a full disk has cut off.
                line = b"\n" * self._has_partial_line + self._unwritten[0]
                written = file.write(line) or 0
                if written < len(line):
                    self._has_partial_line |= written > 0
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self._has_partial_line = False
                del self._unwritten[0]


def read_journal(folder: Path) -> tuple[Sequence[Step], Sequence[str]]:
    """Return the steps in the order in which they began, and the notes.

    Incomplete lines and unknown events are skipped.
    """
    steps: dict[object, Step] = {}
    notes: list[str] = []
    for event in _events(folder):
        match event:
            case {"event": "began", "number": int(number)}:
                steps[number] = _begun_step(event)
            case {"event": "ended", "number": number} if number in steps:
                steps[number] = _ended_step(steps[number], event)
            case {"event": "note", "text": str(text)}:
                notes.append(text)
    return sorted(steps.values(), key=lambda step: step.number), notes


def _file(folder: Path) -> Path:
    return folder / "journal.jsonl"


def _events(folder: Path) -> Iterator[dict[str, Any]]:
    try:
        text = _file(folder).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def _begun_step(event: Mapping[str, Any]) -> Step:
    return Step(
        number=event["number"],
        name=event["name"],
        cmd=tuple(event["cmd"]),
        started_at=datetime.fromisoformat(event["at"]),
        stdout=event["stdout"],
        stderr=event["stderr"],
    )


def _ended_step(step: Step, event: Mapping[str, Any]) -> Step:
    return replace(
        step,
        ended_at=datetime.fromisoformat(event["at"]),
        exit_code=event["exit_code"],
        status=event["status"],
        exceeded_seconds=event.get("exceeded_seconds"),
    )
