"""What the memory adapters keep: the tables, as dictionaries of frozen values."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.leases import DaemonInfo, SessionId
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import Attachment, ProviderRunId, ProviderType, Run, RunId, TaskId, TaskLog
from wes_daemon.domain.states import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionRow:
    """How far the submission of one run has come."""

    provider: ProviderType | None
    state: SubmissionState
    enrolled_at: datetime
    not_before: datetime
    owner: SessionId | None = None
    claim_seq: int = 0
    attempts: int = 0
    prepared_id: ProviderRunId | None = None
    provider_run_id: ProviderRunId | None = None
    last_reason: str | None = None
    share: str = ""
    sent: Run | None = None
    intent_at: datetime | None = None
    failing_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PollRow:
    """When one accepted run is to be asked for."""

    provider: ProviderType
    provider_run_id: ProviderRunId
    next_check_at: datetime
    known_state: RunState
    known_status: str | None = None
    held_until: datetime | None = None
    seq: int = 0
    missing_since: datetime | None = None
    details_failures: int = 0
    cancel_again_at: datetime | None = None
    taken_at: datetime | None = None
    followed_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class DaemonRow:
    """One incarnation and the moment its lease ends."""

    info: DaemonInfo
    lease_until: datetime


@dataclass
class Tables:
    """The tables. Values are frozen, so that a copy of each dictionary is a copy of everything."""

    runs: dict[RunId, Run] = field(default_factory=dict)
    attachments: dict[RunId, tuple[Attachment, ...]] = field(default_factory=dict)
    submissions: dict[RunId, SubmissionRow] = field(default_factory=dict)
    polls: dict[RunId, PollRow] = field(default_factory=dict)
    daemons: dict[SessionId, DaemonRow] = field(default_factory=dict)
    details: dict[RunId, RunDetails] = field(default_factory=dict)
    tasks: dict[RunId, Mapping[TaskId, TaskLog]] = field(default_factory=dict)
    words: dict[RunId, tuple[str, str]] = field(default_factory=dict)
    timeline: dict[RunId, tuple[TimelineEntry, ...]] = field(default_factory=dict)

    def copy(self) -> "Tables":
        """The tables as they are now."""
        return Tables(**{name: dict(getattr(self, name)) for name in self.__dataclass_fields__})


class MemoryStore:
    """A database in memory. `lock` is held by one unit of work at a time, so they follow each other."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self._is_in_use = False
        self.tables = Tables()

    def begin(self) -> None:
        """Wait for the unit of work that is open elsewhere; in this thread there must be none."""
        self.lock.acquire()
        if self._is_in_use:
            self.lock.release()
            raise RuntimeError("a unit of work is open in this thread already")
        self._is_in_use = True

    def end(self) -> None:
        """Let the next unit of work begin."""
        self._is_in_use = False
        self.lock.release()

    def insert(self, *runs: Run) -> None:
        """Store runs as a WES service would, which knows nothing of the daemon."""
        with self.lock:
            self.tables.runs.update({run.id: run for run in runs})

    def run(self, run_id: RunId) -> Run:
        """The run as it is stored now."""
        with self.lock:
            return self.tables.runs[run_id]

    @property
    def runs(self) -> Mapping[RunId, Run]:
        """All runs as they are stored now."""
        with self.lock:
            return dict(self.tables.runs)

    def timeline(self, run_id: RunId) -> Sequence[TimelineEntry]:
        """What happened to the run."""
        with self.lock:
            return self.tables.timeline.get(run_id, ())
