"""Compares the database with the providers, and repairs the discrepancies on request."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Misconfigured, ProviderError, Rejected
from wes_daemon.application.ports.providers import ProviderDirectory
from wes_daemon.application.ports.reconcile_queries import ReconcileQueries
from wes_daemon.application.reconciling.comparison import Comparison
from wes_daemon.application.reconciling.discrepancies import (
    Discrepancy,
    DiscrepancyKind,
    Repair,
    Tolerances,
    adopt_oldest,
)
from wes_daemon.application.reconciling.repairing import Repairer, RepairResult
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.runs import ProviderType

_log = logging.getLogger(__name__)


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
        self, *, queries: ReconcileQueries, providers: ProviderDirectory, repairer: Repairer, clock: Clock
    ) -> None:
        self._queries = queries
        self._providers = providers
        self._repairer = repairer
        self._clock = clock

    def __call__(
        self,
        *,
        window: timedelta,
        tolerances: Tolerances,
        types: Collection[ProviderType] = frozenset(ProviderType),
    ) -> ReconcileReport:
        """Compare the owned runs created within `window`, and every run that the database follows."""
        found: list[Discrepancy] = []
        compared: list[ProviderType] = []
        not_compared: dict[ProviderType, str] = {}
        not_configured: dict[ProviderType, str] = {}
        for type in (each for each in ProviderType if each in types):
            discrepancies, error = self._compare(type, window, tolerances)
            found.extend(discrepancies)
            if error is None:
                compared.append(type)
            elif self._is_not_configured(type, error):
                not_configured[type] = str(error)
            else:
                not_compared[type] = str(error)
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
        self, type: ProviderType, window: timedelta, tolerances: Tolerances
    ) -> tuple[Sequence[Discrepancy], ProviderError | None]:
        """Return what was found, and the error that prevented the rest of the comparison."""
        found: list[Discrepancy] = []
        try:
            comparison = self._comparison(type, tolerances)
            found.extend(comparison.owned_runs(self._clock.now() - window))
            found.extend(comparison.followed_runs())
        except ProviderError as error:
            return found, error
        return found, None

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
        if each.kind is DiscrepancyKind.DUPLICATE_RUN:
            log_event(
                _log,
                logging.ERROR,
                "discrepancy.duplicate_run",
                run_id=each.run_id,
                provider=each.provider,
                provider_id=each.provider_run_id,
                provider_status=each.provider_status,
            )
