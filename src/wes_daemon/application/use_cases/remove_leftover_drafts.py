"""Drafts that will never be started, taken away: each costs nothing, but a project should not fill up with them."""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from wes_daemon.application.comparing import Comparison
from wes_daemon.application.discrepancies import Discrepancy, Kind, Patience
from wes_daemon.application.mending import Mender
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import ProviderError
from wes_daemon.application.ports.ledger import Ledger
from wes_daemon.application.ports.providers import ProviderDirectory, WorkflowProvider
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderType

_log = logging.getLogger(__name__)

# As far back as the provider itself looks for drafts of earlier attempts.
_WINDOW = timedelta(days=7)
_AT_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalReport:
    """What one pass did.

    Attributes:
        left: drafts that could not be removed this time, or turned out to be none that is left behind.
    """

    removed: int = 0
    left: int = 0


class RemoveLeftoverDrafts:
    """One pass over the drafts of providers that prepare, at most a hundred of each.

    A draft is removed when it bears our mark, is older than a day, and is one that the daemon will not start: another
    one is recorded, or the run is settled. Drafts of runs that are not in this database are left alone.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        providers: ProviderDirectory,
        mender: Mender,
        clock: Clock,
        stop: StopSignal,
        patience: Patience,
        serving: Collection[ProviderType] = frozenset(ProviderType),
    ) -> None:
        self._ledger = ledger
        self._providers = providers
        self._mender = mender
        self._clock = clock
        self._stop = stop
        self._patience = patience
        self._serving = serving

    def __call__(self) -> RemovalReport:
        """Make one pass; whatever cannot be asked or removed waits for the next one."""
        removed = [done for type in sorted(self._serving) for done in self._pass_over(type)]
        return RemovalReport(removed=sum(removed), left=len(removed) - sum(removed))

    def _pass_over(self, type: ProviderType) -> Sequence[bool]:
        try:
            return guarded(lambda: self._remove_from(type), otherwise=lambda _: [], during="remove-drafts", of=type)
        except ProviderError as error:
            # Whoever submits to this provider complains of the same, and louder.
            log_event(_log, logging.DEBUG, "drafts.cannot_ask", provider=type, reason=error)
            return []

    def _remove_from(self, type: ProviderType) -> Sequence[bool]:
        provider = self._providers.provider(type)
        if not provider.limits.prepares:
            return []
        comparison = Comparison(
            type=type,
            provider=provider,
            ledger=self._ledger,
            clock=self._clock,
            patience=self._patience,
            stop=self._stop,
        )
        # All of them are found before the first is removed, for a list that shrinks while it is read hides some.
        leftover = list(islice(self._leftover(comparison), _AT_MOST))
        return [self._remove(each, comparison, provider) for each in leftover if not self._stop.is_raised]

    def _leftover(self, comparison: Comparison) -> Iterator[Discrepancy]:
        found = comparison.unrecorded(self._clock.now() - _WINDOW)
        return (each for each in found if each.kind is Kind.LEFTOVER_DRAFT)

    def _remove(self, found: Discrepancy, comparison: Comparison, provider: WorkflowProvider) -> bool:
        return self._mender.mend(found, comparison, provider).done
