"""Database and providers laid side by side, a page at a time; nothing is changed."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from wes_daemon.application.discrepancies import Discrepancy, Patience, differing, judged
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.ledger import FollowedRun, Ledger
from wes_daemon.application.ports.providers import OwnedRun, WorkflowProvider, run_id_of
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, ProviderType

_PAGE = 500


class Comparison:
    """One provider beside the database.

    The provider is always asked before the database: what is recorded in between is known, and no discrepancy.
    """

    def __init__(
        self,
        *,
        type: ProviderType,
        provider: WorkflowProvider,
        ledger: Ledger,
        clock: Clock,
        patience: Patience,
        stop: StopSignal | None = None,
    ) -> None:
        """Ask nobody yet.

        Args:
            stop: once it is raised, no further part is asked for.
        """
        self._type = type
        self._provider = provider
        self._ledger = ledger
        self._clock = clock
        self._patience = patience
        self._stop = stop or StopSignal()

    def unrecorded(self, since: datetime) -> Iterator[Discrepancy]:
        """What is wrong with that which bears our mark and that nothing in the database is recorded to be.

        Raises:
            ProviderError: the rest could not be had.
        """
        told: set[ProviderRunId] = set()
        for part in self._parts(since):
            for found in self._judged(part):
                # Parts may overlap.
                if found.provider_run_id not in told:
                    told.add(found.provider_run_id)
                    yield found

    def followed(self) -> Iterator[Discrepancy]:
        """What is wrong with that which the database believes to be active.

        Raises:
            ProviderError: the rest could not be had.
        """
        for page in self._pages_of_followed():
            reports = self._provider.statuses([run.provider_run_id for run in page])
            now = self._clock.now()
            for run in page:
                if found := differing(self._type, run, reports.get(run.provider_run_id), now, self._patience):
                    yield found

    def judged_again(self, run: OwnedRun) -> Discrepancy | None:
        """What is wrong with something by the database as it is now."""
        return next(iter(self._judged([run])), None)

    def _parts(self, since: datetime) -> Iterator[Sequence[OwnedRun]]:
        # What comes back would lead in a circle.
        seen: set[str] = set()
        after: str | None = None
        while after not in seen and not self._stop.is_raised:
            part = self._provider.owned_runs(since, after=after, recorded=self._recorded)
            yield part.runs
            if part.following is None:
                return
            seen.update({after} if after else ())
            after = part.following

    def _judged(self, runs: Collection[OwnedRun]) -> Iterator[Discrepancy]:
        if not runs:
            return
        holders = self._ledger.holders(self._type, {run.id for run in runs})
        unrecorded = [run for run in runs if run.id not in holders]
        entries = self._ledger.entries({run.run_id for run in unrecorded})
        now = self._clock.now()
        for run in unrecorded:
            if found := judged(self._type, run, entries.get(run.run_id), now, self._patience):
                yield found

    def _recorded(self, keys: Collection[IdempotencyKey]) -> Mapping[IdempotencyKey, ProviderRunId]:
        by_run = {run_id_of(key): key for key in keys}
        entries = self._ledger.entries(by_run.keys())
        return {by_run[run_id]: entry.provider_run_id for run_id, entry in entries.items() if entry.provider_run_id}

    def _pages_of_followed(self) -> Iterator[Sequence[FollowedRun]]:
        size = min(_PAGE, self._provider.limits.status_batch)
        page = self._ledger.followed(self._type, after=None, limit=size)
        while page:
            yield page
            page = self._ledger.followed(self._type, after=page[-1].run_id, limit=size)
