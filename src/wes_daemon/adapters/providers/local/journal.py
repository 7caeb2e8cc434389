"""The steps of a run: written down by the process that runs them, read by anybody at any moment.

`steps/journal.jsonl` gains a line when a step begins and one when it ends; a step's logs lie in `steps/<number>/`.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from wes_daemon.application.ports.environment import Clock

SUCCESS = "success"
"""cwltool's word for a step that did what it should, whatever its exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One execution of one tool.

    Attributes:
        number: from 1 in the order in which the steps began; with the name it tells the step from the others.
        stdout, stderr: files relative to the directory of steps; they may not be there yet, or never.
        status: cwltool's word for how it ended.
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

    @property
    def id(self) -> str:
        """What tells the step from the run's others."""
        return f"{self.number}:{self.name}"

    @property
    def has_failed(self) -> bool:
        """Whether the step ended, and badly."""
        return self.status is not None and self.status != SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a journal tells so far: the steps as they began, and remarks on what could not be written down."""

    steps: Sequence[Step] = ()
    notes: Sequence[str] = ()


class Journal:
    """The writing side; for several threads at once."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._begun = 0

    def begin(self, name: str, cmd: Sequence[str], *, stdout: str | None, stderr: str | None) -> Step:
        """Write down that a step begins and make room for its logs.

        Args:
            stdout, stderr: the files that the tool's description sends them to, if it does.
        """
        with self._lock:
            self._begun += 1
            number = self._begun
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

    def end(self, step: Step, *, exit_code: int | None, status: str) -> None:
        """Write down how a step ended."""
        self._write(
            {
                "event": "ended",
                "number": step.number,
                "at": self._clock.now().isoformat(),
                "exit_code": exit_code,
                "status": status,
            }
        )

    def note(self, text: str) -> None:
        """Write down what the reader of the run should know of the account itself."""
        self._write({"event": "note", "text": text})

    def _write(self, event: Mapping[str, object]) -> None:
        line = json.dumps(event)
        with self._lock, _file(self._folder).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def read_journal(folder: Path) -> Account:
    """What is written so far; a line that is half written, or of a kind not known here, is passed over."""
    steps: dict[object, Step] = {}
    notes: list[str] = []
    for event in _events(folder):
        match event:
            case {"event": "began", "number": int(number)}:
                steps[number] = _begun(event)
            case {"event": "ended", "number": number} if number in steps:
                steps[number] = _ended(steps[number], event)
            case {"event": "note", "text": str(text)}:
                notes.append(text)
    return Account(steps=sorted(steps.values(), key=lambda step: step.number), notes=notes)


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


def _begun(event: Mapping[str, Any]) -> Step:
    return Step(
        number=event["number"],
        name=event["name"],
        cmd=tuple(event["cmd"]),
        started_at=datetime.fromisoformat(event["at"]),
        stdout=event["stdout"],
        stderr=event["stderr"],
    )


def _ended(step: Step, event: Mapping[str, Any]) -> Step:
    return replace(
        step,
        ended_at=datetime.fromisoformat(event["at"]),
        exit_code=event["exit_code"],
        status=event["status"],
    )
