"""Adopts the runs that the former daemon has left, without a recorded provider run for many of them."""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Misconfigured, NotEnabled, ProviderError
from wes_daemon.application.ports.providers import ProviderDirectory, WorkflowProvider
from wes_daemon.application.ports.reconcile_queries import ReconcileQueries, RepairUnits, UnexplainedRun
from wes_daemon.application.ports.submissions import Destination
from wes_daemon.application.reconciling.comparison import Comparison
from wes_daemon.application.reconciling.discrepancies import (
    Discrepancy,
    DiscrepancyKind,
    Repair,
    Tolerances,
    adopt_oldest,
)
from wes_daemon.application.reconciling.repairing import Repairer
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import DEFAULT_PROVIDER, ProviderType, RunId, RunSummary
from wes_daemon.domain.states import RunState

_log = logging.getLogger(__name__)

_WAITING = (RunState.QUEUED, RunState.CANCELING)
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
# The clocks of the WES service and of a provider differ, and a list has whole seconds.
_MARGIN = timedelta(days=1)
_NO_TOLERANCE = Tolerances(recent=timedelta(0))
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedReport:
    """The result of one pass.

    Attributes:
        adopted: runs whose provider run was found and is followed from now on.
        released: queued or cancelled runs that no provider has; they are submitted, or end.
        cancelled: provider runs of cancelled rows to which the cancellation was passed on.
        unmatched: active runs for which every provider was searched, and that no provider has.
        not_searched: runs whose provider could not be searched this time.
    """

    adopted: int = 0
    released: int = 0
    cancelled: int = 0
    unmatched: Collection[RunId] = ()
    not_searched: Collection[RunId] = ()


def search_start(runs: Iterable[RunSummary], now: datetime) -> datetime:
    """Return the time from which on the provider runs of these runs may have been created."""
    return min((_earliest_creation(run, now) for run in runs), default=_LONG_AGO)


def _earliest_creation(run: RunSummary, now: datetime) -> datetime:
    # A service may store any time, such as the year 1 for none, or one in the future.
    is_plausible = run.start_time is not None and _LONG_AGO < run.start_time <= now + _MARGIN
    return run.start_time - _MARGIN if run.start_time and is_plausible else _LONG_AGO


class AdoptInheritedRuns:
    """One pass over the runs that the former daemon has left without a recorded provider run.

    The provider that a run's tags name is searched for the run's former name. For a run whose tags name none, these are
    searched: the provider of its workflow engine, the default provider, the former daemon's default, and for an active
    run all others.

    - A run that is found is adopted, unless the former daemon has only created a draft.
    - A queued or cancelled run that is not found is released.
    - An active run that is not found stays as it is: it is never submitted again.
    - A provider run that goes on although its row was cancelled is cancelled.
    """

    def __init__(
        self,
        *,
        queries: ReconcileQueries,
        units: RepairUnits,
        providers: ProviderDirectory,
        repairer: Repairer,
        clock: Clock,
        stop: StopSignal,
        default_provider: ProviderType,
        destination: Destination,
        hint: Callable[[], None] = lambda: None,
    ) -> None:
        """Search nothing yet.

        Args:
            destination: returns the provider to which a run would be submitted.
            hint: reports that runs may be submitted or cancelled now.
        """
        self._queries = queries
        self._units = units
        self._providers = providers
        self._repairer = repairer
        self._clock = clock
        self._stop = stop
        self._default_provider = default_provider
        self._destination = destination
        self._hint = hint
        self._reported: frozenset[RunId] = frozenset()
        self._throttle = LogThrottle(clock, every=timedelta(minutes=10))

    def __call__(self) -> InheritedReport:
        """Make one pass. It costs two queries, and no call to a provider, if nothing is left."""
        unexplained = self._queries.unexplained_runs()
        report = self._adopt_or_release(unexplained) if unexplained else InheritedReport()
        cancelled = self._pass_cancellations_on() if self._queries.has_inherited_ended_runs() else 0
        if report.released:
            self._hint()
        self._log_unmatched(frozenset(report.unmatched))
        return replace(report, cancelled=cancelled)

    def has_waiting_runs(self) -> bool:
        """Whether a run waits for the search: it must not wait for the next regular pass."""
        return self._queries.has_inherited_runs()

    def _adopt_or_release(self, unexplained: Sequence[UnexplainedRun]) -> InheritedReport:
        searches = _Searches(
            {each.run.id: self._candidates(each.run) for each in unexplained},
            {each.run.id: self._destination(each.run) for each in unexplained},
            unexplained,
            self._clock.now(),
        )
        found: list[Discrepancy] = []
        for type, since in searches.since.items():
            found += searches.fail(type) if self._stop.is_raised else self._search(type, since, searches)
        adopted = self._adopt(adopt_oldest(each for each in found if each.run_id in searches.candidates))
        missing = [each.run for each in unexplained if each.run.id not in adopted]
        searched = [run for run in missing if searches.is_complete(run.id)]
        return InheritedReport(
            adopted=len(adopted),
            released=self._release([run.id for run in searched if run.state in _WAITING]),
            unmatched=tuple(run.id for run in searched if run.state not in _WAITING),
            not_searched=tuple(run.id for run in missing if not searches.is_complete(run.id)),
        )

    def _candidates(self, run: RunSummary) -> Mapping[ProviderType, bool]:
        """Return the providers that may have the run, and whether the result of each is indispensable."""
        if (named := _named_provider(run)) is not None:
            # The former daemon had no plug-ins: it cannot have sent the run to a provider that is not known here.
            return {named: True} if named in self._providers.known else {}
        likely = (self._destination(run), self._default_provider, DEFAULT_PROVIDER)
        candidates = {type: True for type in likely if type is not None}
        others = () if run.state in _WAITING else self._providers.known
        return candidates | {type: False for type in others if type not in candidates}

    def _search(self, type: ProviderType, since: datetime, searches: "_Searches") -> Sequence[Discrepancy]:
        """Return what the provider has; note in `searches` if it could not be searched."""
        try:
            provider = self._providers.provider(type)
        except NotEnabled as error:
            # A forgotten setting must not release the runs that this provider may have.
            if searches.are_bound_for(type):
                self._log_failure(type, error)
            searches.not_set_up.add(type)
            return []
        except Misconfigured as error:
            searches.failed.add(type)
            self._log_failure(type, error)
            return []
        return guarded(
            lambda: self._read_former_runs(type, provider, since, searches),
            otherwise=lambda _: searches.fail(type),
            during="inherited-runs",
            of=type,
        )

    def _read_former_runs(
        self, type: ProviderType, provider: WorkflowProvider, since: datetime, searches: "_Searches"
    ) -> Sequence[Discrepancy]:
        try:
            found = list(self._comparison(type, provider).former_runs(since))
        except ProviderError as error:
            self._log_failure(type, error)
            return searches.fail(type)
        return searches.fail(type) if self._stop.is_raised else found

    def _adopt(self, found: Sequence[Discrepancy]) -> Collection[RunId]:
        """Adopt runs, and return all that a provider has, also those that another daemon has claimed."""
        at_provider: set[RunId] = set()
        for each in found:
            if each.kind is DiscrepancyKind.FORMER_DUPLICATE:
                self._log_duplicate(each)
            if each.kind is not DiscrepancyKind.UNKNOWN_RUN:
                continue
            at_provider.add(each.run_id)
            if each.repair is Repair.ADOPT:
                provider = self._providers.provider(each.provider)
                self._repairer.repair(each, comparison=self._comparison(each.provider, provider), provider=provider)
        return at_provider

    def _release(self, run_ids: Collection[RunId]) -> int:
        if not run_ids:
            return 0
        with self._units() as work:
            released = work.release(run_ids)
            work.commit()
        return released

    def _pass_cancellations_on(self) -> int:
        """Cancel the provider runs of cancelled rows; release the inherited rows once every provider was searched."""
        cancelled = 0
        is_complete = True
        for type in sorted(self._providers.known):
            results = guarded(
                lambda type=type: self._cancel_at(type),  # type: ignore[misc]
                otherwise=lambda _: None,
                during="inherited-runs",
                of=type,
            )
            is_complete = is_complete and results is not None and all(results)
            cancelled += sum(results or ())
        if is_complete and not self._stop.is_raised:
            with self._units() as work:
                work.release_ended()
                work.commit()
        return cancelled

    def _cancel_at(self, type: ProviderType) -> Sequence[bool] | None:
        """Return whether each cancellation was passed on; None if the provider could not be searched."""
        try:
            provider = self._providers.provider(type)
        except NotEnabled:
            return []
        except Misconfigured as error:
            return self._unless_indispensable(type, error)
        comparison = self._comparison(type, provider)
        try:
            found = list(comparison.former_runs(None))
        except Misconfigured as error:
            return self._unless_indispensable(type, error)
        except ProviderError as error:
            self._log_failure(type, error)
            return None
        to_cancel = [each for each in found if each.run_state is RunState.CANCELED and each.repair is Repair.CANCEL]
        return [self._repairer.repair(each, comparison=comparison, provider=provider).succeeded for each in to_cancel]

    def _unless_indispensable(self, type: ProviderType, error: Misconfigured) -> Sequence[bool] | None:
        """A provider without credentials is not in use, unless the former daemon or this one sends runs to it."""
        if type not in (self._default_provider, DEFAULT_PROVIDER):
            return []
        self._log_failure(type, error)
        return None

    def _comparison(self, type: ProviderType, provider: WorkflowProvider) -> Comparison:
        return Comparison(
            type=type,
            provider=provider,
            queries=self._queries,
            clock=self._clock,
            tolerances=_NO_TOLERANCE,
            stop=self._stop,
        )

    def _log_failure(self, type: ProviderType, error: ProviderError) -> None:
        if self._throttle.allows(type):
            log_event(_log, logging.WARNING, "inherited.cannot_search", provider=type, reason=error)

    def _log_duplicate(self, found: Discrepancy) -> None:
        if self._throttle.allows(f"duplicate {found.provider_run_id}"):
            log_event(
                _log,
                logging.ERROR,
                "discrepancy.former_duplicate",
                run_id=found.run_id,
                provider=found.provider,
                provider_id=found.provider_run_id,
                provider_status=found.provider_status,
            )

    def _log_unmatched(self, unmatched: frozenset[RunId]) -> None:
        """Log once that active runs have no provider run, and again only if there are others."""
        if unmatched - self._reported:
            first = " ".join(sorted(unmatched)[:_SHOWN])
            log_event(_log, logging.WARNING, "inherited.unmatched", runs=len(unmatched), first=first)
        self._reported |= unmatched


@dataclass(slots=True)
class _Searches:
    """Which providers are searched in one pass, from when on, and which of them could not be searched."""

    candidates: Mapping[RunId, Mapping[ProviderType, bool]]
    destinations: Mapping[RunId, ProviderType | None]
    runs: Sequence[UnexplainedRun]
    now: datetime
    failed: set[ProviderType] = field(default_factory=set)
    not_set_up: set[ProviderType] = field(default_factory=set)

    @property
    def since(self) -> Mapping[ProviderType, datetime]:
        of_provider: dict[ProviderType, list[RunSummary]] = defaultdict(list)
        for each in self.runs:
            for type in self.candidates[each.run.id]:
                of_provider[type].append(each.run)
        return {type: search_start(of_provider[type], self.now) for type in sorted(of_provider)}

    def is_complete(self, run_id: RunId) -> bool:
        """Whether every provider that probably has the run was searched.

        A provider that is not set up here is left out, unless the run would be submitted to it.
        """
        if self.destinations[run_id] in self.not_set_up:
            return False
        return not any(type in self.failed for type, is_needed in self.candidates[run_id].items() if is_needed)

    def are_bound_for(self, type: ProviderType) -> bool:
        """Whether one of the runs would be submitted to this provider."""
        return type in self.destinations.values()

    def fail(self, type: ProviderType) -> Sequence[Discrepancy]:
        self.failed.add(type)
        return []


def _named_provider(run: RunSummary) -> ProviderType | None:
    """Return the provider that the row names; None if the run goes to whatever provider is the default."""
    try:
        return run.named_provider()
    except InvalidRequest:
        return None
