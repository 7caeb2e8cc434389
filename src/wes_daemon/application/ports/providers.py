"""The interface of a workflow provider and the values that cross it.

Providers never retry and never sleep.
A call ends in one of five ways: an answer, `Rejected`, `NotNow`, `OutcomeUnknown` or `Misconfigured`
(see `wes_daemon.application.ports.errors`). Any other exception is a bug.
Every method may be called from several threads at once.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from wes_daemon.domain.runs import (
    Attachment,
    IdempotencyKey,
    ProviderRunId,
    ProviderType,
    RunId,
    StatusReport,
    WorkflowRequest,
)
from wes_daemon.domain.states import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request on its way to a provider.

    Attributes:
        key: the same at every attempt for this run, from every process.
        prepared_id: the id that an earlier attempt returned as `Prepared`, once it is recorded.
        resumed: an earlier attempt may have started a provider run under this key.
        in_doubt_for: time since the claim before the first such attempt, on the store's clock; zero if there was none.
        queued_for: no call under this key, not even one that a restored database has lost, was made longer ago. None
            if that is not known: then a service that forgets keys must be searched for the run first.
        claimed_since: a time on this process's monotonic clock at which the caller had the claim. A draft that another
            process creates after it can no longer be recorded. None if it is unknown.
    """

    key: IdempotencyKey
    run_id: RunId
    request: WorkflowRequest
    tags: Mapping[str, object] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()
    prepared_id: ProviderRunId | None = None
    resumed: bool = False
    in_doubt_for: timedelta = timedelta(0)
    queued_for: timedelta | None = None
    claimed_since: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has the run under this id and will run it, or has run it."""

    id: ProviderRunId


@dataclass(frozen=True, slots=True)
class Prepared:
    """The provider made a draft under this id; it does not run and costs nothing.

    The caller records the id durably and submits again with it as `prepared_id`: only a recorded draft is started.
    """

    id: ProviderRunId


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTask:
    """One task, job or step of a provider run; times are aware, `stdout` and `stderr` are addresses.

    Attributes:
        id: unique within the run; the same at every call.
    """

    id: str
    name: str
    cmd: Sequence[str] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    stdout: str | None = None
    stderr: str | None = None
    exit_code: int | None = None
    system_logs: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """The outputs, logs and tasks of a provider run.

    Attributes:
        outputs: JSON-compatible, keyed by output name.
        stdout, stderr: addresses of the run's own logs.
        tasks: in the order in which they are listed.
    """

    outputs: Mapping[str, object] = field(default_factory=dict)
    stdout: str | None = None
    stderr: str | None = None
    exit_code: int | None = None
    system_logs: Sequence[str] = ()
    tasks: Sequence[ProviderTask] = ()


class Idempotency(Enum):
    """How a provider keeps the promise of one provider run per key."""

    KEY = "key"
    """The service starts a key once, however often it is sent."""
    DRAFT = "draft"
    """`submit` answers `Prepared`, and only a recorded draft is started. Drafts may remain."""
    AT_MOST_ONCE = "at_most_once"
    """The service offers neither. After a lost answer the provider searches for the run by its marker and never sends
    the request again; if the search proves nothing, the run needs review. The provider depends on
    `Submission.resumed`: only an attempt without it sends the request.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderLimits:
    """The page and batch sizes of a provider, and which requests it supports.

    Attributes:
        status_batch: ids in one call of `statuses`, at least 1.
        idempotency: how a submission is made single.
        fills_batches: whether a call of `statuses` costs the same for one id as for a full batch.
        sweeps_from: the number of ids from which on `statuses` lists all active runs, so that further ids cost nothing;
            None if it never does.
        ended_list: the name of the list that `ended` reads, equal in every process that reads the same list; None if
            the provider has no such list.
        why_unknown: why the provider may no longer know a run that it accepted, and where a person finds what became
            of it; `{id}` stands for the provider run id. Empty if there is nothing to add.
    """

    status_batch: int
    idempotency: Idempotency = Idempotency.KEY
    fills_batches: bool = False
    sweeps_from: int | None = None
    ended_list: str | None = None
    why_unknown: str = ""


_KEY_PREFIX = "wes-"
_FORMER_PREFIX = "WES-"
_LONGEST_KEY = 80


def as_key(text: str) -> IdempotencyKey | None:
    """Return the text as an idempotency key if it has the form of one, else None."""
    is_key = text.startswith(_KEY_PREFIX) and text.isprintable() and " " not in text and len(text) <= _LONGEST_KEY
    return IdempotencyKey(text) if is_key and text != _KEY_PREFIX else None


def run_id_of(key: IdempotencyKey) -> RunId:
    """Return the id of the WES run that the key names. The database may have no such run."""
    return RunId(key.removeprefix(_KEY_PREFIX))


def key_of(run_id: RunId) -> IdempotencyKey:
    """Return the key of a WES run."""
    return IdempotencyKey(f"{_KEY_PREFIX}{run_id}")


def key_of_former_name(name: str) -> IdempotencyKey | None:
    """Return the key of the WES run for which the former daemon named a provider run so; None for any other name.

    It named the provider runs of a run `WES-` and the run's id.
    """
    is_former = name.startswith(_FORMER_PREFIX)
    return as_key(f"{_KEY_PREFIX}{name.removeprefix(_FORMER_PREFIX)}") if is_former else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedRun:
    """A provider run that carries the run ownership marker, or one that the former daemon created.

    Attributes:
        key: of a run of the former daemon, the key under which this daemon would submit the WES run.
        created_at: on the provider's clock; aware.
        state, provider_status: as in `StatusReport`; a list may lack the reason of a failure.
        is_draft: whether `delete_draft` would delete it.
        is_former: whether the former daemon created it: it has the former name, and not the marker.
    """

    id: ProviderRunId
    key: IdempotencyKey
    created_at: datetime
    state: RunState
    provider_status: str
    is_draft: bool = False
    is_former: bool = False

    @property
    def run_id(self) -> RunId:
        """Return the id of the WES run that the key names. The database may have no such run."""
        return run_id_of(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedPage:
    """One page of owned runs.

    Attributes:
        following: the provider's token of the next page; None after the last page.
    """

    runs: Sequence[OwnedRun] = ()
    following: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedPage:
    """One page of runs that have ended.

    Attributes:
        following: the provider's token of the next page; None after the last page.
    """

    ids: Collection[ProviderRunId] = ()
    following: str | None = None


Recorded = Callable[[Collection[IdempotencyKey]], Mapping[IdempotencyKey, ProviderRunId]]
"""Returns the recorded provider run ids of the given keys; keys without one are absent."""


def nothing_recorded(keys: Collection[IdempotencyKey]) -> Mapping[IdempotencyKey, ProviderRunId]:
    """A `Recorded` for callers without a database: no key has a recorded provider run."""
    del keys
    return {}


Needed = Callable[[Sequence[OwnedRun]], Collection[ProviderRunId]]
"""Returns the ids of the listed runs about which the caller has to know more than the list contains."""


def all_needed(runs: Sequence[OwnedRun]) -> Collection[ProviderRunId]:
    """A `Needed` that leaves out no run."""
    return [run.id for run in runs]


class WorkflowProvider(Protocol):
    """A service that executes runs."""

    @property
    def limits(self) -> ProviderLimits:
        """Page and batch sizes; constant."""

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """Submit the run. Idempotent by `submission.key`.

        The same key never starts a second run: not after a lost answer, not from another process, and not after
        `Accepted`. After `Accepted` the same call returns the same id again. For a provider that is
        `Idempotency.AT_MOST_ONCE` this holds if every attempt but the first one is `resumed`.
        A provider that cannot promise this in one step answers `Prepared` first.

        Raises:
            Rejected: this provider can never run the request, and no call with this key has started a run.
            NotNow: certainly nothing was started.
            OutcomeUnknown: a run may have been started; `Unprovable` if no further call can find out.
            Misconfigured: nothing can be submitted until a person acts.
        """

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """Return the provider's current status of each run.

        Args:
            ids: at most `limits.status_batch` ids, in any order; may be empty.

        Returns:
            One report per known id. Unknown ids are absent; unreadable ones are `UNKNOWN`.

        Raises:
            NotNow: the provider is throttling or unreachable; nothing was changed.
            Misconfigured: no request is answered until a person acts.
        """

    def cancel(self, id: ProviderRunId) -> None:
        """Ask the provider to stop the run; returns before the run has stopped.

        Repeating it, or cancelling an ended or unknown run, does nothing. A draft is deleted.

        Raises:
            NotNow, OutcomeUnknown: the call may be repeated.
            Misconfigured: no request is answered until a person acts.
        """

    def owned_runs(
        self,
        since: datetime,
        *,
        after: str | None = None,
        recorded: Recorded = nothing_recorded,
        needed: Needed = all_needed,
    ) -> OwnedPage:
        """Return one page of the owned runs that were created since then, drafts included.

        Reading on until `following` is None returns each run at least once, in no particular order. Runs that
        were created or deleted during the reading, or shortly before it, may be missing: lists are updated late.

        Args:
            after: the `following` of the page before; None for the first page.
            recorded: saves one request for each recorded run, if the provider's list is incomplete.
            needed: chooses the runs to return, if each of them costs a further request.

        Raises:
            NotNow: the same call may work later.
            Misconfigured: no request is answered until a person acts.
        """

    def former_runs(
        self,
        since: datetime | None,
        *,
        after: str | None = None,
        recorded: Recorded = nothing_recorded,
        needed: Needed = all_needed,
    ) -> OwnedPage:
        """Return one page of the runs that the former daemon created, by their names, drafts included.

        Reading works as for `owned_runs`. The page is empty if the former daemon did not use this provider.

        Args:
            since: only runs that were created since then; None for the runs that are active now, without drafts.
            after: the `following` of the page before; None for the first page.
            recorded, needed: as for `owned_runs`.

        Raises:
            NotNow: the same call may work later.
            Misconfigured: no request is answered until a person acts.
        """

    def ended(self, since: datetime, *, after: str | None = None) -> EndedPage:
        """Return one page of runs that ended since then, as a hint: some may be foreign, some may be missing.

        The page is empty if `limits.ended_list` is None. Runs are in the order of their end, if the list is sorted.

        Args:
            after: the `following` of the page before; None for the first page.

        Raises:
            NotNow: the same call may work later.
            Misconfigured: no request is answered until a person acts.
        """

    def delete_draft(self, id: ProviderRunId) -> bool:
        """Delete a draft; a run that was started, has ended or is unknown stays as it is.

        Returns:
            Whether this call deleted it.

        Raises:
            NotNow, OutcomeUnknown: the call may be repeated.
            Misconfigured: no request is answered until a person acts.
        """

    def details(self, id: ProviderRunId) -> RunDetails:
        """Return outputs, logs and tasks of a run, as far as they are known.

        Raises:
            Rejected: the provider does not know the run, or will never return its details.
            NotNow: the same call may work later.
            Misconfigured: no request is answered until a person acts.
        """


class ProviderDirectory(Protocol):
    """The providers of this process by name."""

    @property
    def enabled(self) -> Collection[ProviderType]:
        """The providers that this process serves; constant."""

    @property
    def known(self) -> Collection[ProviderType]:
        """The providers for which this process has a plug-in or settings, whether they are enabled or not; constant."""

    def provider(self, type: ProviderType) -> WorkflowProvider:
        """Return the provider; it is built at the first call and kept.

        Raises:
            NotEnabled: it is not enabled here; the message says what it lacks.
            Misconfigured: its configuration is wrong; the message says what fixes it.
        """
