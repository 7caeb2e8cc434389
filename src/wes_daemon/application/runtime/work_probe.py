"""What the passes for one provider look at before they begin."""

from wes_daemon.application.ports.work_probe import WorkProbe
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import ProviderType, RunSummary


class ProviderWorkProbe:
    """The agenda, as far as it concerns one provider. No look writes anything, or waits for anybody who does."""

    def __init__(
        self, work_probe: WorkProbe, daemon_session: DaemonSession, *, serving: ProviderType, default: ProviderType
    ) -> None:
        """Look for what is for `serving`; runs whose provider cannot be told go with the `default` one."""
        self._work_probe = work_probe
        self._daemon_session = daemon_session
        self._default = default
        self._others = frozenset(ProviderType) - {serving}
        self._others_or_none = self._others if serving is default else self._others | {None}

    def is_queued(self) -> bool:
        """Whether there is a run to submit."""
        return self._work_probe.is_queued(self._destination, excluding=self._others_or_none)

    def has_takeovers(self) -> bool:
        """Whether there is a submission that somebody has begun and nobody works on; asked between two passes."""
        return self._work_probe.has_takeovers(self._daemon_session.id, excluding=self._others_or_none)

    def has_runs_to_adopt(self) -> bool:
        """Whether there is a run to be followed that was not submitted here, or was thought to have ended."""
        return self._work_probe.has_runs_to_adopt()

    def has_cancelled_runs(self) -> bool:
        """Whether somebody wants a run cancelled."""
        return self._work_probe.has_cancelled_runs(excluding=self._others)

    def has_runs_ended_elsewhere(self) -> bool:
        """Whether a service has ended or deleted a run by itself."""
        return self._work_probe.has_runs_ended_elsewhere(excluding=self._others)

    def is_due(self) -> bool:
        """Whether there is a run to be asked for."""
        return self._work_probe.is_due(excluding=self._others)

    def _destination(self, run: RunSummary) -> ProviderType | None:
        try:
            return run.destination(self._default)
        except InvalidRequest:
            return None
