"""What the passes for one provider look at before they begin."""

from wes_daemon.application.incarnation import Incarnation
from wes_daemon.application.ports.agenda import Agenda
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import ProviderType, Run


class Looks:
    """The agenda, as far as it concerns one provider. No look writes anything, or waits for anybody who does."""

    def __init__(
        self, agenda: Agenda, incarnation: Incarnation, *, serving: ProviderType, default: ProviderType
    ) -> None:
        """Look for what is for `serving`; runs whose provider cannot be told go with the `default` one."""
        self._agenda = agenda
        self._incarnation = incarnation
        self._default = default
        self._others = frozenset(ProviderType) - {serving}
        self._others_or_none = self._others if serving is default else self._others | {None}

    def is_queued(self) -> bool:
        """Whether there is a run to submit."""
        return self._agenda.is_queued(self._destination, excluding=self._others_or_none)

    def is_left_behind(self) -> bool:
        """Whether there is a submission that somebody has begun and nobody works on; asked between two passes."""
        return self._agenda.is_left_behind(self._incarnation.id, excluding=self._others_or_none)

    def is_adoptable(self) -> bool:
        """Whether there is a run to be followed that was not submitted here, or was thought to have ended."""
        return self._agenda.is_adoptable()

    def is_cancelling(self) -> bool:
        """Whether somebody wants a run cancelled."""
        return self._agenda.is_cancelling(excluding=self._others)

    def is_overruled(self) -> bool:
        """Whether a service has ended or deleted a run by itself."""
        return self._agenda.is_overruled(excluding=self._others)

    def is_due(self) -> bool:
        """Whether there is a run to be asked for."""
        return self._agenda.is_due(excluding=self._others)

    def _destination(self, run: Run) -> ProviderType | None:
        try:
            return run.destination(self._default)
        except InvalidRequest:
            return None
