"""How runs are submitted: how many at once, how often, and for how long."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from wes_daemon.application.ports.submissions import ClaimedRun
from wes_daemon.domain.runs import PROVIDER_TYPE_TAG, EngineProviders, ProviderType, RunSummary
from wes_daemon.domain.states import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionPolicy:
    """How runs are submitted.

    Attributes:
        concurrency_limit: how many runs may be active at once, over all daemons.
        per_provider_limits: how many runs of one provider may be active at once. For a provider
            without an entry only `concurrency_limit` applies.
        share_tag: the tag whose values divide the runs into groups with fair shares; None for one group.
        timeout: how long submissions of a run may fail before it ends, and how long it may be in doubt before it
            needs review.
        attempts: how many submissions of a run may fail before it ends; None for any number.
        batch: how many claimed runs may be unrecorded at a time. The thread pool decides how many of them are
            submitted at once.
        default_provider: the provider of runs whose tags and workflow engine name none.
        engine_providers: the providers that workflow engines name.
        known_providers: the providers whose active runs are followed that another program has started; None for all.
        first_poll_after: time from the acceptance of a run to its first poll.
        first_wait, longest_wait: the wait after the first failed submission, and its maximum. Each further failure
            doubles the wait.
    """

    concurrency_limit: int
    per_provider_limits: Mapping[ProviderType, int]
    share_tag: str | None
    timeout: timedelta
    attempts: int | None
    batch: int
    default_provider: ProviderType
    first_poll_after: timedelta
    engine_providers: EngineProviders = field(default_factory=dict)
    known_providers: Collection[ProviderType] | None = None
    first_wait: timedelta = timedelta(seconds=5)
    longest_wait: timedelta = timedelta(minutes=10)

    def destination(self, run: RunSummary) -> ProviderType | None:
        """The provider of a run; None if it cannot be determined.

        Another program may use the same table and tags for its own services: an active row that names none of
        `known_providers` is not this daemon's.
        """
        provider = run.destination_if_valid(self.default_provider, self.engine_providers)
        is_queued = run.state is RunState.QUEUED
        return provider if is_queued or self.known_providers is None or provider in self.known_providers else None

    def advice(self, run: RunSummary, provider: ProviderType) -> str:
        """Why the run went to this provider and how another is chosen, as the end of an error message.

        Empty if the tags of the run name the provider: then its user has chosen it.
        """
        if run.tag_values.get(PROVIDER_TYPE_TAG):
            return ""
        others = " or ".join(sorted(name for name in self.known_providers or () if name != provider))
        advice = f"the tag {PROVIDER_TYPE_TAG} chooses another provider{f': {others}' if others else ''}"
        return f"; {self._reason_for(run, provider)}; {advice}"

    def _reason_for(self, run: RunSummary, provider: ProviderType) -> str:
        if run.engine_name in self.engine_providers:
            return f"workflow_engine {run.workflow_engine!r} stands for {provider} (DAEMON_ENGINE_PROVIDERS)"
        default = f"{provider} is the default provider (DAEMON_DEFAULT_PROVIDER)"
        if not run.engine_name:
            return default
        return f"{default}, and workflow_engine {run.workflow_engine!r} is not in DAEMON_ENGINE_PROVIDERS"

    def wait_after(self, attempts: int, retry_after: timedelta | None = None) -> timedelta:
        """The wait after a failed submission.

        Args:
            attempts: how many submissions failed before it.
            retry_after: the wait that the service requires. It may exceed `longest_wait`.
        """
        doubled = self.first_wait * (1 << min(attempts, 30))
        return max(min(doubled, self.longest_wait), retry_after or timedelta(0))

    def is_exhausted(self, claimed: ClaimedRun) -> bool:
        """Whether a run whose submission has just failed has used up its attempts or its time."""
        has_no_attempts_left = self.attempts is not None and claimed.attempts + 1 >= self.attempts
        return has_no_attempts_left or claimed.failing_for >= self.timeout

    def is_in_doubt_too_long(self, claimed: ClaimedRun) -> bool:
        """Whether a run has been in doubt for so long that it needs review."""
        return claimed.in_doubt_for >= self.timeout
