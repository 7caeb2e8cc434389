"""Workflow providers in memory, which a test or a demonstration controls."""

import threading
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotEnabled, OutcomeUnknown, ProviderError, Rejected
from wes_daemon.application.ports.providers import (
    Accepted,
    EndedPage,
    Idempotency,
    Needed,
    OwnedPage,
    OwnedRun,
    Prepared,
    ProviderLimits,
    Recorded,
    RunDetails,
    Submission,
    WorkflowProvider,
    all_needed,
    as_key,
    key_of_former_name,
    nothing_recorded,
)
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, ProviderType, RunId, StatusReport, WorkflowRequest
from wes_daemon.domain.states import RunState

_WAITING = StatusReport(state=RunState.INITIALIZING, provider_status="waiting")


@dataclass
class _Fault:
    """An error that the next call of one operation raises, before or after the call has its effect."""

    error: Exception
    after_acting: bool


@dataclass
class _ProviderRun:
    submission: Submission
    created_at: datetime
    report: StatusReport = _WAITING
    details: RunDetails = field(default_factory=RunDetails)
    ended_at: datetime | None = None


class MemoryProvider:
    """A `WorkflowProvider` whose runs change only when a test changes them, with `put`.

    Args:
        status_batch: the size of pages and of batches.
        clock: for the times at which runs are created and end; without one, all these times are equal.

    Attributes:
        idempotency: how a submission is made single.
        started: the key of each provider run that was ever started, in order; a key must not occur twice.
        cancelled: the id of each cancelled run, in order and with repetitions.
        calls: the operations that were called, in order.
    """

    idempotency = Idempotency.KEY

    def __init__(self, *, status_batch: int = 100, clock: Clock | None = None) -> None:
        self.started: list[IdempotencyKey] = []
        self.cancelled: list[ProviderRunId] = []
        self.calls: list[str] = []
        self._limits = ProviderLimits(
            status_batch=status_batch, idempotency=self.idempotency, fills_batches=True, ended_list="memory"
        )
        self._clock = clock or ManualClock()
        self._provider_runs: dict[ProviderRunId, _ProviderRun] = {}
        self._ids: dict[IdempotencyKey, ProviderRunId] = {}
        self._faults: dict[str, deque[_Fault]] = defaultdict(deque)
        self._lock = threading.Lock()

    @property
    def limits(self) -> ProviderLimits:
        return self._limits

    def submit(self, submission: Submission) -> Accepted | Prepared:
        with self._call("submit"):
            return Accepted(self._start(submission))

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        if len(ids) > self._limits.status_batch:
            raise ValueError(f"{len(ids)} ids in one call, {self._limits.status_batch} are allowed")
        with self._call("statuses"):
            return {id: self._provider_runs[id].report for id in ids if id in self._provider_runs}

    def cancel(self, id: ProviderRunId) -> None:
        """Cancel the run, which is `CANCELED` at once."""
        with self._call("cancel"):
            self.cancelled.append(id)
            run = self._provider_runs.get(id)
            if run and not run.report.state.has_ended:
                run.report = replace(run.report, state=RunState.CANCELED, provider_status="cancelled")
                run.ended_at = self._clock.now()

    def owned_runs(
        self, since: datetime, *, after: str | None = None, recorded: Recorded = nothing_recorded
    ) -> OwnedPage:
        del recorded
        with self._call("owned_runs"):
            found = [run for run in self._owned_runs() if run.created_at >= since]
        return self._page(found, after)

    def former_runs(
        self,
        since: datetime | None,
        *,
        after: str | None = None,
        recorded: Recorded = nothing_recorded,
        needed: Needed = all_needed,
    ) -> OwnedPage:
        del recorded, needed
        with self._call("former_runs"):
            found = [run for run in self._former_runs() if _is_listed(run, since)]
        return self._page(found, after)

    def ended(self, since: datetime, *, after: str | None = None) -> EndedPage:
        with self._call("ended"):
            found = sorted((run.ended_at, id) for id, run in self._provider_runs.items() if run.ended_at)
        ids = [id for ended_at, id in found if ended_at >= since]
        begin = int(after or 0)
        end = begin + self._limits.status_batch
        return EndedPage(ids=ids[begin:end], following=str(end) if end < len(ids) else None)

    def delete_draft(self, id: ProviderRunId) -> bool:
        del id
        with self._call("delete_draft"):
            return False

    def details(self, id: ProviderRunId) -> RunDetails:
        with self._call("details"):
            if id not in self._provider_runs:
                raise Rejected(f"there is no run {id}")
            return self._provider_runs[id].details

    def fail_next(self, *errors: Exception, operation: str = "submit") -> None:
        """Let the next calls of `operation` raise these errors, one each, before they have any effect."""
        self._faults[operation].extend(_Fault(error, after_acting=False) for error in errors)

    def lose_next_answer(self, *, operation: str = "submit", error: Exception | None = None) -> None:
        """Let the next call of `operation` raise `error` after it has had its effect."""
        lost = error or OutcomeUnknown("the answer was lost")
        self._faults[operation].append(_Fault(lost, after_acting=True))

    def id_of(self, key: IdempotencyKey) -> ProviderRunId:
        """The provider run with this key; `KeyError` if it was never submitted."""
        return self._ids[key]

    def submission(self, id: ProviderRunId) -> Submission:
        """The submission of this provider run."""
        return self._provider_runs[id].submission

    def put(self, id: ProviderRunId, report: StatusReport, details: RunDetails | None = None) -> None:
        """Set the status of a run, and its details if they are given."""
        with self._lock:
            run = self._provider_runs[id]
            run.report = report
            run.ended_at = self._clock.now() if report.state.has_ended else None
            run.details = details or run.details

    def forget(self, id: ProviderRunId) -> None:
        """Delete a run, as a service does with old runs."""
        with self._lock:
            del self._provider_runs[id]

    def start_again(self, submission: Submission) -> ProviderRunId:
        """Start a second run for a key, as a faulty service does."""
        with self._lock:
            return self._create_run(
                ProviderRunId(f"again-{len(self._provider_runs) + 1}"), submission, self._clock.now()
            )

    def start_former(self, run_id: RunId, report: StatusReport = _WAITING) -> ProviderRunId:
        """Start a provider run as the former daemon did: under its own name, without a key."""
        request = WorkflowRequest(workflow_url="former", workflow_type="CWL", workflow_type_version="v1.2")
        submission = Submission(key=IdempotencyKey(f"WES-{run_id}"), run_id=run_id, request=request)
        with self._lock:
            id = ProviderRunId(f"former-{len(self._provider_runs) + 1}")
            self._provider_runs[id] = _ProviderRun(submission, self._clock.now(), report)
        return id

    def _start(self, submission: Submission) -> ProviderRunId:
        if submission.key not in self._ids:
            id = ProviderRunId(f"memory-{len(self._ids) + 1}")
            self._ids[submission.key] = self._create_run(id, submission, self._clock.now())
        return self._ids[submission.key]

    def _create_run(self, id: ProviderRunId, submission: Submission, created_at: datetime) -> ProviderRunId:
        self._provider_runs[id] = _ProviderRun(submission, created_at)
        self.started.append(submission.key)
        return id

    def _page(self, found: Sequence[OwnedRun], after: str | None) -> OwnedPage:
        begin = int(after or 0)
        end = begin + self._limits.status_batch
        return OwnedPage(runs=found[begin:end], following=str(end) if end < len(found) else None)

    def _owned_runs(self) -> Sequence[OwnedRun]:
        keys = ((id, run, as_key(run.submission.key)) for id, run in self._provider_runs.items())
        return [_owned_run(id, run, key) for id, run, key in keys if key]

    def _former_runs(self) -> Sequence[OwnedRun]:
        keys = ((id, run, key_of_former_name(run.submission.key)) for id, run in self._provider_runs.items())
        return [replace(_owned_run(id, run, key), is_former=True) for id, run, key in keys if key]

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


def _owned_run(id: ProviderRunId, run: _ProviderRun, key: IdempotencyKey) -> OwnedRun:
    return OwnedRun(
        id=id,
        key=key,
        created_at=run.created_at,
        state=run.report.state,
        provider_status=run.report.provider_status,
    )


def _is_listed(run: OwnedRun, since: datetime | None) -> bool:
    return not run.state.has_ended if since is None else run.created_at >= since


class PreparingMemoryProvider(MemoryProvider):
    """A `MemoryProvider` whose submissions have two steps: create a draft, then start the recorded draft.

    Attributes:
        drafts: the drafts that were not started.
        search_misses: whether searches do not find existing drafts, as in a service whose lists are not up to date.
    """

    idempotency = Idempotency.DRAFT

    def __init__(self, *, status_batch: int = 100, clock: Clock | None = None) -> None:
        super().__init__(status_batch=status_batch, clock=clock)
        self.drafts: dict[ProviderRunId, Submission] = {}
        self.search_misses = False
        self._drafted_at: dict[ProviderRunId, datetime] = {}
        self._numbers = 0

    def submit(self, submission: Submission) -> Accepted | Prepared:
        with self._call("submit"):
            if submission.key in self._ids:
                return Accepted(self._ids[submission.key])
            if submission.prepared_id is None:
                return Prepared(self._find_draft(submission.key) or self._create_draft(submission))
            return Accepted(self._start_draft(submission.prepared_id))

    def cancel(self, id: ProviderRunId) -> None:
        """Cancel the run; a draft is deleted."""
        with self._lock:
            draft = self.drafts.pop(id, None)
        if draft is None:
            super().cancel(id)

    def delete_draft(self, id: ProviderRunId) -> bool:
        with self._call("delete_draft"):
            return self.drafts.pop(id, None) is not None

    def draft_again(self, submission: Submission) -> ProviderRunId:
        """Create another draft for a key, like an attempt that does not find the earlier drafts."""
        with self._lock:
            return self._create_draft(submission)

    def _owned_runs(self) -> Sequence[OwnedRun]:
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
        return [*super()._owned_runs(), *drafts]

    def _find_draft(self, key: IdempotencyKey) -> ProviderRunId | None:
        if self.search_misses:
            return None
        return next((id for id, draft in self.drafts.items() if draft.key == key), None)

    def _create_draft(self, submission: Submission) -> ProviderRunId:
        self._numbers += 1
        id = ProviderRunId(f"draft-{self._numbers}")
        self.drafts[id] = submission
        self._drafted_at[id] = self._clock.now()
        return id

    def _start_draft(self, id: ProviderRunId) -> ProviderRunId:
        draft = self.drafts.pop(id, None)
        if draft is None:
            raise Rejected(f"draft {id} is gone")
        self._ids[draft.key] = self._create_run(id, draft, self._drafted_at[id])
        return id


class MemoryProviderDirectory:
    """A `ProviderDirectory` with a provider for each type, or the error that `provider` raises."""

    def __init__(self, providers: Mapping[ProviderType, WorkflowProvider | ProviderError]) -> None:
        self.providers = dict(providers)

    @property
    def enabled(self) -> Collection[ProviderType]:
        return [type for type, found in self.providers.items() if not isinstance(found, NotEnabled)]

    @property
    def known(self) -> Collection[ProviderType]:
        return list(self.providers)

    def provider(self, type: ProviderType) -> WorkflowProvider:
        found = self.providers.get(type) or NotEnabled(f"provider {type} is not set up here")
        if isinstance(found, ProviderError):
            raise found
        return found
