"""Deletes drafts that will never be started. A draft costs nothing, but a project must not fill up with drafts."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import ProviderError
from wes_daemon.application.ports.providers import Idempotency, ProviderDirectory
from wes_daemon.application.ports.reconcile_queries import ReconcileQueries
from wes_daemon.application.reconciling.comparison import Comparison
from wes_daemon.application.reconciling.discrepancies import DiscrepancyKind, Tolerances
from wes_daemon.application.reconciling.repairing import Repairer
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderType

_log = logging.getLogger(__name__)

# As far back as providers search for drafts of earlier attempts.
_WINDOW = timedelta(days=7)
_MAX_DRAFTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftReport:
    """The result of one pass.

    Attributes:
        kept: leftover drafts that could not be deleted, or that turned out to be needed.
    """

    deleted: int = 0
    kept: int = 0


class DeleteDrafts:
    """One pass over the drafts of each provider that submits in two steps, at most 100 drafts for each provider.

    A draft is deleted if it is owned, older than `tolerances.draft_age`, and will not be started by any daemon: another
    draft is recorded for its run, or the run's submission is finished. Drafts of foreign runs are kept.
    """

    def __init__(
        self,
        *,
        queries: ReconcileQueries,
        providers: ProviderDirectory,
        repairer: Repairer,
        clock: Clock,
        stop: StopSignal,
        tolerances: Tolerances,
        serving: Collection[ProviderType] | None = None,
    ) -> None:
        self._queries = queries
        self._providers = providers
        self._repairer = repairer
        self._clock = clock
        self._stop = stop
        self._tolerances = tolerances
        self._serving = providers.enabled if serving is None else serving

    def __call__(self) -> DraftReport:
        """Make one pass. The next pass retries the deletions that failed in this one."""
        results = [deleted for type in sorted(self._serving) for deleted in self._delete_at(type)]
        return DraftReport(deleted=sum(results), kept=len(results) - sum(results))

    def _delete_at(self, type: ProviderType) -> Sequence[bool]:
        try:
            return guarded(lambda: self._delete(type), otherwise=lambda _: [], during="delete-drafts", of=type)
        except ProviderError as error:
            # Submission meets the same error and logs it at a higher level.
            log_event(_log, logging.DEBUG, "drafts.cannot_ask", provider=type, reason=error)
            return []

    def _delete(self, type: ProviderType) -> Sequence[bool]:
        provider = self._providers.provider(type)
        if provider.limits.idempotency is not Idempotency.DRAFT:
            return []
        comparison = Comparison(
            type=type,
            provider=provider,
            queries=self._queries,
            clock=self._clock,
            tolerances=self._tolerances,
            stop=self._stop,
        )
        found = comparison.owned_runs(self._clock.now() - _WINDOW)
        leftover = (each for each in found if each.kind is DiscrepancyKind.LEFTOVER_DRAFT)
        # The list is read before the first deletion: a list that shrinks while it is read skips entries.
        return [
            self._repairer.repair(each, comparison=comparison, provider=provider).succeeded
            for each in list(islice(leftover, _MAX_DRAFTS))
            if not self._stop.is_raised
        ]
