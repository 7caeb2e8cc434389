"""A day on which everything happens to runs that can, over any store, told by the real use cases.

After each thing that a service does, and after each commit of a daemon, somebody looks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, cast

from tests.builders import NOON, a_report, a_submission_policy, some_details
from tests.contracts.persistence_harness import MINUTE, OTHER, PersistenceHarness, ServiceRow
from tests.unit.application.conftest import World
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.application.following.refresh_policy import RefreshPolicy
from wes_daemon.application.ports.checks import CheckContext
from wes_daemon.application.ports.errors import NotNow, Rejected
from wes_daemon.application.ports.leases import DaemonInfo, SessionId
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, ProviderType
from wes_daemon.domain.states import RunState

CAP = 100
CONTEXT = CheckContext(concurrency_limit=CAP, default_provider=ProviderType.SEVENBRIDGES, overdue_after=10 * MINUTE)
YEARS_AGO = NOON - timedelta(days=2_000)
EARLIER = NOON - timedelta(days=2)
LATER = NOON - timedelta(days=1)


class BusyDay:
    """`look` is called whenever something has changed; it all begins when the store's clock says `now`."""

    def __init__(self, store: PersistenceHarness, look: Callable[[], None], now: datetime) -> None:
        self._store = store
        self._look = look
        world = World(
            clock=ManualClock(now),
            submission_policy=a_submission_policy(concurrency_limit=CAP, first_poll_after=MINUTE),
            refresh_policy=RefreshPolicy(interval=MINUTE, lost_after=5 * MINUTE),
        )
        world.units = lambda: cast(UnitOfWork, _Watched(store.units(), look))
        self._world = world
        self._provider = world.provider
        self._daemon = world.daemon()

    def pass_by(self) -> None:
        """Let it happen, while a daemon lives that has lived long enough to be blamed for what is overdue."""
        self._begin()
        self._first_submissions()
        self._news_from_the_provider()
        self._what_the_service_does_to_held_runs()
        self._lost_runs_and_late_details()
        self._runs_of_another_daemon()
        self._runs_made_active_again()
        self._a_daemon_that_dies()

    def _begin(self) -> None:
        old = DaemonInfo(id=SessionId("daemon-old"), host="node-2", pid=8, version="1.0", started_at=YEARS_AGO)
        with self._store.units() as unit:
            unit.leases.open(old, lasting=timedelta(days=30))
            unit.commit()

    def _first_submissions(self) -> None:
        self._queue("refused", "rejected", "deferred", "in-doubt", "fails", "goes-well", "preempted", "paused", "lost")
        self._queue("cancelled-early", "ended-early", "cancelled-late", "ended-late", "vanishes", "set-back")
        self._set("cancelled-early", RunState.CANCELING)
        self._provider.fail_next(*[Rejected("no such workflow")] * 2, NotNow("throttled"))
        self._provider.lose_next_answer()
        self._pass()
        self._set("ended-early", RunState.CANCELED)
        self._queue("cancelled-while-it-waits")
        self._provider.fail_next(NotNow("throttled"))
        self._pass()
        self._set("cancelled-while-it-waits", RunState.CANCELING)
        self._passes(3)

    def _news_from_the_provider(self) -> None:
        for run_id in ("in-doubt", "fails", "goes-well", "preempted", "set-back"):
            self._report(run_id, RunState.RUNNING)
        self._report("paused", RunState.PAUSED)
        self._passes(2)
        self._set("set-back", RunState.QUEUED)
        self._report("fails", RunState.EXECUTOR_ERROR)
        self._report("preempted", RunState.PREEMPTED)
        self._report("paused", RunState.RUNNING)
        for run_id in ("goes-well", "set-back"):
            self._report(run_id, RunState.COMPLETE)
        self._passes(2)

    def _what_the_service_does_to_held_runs(self) -> None:
        self._set("cancelled-late", RunState.CANCELING)
        self._set("ended-late", RunState.CANCELED)
        self._store.remove("vanishes")
        self._look()
        self._passes(2)
        self._report("vanishes", RunState.COMPLETE)
        self._passes(2)

    def _lost_runs_and_late_details(self) -> None:
        self._provider.forget(self._id_of("lost"))
        self._report("in-doubt", RunState.COMPLETE)
        self._provider.fail_next(NotNow("not yet"), NotNow("not yet"), operation="details")
        self._passes(5)

    def _runs_of_another_daemon(self) -> None:
        for run_id, state in (("left-running", "RUNNING"), ("left-cancelled", "CANCELING"), ("lost-before", "PAUSED")):
            self._put(run_id, state, provider_id=f"old-{run_id}")
        self._put("left-ended", "COMPLETE", provider_id="old-ended")
        held = str(self._store.tags("paused")["provider_id"])  # type: ignore[index]  # the daemon has written an object
        self._put("copy", "QUEUED", provider_id=held)
        self._put("cancelled-copy", "CANCELING", provider_id=held)
        self._passes(5)

    def _runs_made_active_again(self) -> None:
        for run_id in ("rejected", "goes-well", "cancelled-early"):
            self._set(run_id, RunState.QUEUED)
        self._set("fails", RunState.RUNNING)
        self._passes(2)
        self._report("rejected", RunState.COMPLETE)
        self._passes(2)
        self._set("refused", RunState.QUEUED)
        self._provider.fail_next(NotNow("throttled"))
        self._pass()
        self._set("refused", RunState.CANCELED)
        self._passes(2)

    def _a_daemon_that_dies(self) -> None:
        self._store.put(ServiceRow(run_id="taken-over", tags='{"provider_type": "sevenbridges"}'))
        self._store.enrol()
        self._store.claim(OTHER, concurrency_limit=CAP)
        self._look()
        self._store.forget(OTHER)
        self._passes(3)
        self._set("taken-over", RunState.CANCELING)
        self._passes(3)

    def _queue(self, *ids: str) -> None:
        self._store.queue(*ids)
        self._look()

    def _put(self, run_id: str, state: str, *, provider_id: str) -> None:
        tags = f'{{"provider_type": "sevenbridges", "provider_id": "{provider_id}"}}'
        self._store.put(ServiceRow(run_id=run_id, state=state, tags=tags))
        self._look()

    def _set(self, run_id: str, state: RunState) -> None:
        self._store.move(run_id, state)
        self._look()

    def _report(self, run_id: str, state: RunState) -> None:
        ended_at = LATER if state.has_ended else None
        self._provider.put(self._id_of(run_id), a_report(state, started_at=EARLIER, ended_at=ended_at), some_details())

    def _id_of(self, run_id: str) -> ProviderRunId:
        return self._provider.id_of(IdempotencyKey(f"wes-{run_id}"))

    def _passes(self, number: int) -> None:
        for _ in range(number):
            self._pass()

    def _pass(self) -> None:
        self._daemon.submit()
        self._daemon.cancel()
        self._daemon.refresh()
        self._wait(2 * MINUTE)

    def _wait(self, time: timedelta) -> None:
        """Longer than a lease lasts: each time the daemon begins anew."""
        self._world.clock.advance(time)
        self._store.let_pass(time)
        self._daemon.daemon_session.renew()


@dataclass(frozen=True)
class _Watched:
    """A unit of work; somebody looks when it is committed."""

    work: UnitOfWork
    look: Callable[[], None]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.work, name)

    def __enter__(self) -> Self:
        self.work.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.work.__exit__(kind, error, trace)

    def commit(self) -> None:
        """As the unit of work does, and let somebody look."""
        self.work.commit()
        self.look()
