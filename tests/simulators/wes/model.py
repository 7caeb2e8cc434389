"""The runs of the simulated server, and the switches that say which real server it resembles."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.simulators.wes.faults import Faults

ENDED = ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "PREEMPTED")


@dataclass(kw_only=True)
class Switches:
    """How the server behaves. The defaults are those of a server that keeps WES 1.1 in every point.

    Attributes:
        keeps_key: whether `Idempotency-Key` is honoured; `announces_key`: whether service-info says so.
        lists_tags, list_key, list_times: what the list of runs contains, and its name.
        page_limit: the most runs or tasks of one page; None for all at once, as Toil and wes-service answer.
        log_texts: whether texts stand where addresses of logs belong; `relative_logs`: whether addresses are relative;
            `range_status`: the answer to a range that is longer than a log.
        has_start, has_end: whether times are told.
        has_task_list: whether `/tasks` exists and is named; else tasks are in the run log.
        task_ids: whether tasks have ids.
        demands_engine: whether a request without `workflow_engine` is refused, as Sapporo does.
        types, engines, versions: of service-info.
        cancels: whether a cancellation has an effect; `cancel_status`: the status with which it is refused.
        knows_all: whether unknown ids are RUNNING, as at wes-service.
        outputs_as_list: whether outputs are a list of files, as at Sapporo.
        null_ends: whether the last page has null for a token.
        credential: the header `Authorization` that is needed; None for none.
    """

    keeps_key: bool = False
    announces_key: bool = False
    lists_tags: bool = True
    list_key: str = "runs"
    list_times: bool = True
    page_limit: int | None = 100
    log_texts: bool = False
    relative_logs: bool = False
    range_status: int = 416
    has_start: bool = True
    has_end: bool = True
    has_task_list: bool = True
    task_ids: bool = True
    demands_engine: bool = False
    types: Sequence[str] = ("CWL", "WDL")
    engines: Sequence[str] = ("cwltool", "cromwell")
    versions: Sequence[str] = ("1.0.0", "1.1.0")
    cancels: bool = True
    cancel_status: int | None = None
    knows_all: bool = False
    outputs_as_list: bool = False
    null_ends: bool = False
    credential: str | None = None


@dataclass(kw_only=True)
class SimulatedRun:
    """One run of the server.

    Attributes:
        request: the fields of the form that started it, with JSON read.
        attachments: contents by name.
        read_once: states that are told once each before the real one.
    """

    id: str
    key: str
    request: Mapping[str, Any]
    attachments: Mapping[str, bytes]
    state: str = "QUEUED"
    started: datetime | None = None
    ended: datetime | None = None
    exit_code: int | None = None
    stderr: str = ""
    system_logs: Sequence[str] = ()
    tasks: Sequence[Mapping[str, Any]] = ()
    read_once: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Call:
    """One request that reached the server."""

    operation: str
    id: str
    params: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    at: datetime


class Model:
    """Everything that the server knows."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC), **switches: Any) -> None:
        self.now = now
        self.switches = Switches(**switches)
        self.runs: dict[str, SimulatedRun] = {}
        self.started: list[tuple[str, str]] = []
        self.posts: list[str] = []
        self.calls: list[Call] = []
        self.faults = Faults()
        self.late: list[Callable[[], object]] = []
        self.base = ""
        self.lock = threading.RLock()
        self._number = 0

    def start(self, key: str, request: Mapping[str, Any], attachments: Mapping[str, bytes]) -> SimulatedRun:
        """Start a run, or return the one that has this key, if keys are honoured."""
        known = next((run for run in self.runs.values() if self.switches.keeps_key and key and run.key == key), None)
        if known:
            return known
        self._number += 1
        id = f"{self._number:08x}-0000-4000-8000-{self._number:012x}"
        run = SimulatedRun(id=id, key=key, request=request, attachments=attachments, started=self.now())
        self.runs[id] = run
        self.started.append((id, key))
        return run

    def deliver_late(self) -> None:
        """Act on what was asked for late."""
        late, self.late = self.late, []
        for act in late:
            act()

    def move(self, id: str, state: str, **changes: Any) -> None:
        """Change a run's state."""
        run = self.runs[id]
        run.state = state
        if state in ENDED:
            run.ended = self.now()
        for name, value in changes.items():
            setattr(run, name, value)

    def complete(self, id: str) -> None:
        """End a run well, with two tasks."""
        at = self.now()
        tasks = [_task("align", 0, at), _task("sort", 0, at)]
        self.move(id, "COMPLETE", exit_code=0, tasks=tasks)

    def fail(self, id: str, words: str = "no such reads: a.fastq", code: int = 3) -> None:
        """End a run badly."""
        log = f"INFO cwltool 3.1\nINFO [job align] running\n{words}\nWARNING [job align] exited with status: {code}\n"
        self.move(id, "EXECUTOR_ERROR", exit_code=code, stderr=log, tasks=[_task("align", code, self.now())])


def _task(name: str, code: int, at: datetime) -> Mapping[str, Any]:
    return {
        "name": name,
        "cmd": [name, "--fast"],
        "start_time": (at - timedelta(seconds=2)).isoformat(),
        "end_time": at.isoformat(),
        "exit_code": code,
    }
