"""The store of the memory adapters: the tables as dictionaries of frozen rows.

A row corresponds to a row of the SQL table of the same name.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from wes_daemon.adapters.memory.faults import MemoryFaults
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.late_updates import LateUpdate
from wes_daemon.application.ports.leases import DaemonInfo, SessionId
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import Attachment, ProviderRunId, ProviderType, Run, RunId, TaskId, TaskLog
from wes_daemon.domain.states import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionRow:
    """The submission of one run."""

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
    """The poll schedule of one accepted run."""

    provider: ProviderType
    provider_run_id: ProviderRunId
    next_check_at: datetime
    known_state: RunState
    known_status: str | None = None
    held_until: datetime | None = None
    poll_seq: int = 0
    missing_since: datetime | None = None
    details_failures: int = 0
    cancel_again_at: datetime | None = None
    taken_at: datetime | None = None
    followed_since: datetime | None = None
    row_missing_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class DaemonRow:
    """A daemon session and the end of its lease."""

    info: DaemonInfo
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class LateUpdateRow:
    """A late update and when it is due."""

    update: LateUpdate
    not_before: datetime


@dataclass(frozen=True, slots=True)
class UnservedRow:
    """A provider in use that no live daemon serves."""

    since: datetime
    seen_at: datetime
    reason: str


@dataclass
class Tables:
    """The tables. Rows are frozen, so that copies of the dictionaries are a copy of all data."""

    runs: dict[RunId, Run] = field(default_factory=dict)
    attachments: dict[RunId, tuple[Attachment, ...]] = field(default_factory=dict)
    submissions: dict[RunId, SubmissionRow] = field(default_factory=dict)
    polls: dict[RunId, PollRow] = field(default_factory=dict)
    daemons: dict[SessionId, DaemonRow] = field(default_factory=dict)
    details: dict[RunId, RunDetails] = field(default_factory=dict)
    tasks: dict[RunId, Mapping[TaskId, TaskLog]] = field(default_factory=dict)
    provider_statuses: dict[RunId, tuple[str, str]] = field(default_factory=dict)
    timeline: dict[RunId, tuple[TimelineEntry, ...]] = field(default_factory=dict)
    late_updates: dict[int, LateUpdateRow] = field(default_factory=dict)
    unserved: dict[ProviderType, UnservedRow] = field(default_factory=dict)
    # At most one time, under the name `queue`: since when the queue has been watched.
    watched_since: dict[str, datetime] = field(default_factory=dict)

    def copy(self) -> "Tables":
        return Tables(**{name: dict(getattr(self, name)) for name in self.__dataclass_fields__})


class MemoryStore:
    """A database in memory. One unit of work at a time holds `lock`; `faults` says what it refuses."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.faults = MemoryFaults()
        self.lock = threading.RLock()
        self._has_unit = False
        self.tables = Tables()

    def begin(self) -> None:
        """Wait until no other thread has an open unit of work.

        Raises:
            RuntimeError: this thread has an open unit of work already.
        """
        self.lock.acquire()
        if self._has_unit:
            self.lock.release()
            raise RuntimeError("a unit of work is open in this thread already")
        self._has_unit = True

    def end(self) -> None:
        self._has_unit = False
        self.lock.release()

    def insert(self, *runs: Run) -> None:
        """Store runs as a WES service does, without any data of the daemon."""
        with self.lock:
            self.tables.runs.update({run.id: run for run in runs})

    def run(self, run_id: RunId) -> Run:
        with self.lock:
            return self.tables.runs[run_id]

    @property
    def runs(self) -> Mapping[RunId, Run]:
        with self.lock:
            return dict(self.tables.runs)

    def timeline(self, run_id: RunId) -> Sequence[TimelineEntry]:
        with self.lock:
            return self.tables.timeline.get(run_id, ())
