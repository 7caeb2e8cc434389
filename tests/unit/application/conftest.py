"""The use cases over the memory adapters: one world, small enough to look at."""

from collections.abc import Callable, Collection
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from tests import fault_points
from tests.builders import ALL_PROVIDERS, a_submission_policy
from wes_daemon.adapters.memory.environment import CountingIds, InlineExecutor, ManualClock
from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory
from wes_daemon.adapters.memory.queries import MemoryRunQueries
from wes_daemon.adapters.memory.store import MemoryStore
from wes_daemon.adapters.memory.telemetry import MemoryTelemetry
from wes_daemon.adapters.memory.unit_of_work import MemoryUnitsOfWork
from wes_daemon.adapters.memory.wakeup import SkippingWakeUp
from wes_daemon.application.following.cancel_runs import CancelRuns
from wes_daemon.application.following.refresh_policy import RefreshPolicy
from wes_daemon.application.following.refresh_statuses import RefreshStatuses
from wes_daemon.application.following.status_recorder import StatusRecorder
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.application.runtime.daemon_session import DaemonSession, HostProcess
from wes_daemon.application.runtime.outage_log import OutageLog
from wes_daemon.application.runtime.recording import Recorder
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.application.submitting.submission_policy import SubmissionPolicy
from wes_daemon.application.submitting.submit_queued_runs import SubmitQueuedRuns
from wes_daemon.domain.runs import ProviderType, Run, RunId
from wes_daemon.domain.states import RunState

LEASE = timedelta(seconds=60)


@dataclass
class World:
    """A database, providers, and as many daemons as a test wants."""

    clock: ManualClock = field(default_factory=ManualClock)
    telemetry: MemoryTelemetry = field(default_factory=MemoryTelemetry)
    ids: CountingIds = field(default_factory=lambda: CountingIds("daemon"))
    provider: MemoryProvider = field(default_factory=MemoryProvider)
    submission_policy: SubmissionPolicy = field(default_factory=a_submission_policy)
    refresh_policy: RefreshPolicy = field(default_factory=RefreshPolicy)
    most_deleted: int = 20

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.plain_units = MemoryUnitsOfWork(self.store)
        self.units: Callable[[], UnitOfWork] = self.plain_units
        self.queries = MemoryRunQueries(self.store)
        self.outage_log = OutageLog(self.clock)
        self.directory = MemoryProviderDirectory({ProviderType.SEVENBRIDGES: self.provider})

    def daemon(self, serving: Collection[ProviderType] = ALL_PROVIDERS) -> "DaemonUnderTest":
        """A further daemon on the same database."""
        return DaemonUnderTest(self, serving)

    def queue(self, *runs: Run) -> None:
        """Queue runs as a WES service does."""
        self.store.insert(*runs)

    def set_state(self, run_id: str, state: RunState) -> None:
        """Change a run's state as a WES service does, behind the daemon's back."""
        self.store.insert(replace(self.store.runs[RunId(run_id)], state=state))

    def run(self, run_id: str = "run-1") -> Run:
        """The run as a WES service reads it."""
        return self.store.runs[RunId(run_id)]

    def states(self) -> set[RunState]:
        """The states that runs are in."""
        return {run.state for run in self.store.runs.values()}


class DaemonUnderTest:
    """The three use cases of one daemon."""

    def __init__(self, world: World, serving: Collection[ProviderType]) -> None:
        self.stop = StopSignal()
        self.wakeup = SkippingWakeUp(world.clock)
        process = HostProcess(host="host", pid=1, version="0")

        units = fault_points.units_with_points(lambda: world.units())

        session = DaemonSession(
            units=units, ids=world.ids, clock=world.clock, process=process, lasting=LEASE, providers={}
        )
        self.daemon_session = fault_points.add_points_to_session(session)
        directory = fault_points.DirectoryWithPoints(world.directory)
        self.recorder = recorder = Recorder(
            units=units,
            clock=world.clock,
            telemetry=world.telemetry,
            daemon_session=self.daemon_session,
            wakeup=self.wakeup,
            stop=self.stop,
            outage_log=world.outage_log,
        )

        def submitting(
            *, pool: Executor, policy: SubmissionPolicy, serving: Collection[ProviderType | None] = serving
        ) -> SubmitQueuedRuns:
            return SubmitQueuedRuns(
                units=units,
                recorder=recorder,
                providers=directory,
                daemon_session=self.daemon_session,
                clock=world.clock,
                pool=pool,
                stop=self.stop,
                policy=policy,
                serving=serving,
            )

        self.submitting = submitting
        self.submit = submitting(pool=InlineExecutor(), policy=world.submission_policy)
        self.cancel = CancelRuns(
            units=units,
            recorder=recorder,
            providers=directory,
            clock=world.clock,
            pool=InlineExecutor(),
            stop=self.stop,
            wakeup=self.wakeup,
            reminder_interval=timedelta(minutes=5),
            lease=LEASE,
            most_deleted=world.most_deleted,
            serving=serving,
        )
        self.refresh = RefreshStatuses(
            units=units,
            providers=directory,
            status_recorder=StatusRecorder(recorder=recorder, clock=world.clock, policy=world.refresh_policy),
            clock=world.clock,
            pool=InlineExecutor(),
            stop=self.stop,
            policy=world.refresh_policy,
            serving=serving,
        )


@pytest.fixture
def world() -> World:
    """An empty database and a Seven Bridges that is in memory."""
    return World()


@pytest.fixture
def daemon(world: World) -> DaemonUnderTest:
    """The first daemon."""
    return world.daemon()
