"""What the submission queue in memory reads from rows."""

from collections.abc import Mapping, Sequence

from wes_daemon.adapters.memory.store import SubmissionRow
from wes_daemon.domain.runs import PROVIDER_ID_TAG, ProviderRunId, ProviderType, Run, RunId, RunSummary
from wes_daemon.domain.states import RunState


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


def below_provider_limit(
    ready: Mapping[RunId, SubmissionRow],
    active: Mapping[ProviderType | None, int],
    per_provider_limits: Mapping[ProviderType, int],
) -> Sequence[RunId]:
    """The runs whose provider is below its limit."""
    full = {provider for provider, limit in per_provider_limits.items() if active.get(provider, 0) >= limit}
    return [run_id for run_id, row in ready.items() if row.provider not in full]
