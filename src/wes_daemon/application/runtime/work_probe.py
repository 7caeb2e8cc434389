"""The work probe of the passes for one provider."""

from wes_daemon.application.ports.work_probe import WorkProbe
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.domain.runs import NO_ENGINES, EngineProviders, ProviderType, RunSummary


class ProviderWorkProbe:
    """Whether the passes for one provider would find work. A probe writes nothing and waits for no lock."""

    def __init__(
        self,
        work_probe: WorkProbe,
        daemon_session: DaemonSession,
        *,
        serving: ProviderType,
        default: ProviderType,
        engines: EngineProviders = NO_ENGINES,
    ) -> None:
        """Probe for the provider `serving`. A run whose provider is unknown counts for the provider `default`."""
        self._work_probe = work_probe
        self._daemon_session = daemon_session
        self._default = default
        self._engines = engines
        self._serving = frozenset({serving})
        self._serving_with_unknown = frozenset({serving, None}) if serving == default else self._serving

    def has_queued_runs(self) -> bool:
        """Whether there is a run to submit."""
        return self._work_probe.has_queued_runs(self._destination, serving=self._serving_with_unknown)

    def has_takeovers(self) -> bool:
        """Whether there is a submission to take over. During a pass this includes the submissions of that pass."""
        return self._work_probe.has_takeovers(self._daemon_session.id, serving=self._serving_with_unknown)

    def has_runs_to_adopt(self) -> bool:
        """Whether there is a run to follow that was submitted elsewhere, or that is active again."""
        return self._work_probe.has_runs_to_adopt()

    def has_cancelled_runs(self) -> bool:
        """Whether there is a run to cancel."""
        return self._work_probe.has_cancelled_runs(serving=self._serving)

    def has_interrupted_runs(self) -> bool:
        """Whether a service has ended or deleted a run that is followed."""
        return self._work_probe.has_interrupted_runs(serving=self._serving)

    def has_runs_ended_elsewhere(self) -> bool:
        """Whether a service has ended or deleted a run."""
        return self._work_probe.has_runs_ended_elsewhere(serving=self._serving)

    def has_due_polls(self) -> bool:
        """Whether there is a run whose poll is due."""
        return self._work_probe.has_due_polls(serving=self._serving)

    def _destination(self, run: RunSummary) -> ProviderType | None:
        return run.destination_if_valid(self._default, self._engines)
