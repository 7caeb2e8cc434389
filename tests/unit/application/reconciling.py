"""A world whose providers can be compared with its database."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from tests.builders import a_run, a_submission
from tests.unit.application.conftest import World
from wes_daemon.adapters.memory.environment import CountingIds, ManualClock
from wes_daemon.adapters.memory.ledger import MemoryLedger, MemoryMendings
from wes_daemon.adapters.memory.providers import PreparingMemoryProvider
from wes_daemon.application.discrepancies import Discrepancy, Kind, Patience, Remedy
from wes_daemon.application.mending import Mended, Mender
from wes_daemon.application.ports.submissions import Claim
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.application.use_cases.reconcile import Reconcile, ReconcileReport
from wes_daemon.application.use_cases.remove_leftover_drafts import RemovalReport, RemoveLeftoverDrafts
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SEVENBRIDGES = ProviderType.SEVENBRIDGES


class Site:
    """A database, a Seven Bridges in memory that prepares, and one daemon."""

    def __init__(self) -> None:
        clock = ManualClock()
        self.provider = PreparingMemoryProvider(status_batch=2, clock=clock)
        self.world = World(clock=clock, provider=self.provider)
        self.daemon = self.world.daemon()
        self.ledger = MemoryLedger(self.world.store)
        self.stop = StopSignal()
        self.patience = Patience()
        self.mender = Mender(
            mendings=MemoryMendings(self.world.store), clock=clock, ids=CountingIds("person"), by="ada@lab"
        )
        self.reconcile = Reconcile(ledger=self.ledger, providers=self.world.directory, mender=self.mender, clock=clock)

    def pass_time(self, time: timedelta) -> None:
        """Let time pass."""
        self.world.clock.advance(time)

    def queue(self, run_id: str = "run-1") -> None:
        """Queue a run, which no daemon sees yet."""
        self.world.queue(a_run(run_id))

    def accepted(self, run_id: str = "run-1") -> ProviderRunId:
        """A run that the provider holds and the daemon has recorded."""
        self.queue(run_id)
        self.daemon.submit()
        return self.provider.id_of(a_run(run_id).idempotency_key)

    def started_unseen(self, run_id: str = "run-1") -> ProviderRunId:
        """Something that runs at the provider under the mark of a run, and that nobody has recorded."""
        return self.provider.start_again(a_submission(f"wes-{run_id}"))

    def drafted(self, run_id: str = "run-1") -> ProviderRunId:
        """A further draft at the provider under the mark of a run, and that nobody has recorded."""
        return self.provider.draft_again(a_submission(f"wes-{run_id}"))

    def claimed(self) -> Claim:
        """The run that waits, claimed by the daemon."""
        owner = self.daemon.daemon_session.id
        with self.world.units() as work:
            work.submissions.enrol(lambda _: SEVENBRIDGES, limit=1)
            [claimed] = work.submissions.claim(owner, limit=1, cap=1, excluding=(), destination=lambda _: SEVENBRIDGES)
            work.commit()
        return claimed.claim

    def prepared(self, draft: ProviderRunId) -> None:
        """Record a draft for the run that waits."""
        claim = self.claimed()
        with self.world.units() as work:
            work.submissions.prepared(claim, draft)
            work.commit()

    def compare(self, *, window: timedelta = 7 * DAY) -> ReconcileReport:
        """Compare all providers."""
        return self.reconcile(window=window, patience=self.patience)

    def found(self) -> Sequence[Discrepancy]:
        """What a comparison finds."""
        return self.compare().discrepancies

    def kinds(self) -> Sequence[tuple[Kind, Remedy]]:
        """What a comparison finds, in short."""
        return [(each.kind, each.remedy) for each in self.found()]

    def mend(self) -> Sequence[Mended]:
        """Compare, and mend what can be."""
        return self.mend_what_was(self.found())

    def mend_what_was(self, found: Sequence[Discrepancy]) -> Sequence[Mended]:
        """Mend what an earlier comparison has found."""
        return self.reconcile.mend(found, patience=self.patience)

    def whys(self, run_id: str = "run-1") -> Sequence[str]:
        """What was noted in the run's timeline, and by whom."""
        return [f"{entry.by}: {entry.why}" for entry in self.world.store.timeline(RunId(run_id))]

    def remove_drafts(self) -> RemovalReport:
        """One pass of the janitor."""
        janitor = RemoveLeftoverDrafts(
            ledger=self.ledger,
            providers=self.world.directory,
            mender=self.mender,
            clock=self.world.clock,
            stop=self.stop,
            patience=self.patience,
        )
        return janitor()

    def cancel_strangers(self) -> None:
        """From now on."""
        self.patience = replace(self.patience, strangers=Remedy.CANCEL)
