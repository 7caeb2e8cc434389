"""A workflow provider in memory, which does what a test or a demonstration tells it."""

import threading
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import OutcomeUnknown, ProviderError, Rejected
from wes_daemon.application.ports.providers import (
    Accepted,
    EndedPage,
    OwnedPage,
    OwnedRun,
    Prepared,
    ProviderLimits,
    Recorded,
    RunDetails,
    Submission,
    WorkflowProvider,
    as_key,
    nothing_recorded,
)
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, ProviderType, StatusReport
from wes_daemon.domain.states import RunState

_WAITING = StatusReport(state=RunState.INITIALIZING, provider_status="waiting")


@dataclass
class _Fault:
    """What goes wrong in the next call of one operation, before or after it has acted."""

    error: Exception
    after_acting: bool


@dataclass
class _Held:
    submission: Submission
    created_at: datetime
    report: StatusReport = _WAITING
    details: RunDetails = field(default_factory=RunDetails)
    ended_at: datetime | None = None


class MemoryProvider:
    """A `WorkflowProvider` whose runs stay where they are put.

    Attributes:
        prepares: whether it needs two steps.
        started: the key of each provider run that was ever started, in order: the ledger that a test judges by.
        cancelled: the ids that it was asked to cancel, in order.
        calls: the operations that were called, in order.
    """

    prepares = False

    def __init__(self, *, status_batch: int = 100, clock: Clock | None = None) -> None:
        """Hold no run yet.

        Args:
            clock: tells when runs were created and ended; without one, all are of the same moment.
        """
        self.started: list[IdempotencyKey] = []
        self.cancelled: list[ProviderRunId] = []
        self.calls: list[str] = []
        self._limits = ProviderLimits(
            status_batch=status_batch, prepares=self.prepares, fills_batches=True, ended_list="memory"
        )
        self._clock = clock or ManualClock()
        self._held: dict[ProviderRunId, _Held] = {}
        self._ids: dict[IdempotencyKey, ProviderRunId] = {}
        self._faults: dict[str, deque[_Fault]] = defaultdict(deque)
        self._lock = threading.Lock()

    @property
    def limits(self) -> ProviderLimits:
        """As the port says."""
        return self._limits

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """As the port says; in one step."""
        with self._call("submit"):
            return Accepted(self._start(submission))

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """As the port says."""
        if len(ids) > self._limits.status_batch:
            raise ValueError(f"{len(ids)} ids in one call, {self._limits.status_batch} are allowed")
        with self._call("statuses"):
            return {id: self._held[id].report for id in ids if id in self._held}

    def cancel(self, id: ProviderRunId) -> None:
        """As the port says; the run is `CANCELED` at once."""
        with self._call("cancel"):
            self.cancelled.append(id)
            held = self._held.get(id)
            if held and not held.report.state.has_ended:
                held.report = replace(held.report, state=RunState.CANCELED, provider_status="cancelled")
                held.ended_at = self._clock.now()

    def owned_runs(
        self, since: datetime, *, after: str | None = None, recorded: Recorded = nothing_recorded
    ) -> OwnedPage:
        """As the port says; in parts of `limits.status_batch`."""
        del recorded
        with self._call("owned_runs"):
            found = [run for run in self._marked() if run.created_at >= since]
        begin, size = int(after or 0), self._limits.status_batch
        end = begin + size
        return OwnedPage(runs=found[begin:end], following=str(end) if end < len(found) else None)

    def ended(self, since: datetime, *, after: str | None = None) -> EndedPage:
        """As the port says; in parts of `limits.status_batch`."""
        with self._call("ended"):
            found = sorted((held.ended_at, id) for id, held in self._held.items() if held.ended_at)
        ids = [id for ended_at, id in found if ended_at >= since]
        begin, size = int(after or 0), self._limits.status_batch
        end = begin + size
        return EndedPage(ids=ids[begin:end], following=str(end) if end < len(ids) else None)

    def delete_draft(self, id: ProviderRunId) -> bool:
        """As the port says; there is nothing that is only prepared."""
        del id
        with self._call("delete_draft"):
            return False

    def details(self, id: ProviderRunId) -> RunDetails:
        """As the port says."""
        with self._call("details"):
            if id not in self._held:
                raise Rejected(f"there is no run {id}")
            return self._held[id].details

    def fail_next(self, *errors: Exception, operation: str = "submit") -> None:
        """Let the next calls of `operation` fail with these, one each, and do nothing."""
        self._faults[operation].extend(_Fault(error, after_acting=False) for error in errors)

    def lose_next_answer(self, *, operation: str = "submit", error: Exception | None = None) -> None:
        """Let the next call of `operation` do its work and then fail."""
        lost = error or OutcomeUnknown("the answer was lost")
        self._faults[operation].append(_Fault(lost, after_acting=True))

    def id_of(self, key: IdempotencyKey) -> ProviderRunId:
        """What the run with this key is called here; `KeyError` if it was never submitted."""
        return self._ids[key]

    def submission(self, id: ProviderRunId) -> Submission:
        """What was submitted under this id."""
        return self._held[id].submission

    def put(self, id: ProviderRunId, report: StatusReport, details: RunDetails | None = None) -> None:
        """Move a run to where a test wants it."""
        with self._lock:
            self._held[id].report = report
            self._held[id].ended_at = self._clock.now() if report.state.has_ended else None
            self._held[id].details = details or self._held[id].details

    def forget(self, id: ProviderRunId) -> None:
        """Lose a run, as a service does that deletes old ones."""
        with self._lock:
            del self._held[id]

    def start_again(self, submission: Submission) -> ProviderRunId:
        """Start a second run for a key, as no service should."""
        with self._lock:
            return self._begin(ProviderRunId(f"again-{len(self._held) + 1}"), submission, self._clock.now())

    def _start(self, submission: Submission) -> ProviderRunId:
        if submission.key not in self._ids:
            id = ProviderRunId(f"memory-{len(self._ids) + 1}")
            self._ids[submission.key] = self._begin(id, submission, self._clock.now())
        return self._ids[submission.key]

    def _begin(self, id: ProviderRunId, submission: Submission, created_at: datetime) -> ProviderRunId:
        self._held[id] = _Held(submission, created_at)
        self.started.append(submission.key)
        return id

    def _marked(self) -> Sequence[OwnedRun]:
        return [
            OwnedRun(
                id=id,
                key=key,
                created_at=held.created_at,
                state=held.report.state,
                provider_status=held.report.provider_status,
            )
            for id, held in self._held.items()
            if (key := as_key(held.submission.key))
        ]

    @contextmanager
    def _call(self, operation: str) -> Iterator[None]:
        with self._lock:
            self.calls.append(operation)
            fault = self._faults[operation].popleft() if self._faults[operation] else None
            if fault and not fault.after_acting:
                raise fault.error
            yield
            if fault:
                raise fault.error


class PreparingMemoryProvider(MemoryProvider):
    """A `MemoryProvider` that needs two steps: a draft, then a start of the recorded one.

    Attributes:
        drafts: what was prepared and not started.
        search_misses: whether a draft that is there is not found again, as in a service whose lists lag behind.
    """

    prepares = True

    def __init__(self, *, status_batch: int = 100, clock: Clock | None = None) -> None:
        """Hold nothing yet; `clock` as above."""
        super().__init__(status_batch=status_batch, clock=clock)
        self.drafts: dict[ProviderRunId, Submission] = {}
        self.search_misses = False
        self._drafted_at: dict[ProviderRunId, datetime] = {}
        self._numbers = 0

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """As the port says; in two steps."""
        with self._call("submit"):
            if submission.key in self._ids:
                return Accepted(self._ids[submission.key])
            if submission.prepared_id is None:
                return Prepared(self._found_draft(submission.key) or self._draft(submission))
            return Accepted(self._start_draft(submission.prepared_id))

    def cancel(self, id: ProviderRunId) -> None:
        """As the port says; drafts are removed."""
        with self._lock:
            draft = self.drafts.pop(id, None)
        if draft is None:
            super().cancel(id)

    def delete_draft(self, id: ProviderRunId) -> bool:
        """As the port says."""
        with self._call("delete_draft"):
            return self.drafts.pop(id, None) is not None

    def draft_again(self, submission: Submission) -> ProviderRunId:
        """Make one more draft for a key, as an attempt does that does not see the ones before."""
        with self._lock:
            return self._draft(submission)

    def _marked(self) -> Sequence[OwnedRun]:
        drafts = [
            OwnedRun(
                id=id,
                key=key,
                created_at=self._drafted_at[id],
                state=RunState.INITIALIZING,
                provider_status="draft",
                is_draft=True,
            )
            for id, draft in self.drafts.items()
            if (key := as_key(draft.key))
        ]
        return [*super()._marked(), *drafts]

    def _found_draft(self, key: IdempotencyKey) -> ProviderRunId | None:
        if self.search_misses:
            return None
        return next((id for id, draft in self.drafts.items() if draft.key == key), None)

    def _draft(self, submission: Submission) -> ProviderRunId:
        self._numbers += 1
        id = ProviderRunId(f"draft-{self._numbers}")
        self.drafts[id] = submission
        self._drafted_at[id] = self._clock.now()
        return id

    def _start_draft(self, id: ProviderRunId) -> ProviderRunId:
        draft = self.drafts.pop(id, None)
        if draft is None:
            raise Rejected(f"draft {id} is gone")
        self._ids[draft.key] = self._begin(id, draft, self._drafted_at[id])
        return id


class MemoryProviderDirectory:
    """A `ProviderDirectory` of providers, or of the errors that asking for them raises."""

    def __init__(self, providers: Mapping[ProviderType, WorkflowProvider | ProviderError]) -> None:
        self.providers = dict(providers)

    def provider(self, type: ProviderType) -> WorkflowProvider:
        """As the port says."""
        found = self.providers.get(type) or Rejected(f"provider {type} is not set up here")
        if isinstance(found, ProviderError):
            raise found
        return found
