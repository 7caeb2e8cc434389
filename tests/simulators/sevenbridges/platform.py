"""The state of the simulated service, and what a test may do to it."""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.simulators.sevenbridges.errors import ApiError
from tests.simulators.sevenbridges.faults import Faults

Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as it came in."""

    token: str
    method: str
    path: str
    operation: str
    params: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    at: datetime


@dataclass(frozen=True, slots=True)
class Start:
    """One line of the ledger: a task that was started, and cost money from then on."""

    task: str
    name: str
    at: datetime


@dataclass
class Window:
    """The rate limit of one token."""

    since: datetime
    used: int = 0


@dataclass
class Platform:
    """Users, projects, apps, files, volumes and tasks of one environment.

    Attributes:
        now: the service's clock.
        listing_lag: how long a new task is missing from listings.
        invalid_run_answers_draft: whether running a draft with errors answers the draft, or an error 7024.
        quiet_until: the time that was named to a token with a 429; a call before it is in `too_early`.
        started: the ledger: every start, in order; nothing is ever taken off.
    """

    now: Callable[[], datetime]
    listing_lag: timedelta = timedelta(0)
    rate_limit: int = 1_000_000
    rate_window: timedelta = timedelta(minutes=5)
    invalid_run_answers_draft: bool = False
    base: str = ""
    tokens: dict[str, frozenset[str]] = field(default_factory=dict)
    apps: dict[str, list[Record]] = field(default_factory=dict)
    files: dict[str, Record] = field(default_factory=dict)
    volumes: list[Record] = field(default_factory=list)
    imports: dict[str, Record] = field(default_factory=dict)
    tasks: dict[str, Record] = field(default_factory=dict)
    started: list[Start] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    too_early: list[Call] = field(default_factory=list)
    quiet_until: dict[str, datetime] = field(default_factory=dict)
    windows: dict[str, Window] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _numbers: Counter[str] = field(default_factory=Counter)

    # what a test arranges

    def add_token(self, token: str, *projects: str) -> None:
        """Let a token in, as a member of these projects."""
        self.tokens[token] = frozenset(projects)

    def add_app(self, id: str, inputs: Mapping[str, object], *, batches: bool = False, revisions: int = 1) -> None:
        """Install an app with these ports; `batches`: it makes a batch of each task by default."""
        raw = {"class": "Workflow", "cwlVersion": "v1.2", "inputs": dict(inputs), "outputs": {"report": "File"}}
        self.apps[id] = [{"raw": raw, "batches": batches} for _ in range(revisions)]

    def add_file(self, name: str, project: str, *, parent: str | None = None, type: str = "file") -> str:
        """Put a file or a folder into a project, or into a folder of it; returns its id."""
        id = hashlib.sha256(f"file {self._next('file')}".encode()).hexdigest()[:24]
        self.files[id] = {"id": id, "name": name, "project": project, "parent": parent, "type": type}
        return id

    def add_volume(self, id: str, bucket: str, *, service: str = "S3", prefix: str = "", active: bool = True) -> None:
        """Attach a bucket."""
        described = {"type": service, "bucket": bucket, "prefix": prefix}
        self.volumes.append({"id": id, "name": id, "access_mode": "RO", "active": active, "service": described})

    def lose_objects(self, error: str = "Location on volume not found") -> None:
        """Let every import fail that is under way, because its object does not exist in the bucket."""
        for record in self.imports.values():
            record.update(state="FAILED", error={"code": 9105, "message": error}, is_missing=True)

    def end_imports(self, error: str | None = None) -> None:
        """Let every import end that is under way; a name that is taken makes one fail."""
        for record in self.imports.values():
            if record["state"] in ("PENDING", "RUNNING"):
                self._end_import(record, error)

    def move(self, id: str, status: str, **changes: object) -> None:
        """Put a task where a test wants it, with the times that belong to it."""
        with self.lock:
            task = self.tasks[id]
            task["status"] = status
            if status not in ("DRAFT", "CREATING"):
                task["start_time"] = task["start_time"] or self.stamp()
            if status in ("COMPLETED", "FAILED", "ABORTED"):
                task["end_time"] = self.stamp()
            task.update(changes)

    def complete(self, id: str, *, jobs: int = 2) -> None:
        """End a task well, with an output and jobs."""
        with self.lock:
            task = self.tasks[id]
            report = self.add_file("report.txt", task["project"])
            outputs = {"report": self.file_value(report), "count": 3}
            self.move(id, "COMPLETED", outputs=outputs, jobs=[self.job(f"step_{n}") for n in range(jobs)])

    def fail(self, id: str, *, job_failed: bool = True, message: str = "Tool exited with 1") -> None:
        """End a task badly; whether one of its jobs has failed tells whose fault it was."""
        jobs = [self.job("step_0"), self.job("step_1", status="FAILED" if job_failed else "DONE")]
        self.move(id, "FAILED", jobs=jobs, execution_status={"message": message, "failed": 0})

    # what the pieces share

    def stamp(self, at: datetime | None = None) -> str:
        """A moment as the service writes it: UTC, whole seconds."""
        return (at or self.now()).strftime("%Y-%m-%dT%H:%M:%SZ")

    def file_value(self, id: str) -> Record:
        """A file as it stands among a task's inputs and outputs."""
        name = self.files[id]["name"]
        return {
            **{"class": "File", "path": id, "name": name, "basename": name, "size": 12, "secondaryFiles": []},
            **{"location": "https://bucket.invalid/signed?Expires=1&Signature=abc", "dirname": "/sbgenomics/work"},
        }

    def job(self, name: str, *, status: str = "DONE") -> Record:
        """One job, with links to its logs as files."""
        logs = {
            log: f"{self.base}/files/{self.add_file(log, '')}/download_info" for log in ("job.out.log", "job.err.log")
        }
        times = {"start_time": self.stamp(), "end_time": self.stamp()}
        return {"name": name, "status": status, "command_line": f"run {name}", "retried": False, "logs": logs, **times}

    def of_project(self, project: str, token: str) -> None:
        """Refuse whoever is no member."""
        if project not in {known for projects in self.tokens.values() for known in projects}:
            raise ApiError(404, 3002, f"Project {project} not found")
        if project not in self.tokens[token]:
            raise ApiError(403, 3001, f"Access to project {project} is forbidden")

    def new_id(self, kind: str) -> str:
        """A UUID of its own; which one is a matter of order alone, so that a test that fails fails again."""
        digits = hashlib.sha256(f"{kind} {self._next(kind)}".encode()).hexdigest()
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"

    def _next(self, kind: str) -> int:
        with self.lock:
            self._numbers[kind] += 1
            return self._numbers[kind]

    def _end_import(self, record: Record, error: str | None) -> None:
        parent, name = record["destination"]["parent"], record["destination"]["name"]
        if any(file["parent"] == parent and file["name"] == name for file in self.files.values()):
            error = error or "File already exists"
        if error:
            record.update(state="FAILED", error={"code": 9108, "message": error})
            return
        id = self.add_file(name, self.files[parent]["project"], parent=parent)
        record.update(state="COMPLETED", result={"id": id, "name": name})
