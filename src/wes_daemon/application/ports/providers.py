"""What the core asks of a workflow provider, and the values that cross that line.

Providers never retry and never sleep.
A call ends in one of five ways: an answer, `Rejected`, `NotNow`, `OutcomeUnknown` or `Misconfigured`
(see `wes_daemon.application.ports.errors`). Anything else that is raised is a bug.
Every method may be called from several threads at once.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from wes_daemon.domain.runs import (
    Attachment,
    ProviderRunId,
    ProviderType,
    RunId,
    SubmissionKey,
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
    """

    key: SubmissionKey
    run_id: RunId
    request: WorkflowRequest
    tags: Mapping[str, object] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()
    prepared_id: ProviderRunId | None = None
    resumed: bool = False
    in_doubt_for: timedelta = timedelta(0)


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
class StatusReport:
    """What a service knows of one run at this moment.

    Attributes:
        state: our word for it; what cannot be read is `UNKNOWN`, a run that waits at the provider `INITIALIZING`.
        provider_status: the service's own word, verbatim.
        message: the service's words on why, for a person; empty where it has none.
    """

    state: RunState
    provider_status: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    message: str = ""


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
    """

    status_batch: int


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
