"""Do database and providers agree? What does not is told, and put right where somebody wants that."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from wes_daemon.application.comparing import Comparison
from wes_daemon.application.discrepancies import Discrepancy, Kind, Patience, Remedy, one_adopted_each
from wes_daemon.application.mending import Mended, Mender
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Misconfigured, ProviderError, Rejected
from wes_daemon.application.ports.ledger import Ledger
from wes_daemon.application.ports.providers import ProviderDirectory
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.runs import ProviderType

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileReport:
    """How database and providers compare.

    Attributes:
        discrepancies: the oldest first, by their providers.
        compared: providers that were asked to the end.
        not_asked: why a provider could not be asked, or not to the end.
        not_set_up: why a provider is not there; none of its runs is in the database.
    """

    discrepancies: Sequence[Discrepancy] = ()
    compared: Collection[ProviderType] = ()
    not_asked: Mapping[ProviderType, str] = field(default_factory=dict)
    not_set_up: Mapping[ProviderType, str] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether everything could be asked and nothing was found."""
        return not (self.discrepancies or self.not_asked)

    @property
    def can_be_mended(self) -> Sequence[Discrepancy]:
        """Those that there is something to do about."""
        return [each for each in self.discrepancies if each.remedy is not Remedy.NONE]


class Reconcile:
    """Compares, and mends what the comparison has shown; a comparison alone changes nothing."""

    def __init__(self, *, ledger: Ledger, providers: ProviderDirectory, mender: Mender, clock: Clock) -> None:
        self._ledger = ledger
        self._providers = providers
        self._mender = mender
        self._clock = clock

    def __call__(
        self,
        *,
        window: timedelta,
        patience: Patience,
        among: Collection[ProviderType] = frozenset(ProviderType),
    ) -> ReconcileReport:
        """Compare what providers hold that was created within `window`, and every run that the database follows."""
        found: list[Discrepancy] = []
        compared: list[ProviderType] = []
        not_asked: dict[ProviderType, str] = {}
        not_set_up: dict[ProviderType, str] = {}
        for type in (each for each in ProviderType if each in among):
            trouble = self._compare(type, window, patience, found)
            if trouble is None:
                compared.append(type)
            elif self._is_not_set_up(type, trouble):
                not_set_up[type] = str(trouble)
            else:
                not_asked[type] = str(trouble)
        report = ReconcileReport(
            discrepancies=one_adopted_each(found), compared=compared, not_asked=not_asked, not_set_up=not_set_up
        )
        _log_duplicates(report)
        return report

    def mend(self, found: Sequence[Discrepancy], *, patience: Patience) -> Sequence[Mended]:
        """Put right what can be; each is looked at once more before."""
        return [self._mend(each, patience) for each in found]

    def _compare(
        self, type: ProviderType, window: timedelta, patience: Patience, found: list[Discrepancy]
    ) -> ProviderError | None:
        """Add what is found to `found`, and return what kept the rest from being asked for."""
        try:
            comparison = self._comparison(type, patience)
            found.extend(comparison.unrecorded(self._clock.now() - window))
            found.extend(comparison.followed())
        except ProviderError as error:
            return error
        return None

    def _mend(self, found: Discrepancy, patience: Patience) -> Mended:
        try:
            comparison, provider = self._comparison(found.provider, patience), self._providers.provider(found.provider)
        except ProviderError as error:
            return Mended(discrepancy=found, done=False, words=str(error))
        return self._mender.mend(found, comparison, provider)

    def _comparison(self, type: ProviderType, patience: Patience) -> Comparison:
        return Comparison(
            type=type,
            provider=self._providers.provider(type),
            ledger=self._ledger,
            clock=self._clock,
            patience=patience,
        )

    def _is_not_set_up(self, type: ProviderType, trouble: ProviderError) -> bool:
        """Whether nobody uses it here: then nobody misses it either."""
        return isinstance(trouble, Rejected | Misconfigured) and not self._ledger.has_used(type)


def _log_duplicates(report: ReconcileReport) -> None:
    for each in report.discrepancies:
        if each.kind is Kind.DUPLICATE_RUN:
            log_event(
                _log,
                logging.ERROR,
                "discrepancy.duplicate_run",
                run_id=each.run_id,
                provider=each.provider,
                provider_id=each.provider_run_id,
                provider_status=each.provider_status,
            )
