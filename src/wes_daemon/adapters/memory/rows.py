"""What the submission queue in memory reads from rows."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from wes_daemon.adapters.memory.store import SubmissionRow, Tables
from wes_daemon.application.ports.errors import NotInReview
from wes_daemon.application.ports.submissions import COUNTED, SubmissionState
from wes_daemon.domain.runs import PROVIDER_ID_TAG, ProviderRunId, ProviderType, Run, RunId, RunSummary
from wes_daemon.domain.states import RunState

ENROLLED_AS_ACCEPTED = (
    RunState.INITIALIZING,
    RunState.RUNNING,
    RunState.PAUSED,
    RunState.UNKNOWN,
    RunState.CANCELING,
)
"""The states of rows that are followed if their tags name a provider run."""

_WAITING_OR_CANCELLED = (RunState.QUEUED, RunState.CANCELING, RunState.CANCELED)


def provider_id_in_tags(run: RunSummary) -> ProviderRunId | None:
    """The provider run that the tags name, if they name one."""
    found = run.tags.get(PROVIDER_ID_TAG) if isinstance(run.tags, Mapping) else None
    return ProviderRunId(found) if isinstance(found, str) and found.strip() else None


def run_state(runs: Mapping[RunId, Run], run_id: RunId) -> RunState | None:
    """The state of the run's row; None if there is none."""
    run = runs.get(run_id)
    return run.state if run else None


def known_state(state: RunState) -> RunState:
    """The known state of a run at its provider. `CANCELING` is a request, and nothing is known of `UNKNOWN`."""
    return RunState.INITIALIZING if state in (RunState.CANCELING, RunState.UNKNOWN) else state


def next_runs(
    submissions: Collection[SubmissionRow],
    ready: dict[RunId, SubmissionRow],
    concurrency_limit: int,
    per_provider_limits: Mapping[ProviderType, int],
) -> Iterator[RunId]:
    """The ready runs in the order of their fair shares, as long as there are free slots."""
    active = [row for row in submissions if row.state in COUNTED]
    by_provider, by_share = Counter(row.provider for row in active), Counter(row.share for row in active)
    while by_provider.total() < concurrency_limit and (
        claimable := _below_provider_limit(ready, by_provider, per_provider_limits)
    ):
        run_id = min(claimable, key=lambda id: by_share[ready[id].share])
        row = ready.pop(run_id)
        by_provider[row.provider] += 1
        by_share[row.share] += 1
        yield run_id


def not_in_review(run_id: RunId) -> NotInReview:
    """The error for a decision about a run that does not need review."""
    return NotInReview(f"run {run_id}: it does not need review, so there is nothing to decide")


def withdrawn_runs(tables: Tables) -> Sequence[RunId]:
    """The runs that were never sent and are no longer queued."""
    ready = [run_id for run_id, row in tables.submissions.items() if row.state is SubmissionState.READY]
    return [run_id for run_id in ready if run_state(tables.runs, run_id) is not RunState.QUEUED]


def waiting_runs(tables: Tables, provider: ProviderType, *, enrolled_until: datetime) -> Sequence[RunId]:
    """The queued runs of a provider that were never sent and were enrolled by then, oldest first."""
    return [
        run_id
        for run_id, row in tables.submissions.items()
        if (row.state, row.provider) == (SubmissionState.READY, provider)
        and row.enrolled_at <= enrolled_until
        and run_state(tables.runs, run_id) is RunState.QUEUED
    ]


def may_be_left(run: RunSummary) -> bool:
    """Whether another daemon may have submitted the run, and its tags name no provider run to adopt."""
    if run.state in ENROLLED_AS_ACCEPTED:
        return provider_id_in_tags(run) is None
    return run.state in _WAITING_OR_CANCELLED


def lacks_end_time(run: Run) -> bool:
    """Whether a service has ended the run without an end time."""
    return run.state.has_ended and run.end_time is None


def _below_provider_limit(
    ready: Mapping[RunId, SubmissionRow],
    active: Mapping[ProviderType | None, int],
    per_provider_limits: Mapping[ProviderType, int],
) -> Sequence[RunId]:
    """The runs whose provider is below its limit."""
    full = {provider for provider, limit in per_provider_limits.items() if active.get(provider, 0) >= limit}
    return [run_id for run_id, row in ready.items() if row.provider not in full]
