"""Compares one provider with the database, page by page, and changes nothing."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.providers import OwnedPage, OwnedRun, WorkflowProvider, key_of, run_id_of
from wes_daemon.application.ports.reconcile_queries import FollowedRun, ReconcileQueries
from wes_daemon.application.reconciling.discrepancies import (
    Discrepancy,
    Tolerances,
    compare_followed_run,
    compare_owned_run,
)
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, ProviderType, StatusReport
from wes_daemon.domain.states import ACTIVE

_PAGE = 500


class Comparison:
    """The comparison of one provider with the database.

    Owned runs are read from the provider first, so that a run that is recorded meanwhile is not a discrepancy.
    """

    def __init__(
        self,
        *,
        type: ProviderType,
        provider: WorkflowProvider,
        queries: ReconcileQueries,
        clock: Clock,
        tolerances: Tolerances,
        stop: StopSignal | None = None,
    ) -> None:
        """Prepare the comparison; nothing is read yet.

        Args:
            stop: once it is raised, no further page of owned runs is requested.
        """
        self._type = type
        self._provider = provider
        self._queries = queries
        self._clock = clock
        self._tolerances = tolerances
        self._stop = stop or StopSignal()

    def owned_runs(self, since: datetime) -> Iterator[Discrepancy]:
        """Yield the discrepancies of owned runs and drafts created since then, each once.

        Raises:
            ProviderError: the rest could not be read.
        """
        return self._discrepancies_of(
            lambda after: self._provider.owned_runs(since, after=after, recorded=self._recorded)
        )

    def former_runs(self, since: datetime | None) -> Iterator[Discrepancy]:
        """Yield the discrepancies of the former daemon's runs and drafts, each once.

        Args:
            since: only runs that were created since then; None for the runs that are active now.

        Raises:
            ProviderError: the rest could not be read.
        """
        return self._discrepancies_of(
            lambda after: self._provider.former_runs(since, after=after, recorded=self._recorded, needed=self._needed)
        )

    def runs_of_ended_rows(self, since: datetime) -> Iterator[Discrepancy]:
        """Yield the active provider runs that the tags of rows name which a service has ended since then.

        Raises:
            ProviderError: the provider could not be asked.
        """
        named = {run.provider_run_id: run for run in self._queries.ended_runs_naming(self._type, since=since)}
        ids = iter(named)
        while batch := list(islice(ids, self._provider.limits.status_batch)):
            reports = self._provider.statuses(batch)
            active = {id: report for id, report in reports.items() if report.state in ACTIVE}
            yield from self._compare_owned([self._named_run(named[id], report) for id, report in active.items()])

    def followed_runs(self) -> Iterator[Discrepancy]:
        """Yield the discrepancies of runs that are active in the database.

        Raises:
            ProviderError: the rest could not be read.
        """
        for page in self._pages_of_followed():
            reports = self._provider.statuses([run.provider_run_id for run in page])
            now = self._clock.now()
            for run in page:
                report = reports.get(run.provider_run_id)
                found = compare_followed_run(run, report, provider=self._type, now=now, tolerances=self._tolerances)
                if found:
                    yield found

    def again(self, run: OwnedRun) -> Discrepancy | None:
        """Compare an owned run with the database as it is now."""
        return next(iter(self._compare_owned([run])), None)

    def _discrepancies_of(self, request: Callable[[str | None], OwnedPage]) -> Iterator[Discrepancy]:
        reported: set[ProviderRunId | None] = set()
        for page in self._pages(request):
            for found in self._compare_owned(page):
                # Pages may overlap.
                if found.provider_run_id not in reported:
                    reported.add(found.provider_run_id)
                    yield found

    def _pages(self, request: Callable[[str | None], OwnedPage]) -> Iterator[Sequence[OwnedRun]]:
        # A token that repeats an earlier one would cause an endless loop.
        used_tokens: set[str] = set()
        after: str | None = None
        while after not in used_tokens and not self._stop.is_raised:
            page = request(after)
            yield page.runs
            if page.following is None:
                return
            used_tokens.update({after} if after else ())
            after = page.following

    def _compare_owned(self, runs: Collection[OwnedRun]) -> Iterator[Discrepancy]:
        if not runs:
            return
        recorded_ids = self._queries.run_ids_of(self._type, {run.id for run in runs})
        unrecorded = [run for run in runs if run.id not in recorded_ids]
        records = self._queries.recorded_runs({run.run_id for run in unrecorded})
        now = self._clock.now()
        for run in unrecorded:
            record = records.get(run.run_id)
            if record and record.provider_run_id == run.id:
                # Recorded under another name: two providers may use one account of a service.
                continue
            found = compare_owned_run(run, record, provider=self._type, now=now, tolerances=self._tolerances)
            if found:
                yield found

    def _named_run(self, run: FollowedRun, report: StatusReport) -> OwnedRun:
        return OwnedRun(
            id=run.provider_run_id,
            key=key_of(run.run_id),
            created_at=report.started_at or self._clock.now(),
            state=report.state,
            provider_status=report.provider_status,
            is_former=True,
        )

    def _needed(self, runs: Sequence[OwnedRun]) -> Collection[ProviderRunId]:
        return {found.provider_run_id for found in self._compare_owned(runs) if found.provider_run_id}

    def _recorded(self, keys: Collection[IdempotencyKey]) -> Mapping[IdempotencyKey, ProviderRunId]:
        by_run = {run_id_of(key): key for key in keys}
        records = self._queries.recorded_runs(by_run.keys())
        return {by_run[run_id]: record.provider_run_id for run_id, record in records.items() if record.provider_run_id}

    def _pages_of_followed(self) -> Iterator[Sequence[FollowedRun]]:
        size = min(_PAGE, self._provider.limits.status_batch)
        page = self._queries.followed_runs(self._type, after=None, limit=size)
        while page:
            yield page
            page = self._queries.followed_runs(self._type, after=page[-1].run_id, limit=size)
