"""What the core asks of a workflow provider, and the values that cross that line.

Providers never retry and never sleep.
A call ends in one of five ways: an answer, `Rejected`, `NotNow`, `OutcomeUnknown` or `Misconfigured`
(see `wes_daemon.application.ports.errors`). Anything else that is raised is a bug.
Every method may be called from several threads at once.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
        key: the same at every attempt for this run, from whichever process.
        prepared_id: what an earlier attempt returned as `Prepared`, once that is recorded.
        resumed: an earlier attempt may have started something under this key.
        in_doubt_for: how long ago the first such attempt was, on the store's clock; zero where there was none.
        held_since: when the caller held the run alone at the latest, on this process's monotonic clock: whatever
            others have made before, and only that, may be recorded and start. None where nobody can tell.
    """

    key: IdempotencyKey
    run_id: RunId
    request: WorkflowRequest
    tags: Mapping[str, object] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()
    prepared_id: ProviderRunId | None = None
    resumed: bool = False
    in_doubt_for: timedelta = timedelta(0)
    claimed_since: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider holds the run under this id and will run it, or has done so."""

    id: ProviderRunId


@dataclass(frozen=True, slots=True)
class Prepared:
    """Something exists at the provider under this id, but it does not run and costs nothing.

    The caller records the id durably and submits again with it as `prepared_id`;
    only what is recorded is ever started.
    """

    id: ProviderRunId


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTask:
    """One task or job or step of a provider run; times are aware, `stdout` and `stderr` addresses.

    Attributes:
        id: what tells it from the run's other tasks; the same at every call.
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
    """Everything else that a provider can tell of a run.

    Attributes:
        outputs: JSON-compatible, keyed by output name.
        stdout, stderr: addresses of the run's own logs.
        tasks: in the order in which they should be listed.
    """

    outputs: Mapping[str, object] = field(default_factory=dict)
    stdout: str | None = None
    stderr: str | None = None
    exit_code: int | None = None
    system_logs: Sequence[str] = ()
    tasks: Sequence[ProviderTask] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderLimits:
    """What one call to a provider may carry.

    Attributes:
        status_batch: ids in one call of `statuses`, at least 1.
        prepares: whether `submit` may answer `Prepared`, so that something prepared may be left behind.
        fills_batches: whether a call of `statuses` costs the service the same for one id as for a batch of them.
        sweeps_from: from how many ids on `statuses` goes through everything that is active, so that further ids cost
            nothing more; None where it never does.
        ended_list: what `ended` reads, by a name that is the same in every process that reads the same; None where
            the service has no such list.
    """

    status_batch: int
    prepares: bool = False
    fills_batches: bool = False
    sweeps_from: int | None = None
    ended_list: str | None = None


_MARK = "wes-"
_LONGEST_KEY = 80


def as_key(text: str) -> IdempotencyKey | None:
    """The submission key that a name or the like is, as far as its form tells; None where it can be none."""
    is_key = text.startswith(_MARK) and text.isprintable() and " " not in text and len(text) <= _LONGEST_KEY
    return IdempotencyKey(text) if is_key and text != _MARK else None


def run_id_of(key: IdempotencyKey) -> RunId:
    """The WES run that the key is of, whether or not there is one."""
    return RunId(key.removeprefix(_MARK))


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedRun:
    """What a provider holds under a submission's key.

    Attributes:
        created_at: on the service's clock; aware.
        state, provider_status: as in `StatusReport`, as far as a list tells; why a run has failed may be missing in it.
        is_draft: only prepared, so that `discard` would remove it.
    """

    id: ProviderRunId
    key: IdempotencyKey
    created_at: datetime
    state: RunState
    provider_status: str
    is_draft: bool = False

    @property
    def run_id(self) -> RunId:
        """The WES run that the key is of, whether or not there is one."""
        return run_id_of(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedPage:
    """A part of what bears our marks.

    Attributes:
        following: where the next part begins, in the provider's own words; None after the last.
    """

    runs: Sequence[OwnedRun] = ()
    following: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedPage:
    """A part of what has ended.

    Attributes:
        following: where the next part begins, in the provider's own words; None after the last.
    """

    ids: Collection[ProviderRunId] = ()
    following: str | None = None


Recorded = Callable[[Collection[IdempotencyKey]], Mapping[IdempotencyKey, ProviderRunId]]
"""What the caller has on record for some keys; those without a provider's run are absent."""


def nothing_recorded(keys: Collection[IdempotencyKey]) -> Mapping[IdempotencyKey, ProviderRunId]:
    """For callers that keep no record."""
    del keys
    return {}


class WorkflowProvider(Protocol):
    """A service that runs workflows."""

    @property
    def limits(self) -> ProviderLimits:
        """What one call may carry; constant."""

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """Hand the run over. Idempotent by `submission.key`.

        The same key never starts a second run: not when the first answer was lost, not from another process,
        not when called again after `Accepted`, which returns the same id.
        A provider that cannot promise this in one step answers `Prepared` first.

        Raises:
            Rejected: the request can never work here, and no call with this key has ever started anything.
            NotNow: certainly nothing was started.
            OutcomeUnknown: perhaps it was; `Unprovable` where asking again will never tell.
            Misconfigured: nothing can be submitted until a person acts.
        """

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """Report what the service knows of each run at this moment.

        Args:
            ids: at most `limits.status_batch` of them; order does not matter, none is allowed.

        Returns:
            One report per known id. Ids that the service does not know are absent.

        Raises:
            NotNow: throttled or unreachable.
            Misconfigured: nothing can be asked until a person acts.
        """

    def cancel(self, id: ProviderRunId) -> None:
        """Ask the service to stop the run; returns before it has stopped.

        Asking twice, for an ended run, or for an id that the service does not know, does nothing.
        What is only prepared is removed.

        Raises:
            NotNow, OutcomeUnknown: ask again.
            Misconfigured: nothing can be asked until a person acts.
        """

    def owned_runs(
        self, since: datetime, *, after: str | None = None, recorded: Recorded = nothing_recorded
    ) -> OwnedPage:
        """Tell a part of what bears the key of a submission and was created since then, drafts included.

        Going on from `following` until there is none tells each at least once, in no promised order.
        What is created or removed meanwhile, or was a moment ago, may be missing: lists lag behind.

        Args:
            after: the `following` of the part before; None begins.
            recorded: spares a service whose lists do not tell everything a question for each run that is on record.

        Raises:
            NotNow: the same call may work later.
            Misconfigured: nothing can be asked until a person acts.
        """

    def ended(self, since: datetime, *, after: str | None = None) -> EndedPage:
        """Tell a part of what has ended since then, as a hint: the runs of others too, and maybe not all of ours.

        Nothing where `limits.ended_list` is None. In the order in which they ended, as far as the service has one.

        Args:
            after: the `following` of the part before; None begins.

        Raises:
            NotNow: the same call may work later.
            Misconfigured: nothing can be asked until a person acts.
        """

    def delete_draft(self, id: ProviderRunId) -> bool:
        """Remove what is only prepared; what was started meanwhile, has ended or is not known stays as it is.

        Returns:
            Whether this call has removed it.

        Raises:
            NotNow, OutcomeUnknown: ask again.
            Misconfigured: nothing can be asked until a person acts.
        """

    def details(self, id: ProviderRunId) -> RunDetails:
        """Outputs, logs and tasks of a run, as far as they are known.

        Raises:
            Rejected: the service does not know the run, or will never tell.
            NotNow: ask again.
            Misconfigured: nothing can be asked until a person acts.
        """


class ProviderDirectory(Protocol):
    """Which provider serves which type, in this process."""

    def provider(self, type: ProviderType) -> WorkflowProvider:
        """The provider, made when first asked for and kept.

        Raises:
            Rejected: it is not set up here; the message names the settings that would do it.
            Misconfigured: it is set up wrongly; the message says what to mend.
        """
