"""Compares the database with the providers, and repairs the discrepancies on request."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Misconfigured, ProviderError, Rejected
from wes_daemon.application.ports.providers import ProviderDirectory
from wes_daemon.application.ports.reconcile_queries import ReconcileQueries
from wes_daemon.application.reconciling.adopt_inherited_runs import search_start
from wes_daemon.application.reconciling.comparison import Comparison
from wes_daemon.application.reconciling.discrepancies import (
    Discrepancy,
    DiscrepancyKind,
    Repair,
    Tolerances,
    adopt_oldest,
    unmatched_run,
)
from wes_daemon.application.reconciling.repairing import Repairer, RepairResult
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import DEFAULT_PROVIDER, ProviderType, RunSummary
from wes_daemon.domain.states import RunState

_log = logging.getLogger(__name__)

_DUPLICATES: Mapping[DiscrepancyKind, str] = {
    DiscrepancyKind.DUPLICATE_RUN: "discrepancy.duplicate_run",
    DiscrepancyKind.FORMER_DUPLICATE: "discrepancy.former_duplicate",
}
"""The log events of duplicates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileReport:
    """The result of a comparison.

    Attributes:
        discrepancies: of all providers, oldest first.
        compared: providers that were compared completely.
        not_compared: providers that could not be compared completely, each with the reason.
        not_configured: providers that are not configured and have never accepted a run, each with the error.
    """

    discrepancies: Sequence[Discrepancy] = ()
    compared: Collection[ProviderType] = ()
    not_compared: Mapping[ProviderType, str] = field(default_factory=dict)
    not_configured: Mapping[ProviderType, str] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether every provider could be compared and no discrepancy was found."""
        return not (self.discrepancies or self.not_compared)

    @property
    def repairable(self) -> Sequence[Discrepancy]:
        """The discrepancies that have a repair."""
        return [each for each in self.discrepancies if each.repair is not Repair.NONE]


class Reconcile:
    """Compares the database with the providers. Only `repair` changes anything."""

    def __init__(
        self,
        *,
        queries: ReconcileQueries,
        providers: ProviderDirectory,
        repairer: Repairer,
        clock: Clock,
        default_provider: ProviderType = DEFAULT_PROVIDER,
        in_use: Callable[[], Collection[ProviderType]] = tuple,
    ) -> None:
        """Compare nothing yet.

        Args:
            in_use: returns the providers of the runs that are followed, or wait.
        """
        self._queries = queries
        self._providers = providers
        self._repairer = repairer
        self._clock = clock
        self._default_provider = default_provider
        self._in_use = in_use

    def __call__(
        self,
        *,
        window: timedelta,
        tolerances: Tolerances,
        types: Collection[ProviderType] | None = None,
    ) -> ReconcileReport:
        """Compare the owned runs created within `window`, and every run that the database follows.

        The former daemon's runs are compared from the time on at which the oldest unexplained run was queued.
        """
        found: list[Discrepancy] = []
        unexplained = [each.run for each in self._queries.unexplained_runs()]
        now = self._clock.now()
        since = now - window
        former_since = min(since, search_start(unexplained, now)) if unexplained else since
        compared: list[ProviderType] = []
        not_compared: dict[ProviderType, str] = {}
        not_configured: dict[ProviderType, str] = {}
        types = {*self._providers.known, *self._in_use()} if types is None else types
        for type in sorted(types):
            discrepancies, error = self._compare(type, since, former_since, tolerances)
            found.extend(discrepancies)
            if error is None:
                compared.append(type)
            elif self._is_not_configured(type, error):
                not_configured[type] = str(error)
            else:
                not_compared[type] = str(error)
        found.extend(self._unmatched(unexplained, found, types))
        report = ReconcileReport(
            discrepancies=adopt_oldest(found),
            compared=compared,
            not_compared=not_compared,
            not_configured=not_configured,
        )
        _log_duplicates(report)
        return report

    def repair(self, found: Sequence[Discrepancy], *, tolerances: Tolerances) -> Sequence[RepairResult]:
        """Repair each discrepancy that the database still shows."""
        return [self._repair(each, tolerances) for each in found]

    def _compare(
        self, type: ProviderType, since: datetime, former_since: datetime, tolerances: Tolerances
    ) -> tuple[Sequence[Discrepancy], ProviderError | None]:
        """Return what was found, and the error that prevented the rest of the comparison."""
        found: list[Discrepancy] = []
        try:
            comparison = self._comparison(type, tolerances)
            found.extend(comparison.owned_runs(since))
            found.extend(comparison.followed_runs())
            found.extend(comparison.former_runs(former_since))
            orphaned = {each.run_id for each in found if each.kind is DiscrepancyKind.ORPHANED_RUN}
            found.extend(each for each in comparison.runs_of_ended_rows(since) if each.run_id not in orphaned)
        except ProviderError as error:
            return found, error
        return found, None

    def _unmatched(
        self, unexplained: Sequence[RunSummary], found: Sequence[Discrepancy], types: Collection[ProviderType]
    ) -> Iterator[Discrepancy]:
        """Yield the active runs for which no provider run was found."""
        explained = {each.run_id for each in found}
        for run in unexplained:
            provider = self._destination(run)
            if run.id not in explained and run.state not in (RunState.QUEUED, RunState.CANCELING) and provider in types:
                yield unmatched_run(run, provider=provider)

    def _destination(self, run: RunSummary) -> ProviderType:
        try:
            return run.destination(self._default_provider)
        except InvalidRequest:
            return self._default_provider

    def _repair(self, found: Discrepancy, tolerances: Tolerances) -> RepairResult:
        try:
            comparison = self._comparison(found.provider, tolerances)
            provider = self._providers.provider(found.provider)
        except ProviderError as error:
            return RepairResult(discrepancy=found, succeeded=False, message=str(error))
        return self._repairer.repair(found, comparison=comparison, provider=provider)

    def _comparison(self, type: ProviderType, tolerances: Tolerances) -> Comparison:
        return Comparison(
            type=type,
            provider=self._providers.provider(type),
            queries=self._queries,
            clock=self._clock,
            tolerances=tolerances,
        )

    def _is_not_configured(self, type: ProviderType, error: ProviderError) -> bool:
        """Whether the provider is not in use here, so that its error does not matter."""
        return isinstance(error, Rejected | Misconfigured) and not self._queries.has_accepted(type)


def _log_duplicates(report: ReconcileReport) -> None:
    for each in report.discrepancies:
        if each.kind in _DUPLICATES:
            log_event(
                _log,
                logging.ERROR,
                _DUPLICATES[each.kind],
                run_id=each.run_id,
                provider=each.provider,
                provider_id=each.provider_run_id,
                provider_status=each.provider_status,
            )
