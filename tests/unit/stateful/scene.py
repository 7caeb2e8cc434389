"""A database, two clouds, three daemons, a service and a person: everything that takes part."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from tests.builders import ALL_PROVIDERS, a_request, a_run, a_submission_policy
from tests.unit.application.conftest import World
from tests.unit.stateful.clouds import REFUSED, DraftCloud, Started, TokenCloud
from tests.unit.stateful.database import WatchedUnits
from tests.unit.stateful.judge import Judge, PlannedBug
from tests.unit.stateful.processes import Loop, Process
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.application.following.refresh_policy import RefreshPolicy
from wes_daemon.application.ports.errors import NotInReview, ProviderError, RunNotFound
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.reconciling.resolve_review import ResolveReview
from wes_daemon.application.requests.request_cancel import RequestCancel
from wes_daemon.domain.errors import IllegalTransition
from wes_daemon.domain.runs import PROVIDER_TYPE_TAG, ProviderType, Run, RunId, WorkflowRequest
from wes_daemon.domain.states import RunState

DRAFTS, TOKENS = ProviderType.SEVENBRIDGES, ProviderType.HEALTHOMICS
CAP, CAP_OF_TOKENS = 5, 3

_ALL_LOGS = logging.getLogger("wes_daemon")
_GUARD = logging.getLogger("wes_daemon.application.runtime.guard")
_EVERYBODY = ALL_PROVIDERS
_SERVING: Sequence[Collection[ProviderType]] = (_EVERYBODY, _EVERYBODY, {TOKENS})
_ROUNDS_OF_WORK, _ROUNDS_OF_ENDING = 8, 24
# Longer than any wait between two attempts, than a lease and than a hold.
_A_ROUND = timedelta(minutes=11)


class Scene:
    """Everything at one moment, and what may happen next."""

    def __init__(self) -> None:
        clock = ManualClock()
        drafts, tokens = DraftCloud(clock=clock), TokenCloud(clock=clock)
        self.clouds: dict[ProviderType, TokenCloud] = {DRAFTS: drafts, TOKENS: tokens}
        self.drafts = drafts
        self._world = world = World(
            clock=clock,
            provider=drafts,
            submission_policy=a_submission_policy(
                concurrency_limit=CAP,
                per_provider_limits={TOKENS: CAP_OF_TOKENS},
                batch=2,
                timeout=timedelta(hours=2),
                attempts=4,
            ),
            refresh_policy=RefreshPolicy(page=3, details_attempts=2),
        )
        world.directory.providers.update(self.clouds)
        self.judge = Judge(world.store, self.clouds, {None: CAP, TOKENS: CAP_OF_TOKENS})
        self.commits = WatchedUnits(world.store, self.judge.committed)
        world.units = self.commits
        self.processes = [Process(world, serving) for serving in _SERVING]
        by_hand = WatchedUnits(world.store, self.judge.committed)
        self._request_cancel = RequestCancel(units=by_hand, clock=clock, by="a service")
        self._resolve = ResolveReview(
            units=by_hand, queries=world.queries, providers=world.directory, clock=clock, by="a person"
        )
        _ALL_LOGS.setLevel(logging.CRITICAL)
        _GUARD.setLevel(logging.ERROR)
        _GUARD.addHandler(self.judge)

    @property
    def runs(self) -> Sequence[Run]:
        """The rows as they are now."""
        return list(self._world.store.runs.values())

    @property
    def deleted(self) -> Sequence[RunId]:
        """The runs whose rows are gone."""
        return sorted(self.judge.queued - self._world.store.runs.keys())

    @property
    def in_review(self) -> Sequence[RunId]:
        """What waits for a person."""
        rows = self._world.store.tables.submissions
        return [run_id for run_id, row in rows.items() if row.state is SubmissionState.REVIEW]

    def is_accepted(self, started: Started) -> bool:
        """Whether it is on record as accepted."""
        row = self._world.store.tables.submissions.get(started.run_id)
        return row is not None and row.provider_run_id == started.id

    def close(self) -> None:
        """End every process."""
        _ALL_LOGS.setLevel(logging.NOTSET)
        _GUARD.setLevel(logging.NOTSET)
        _GUARD.removeHandler(self.judge)
        for process in self.processes:
            process.kill()

    def pass_time(self, span: timedelta) -> None:
        """Nothing else happens for a while."""
        self._world.clock.advance(span)

    def perform(self, number: int, happening: Callable[[Process], None]) -> None:
        """Let something happen to a process; one that ends by it has a successor."""
        process = self.processes[number]
        happening(process)
        self.judge.violations.extend(f"a pass ended with {bug!r}" for bug in process.bugs)
        if process.has_ended:
            self.processes[number] = Process(self._world, _SERVING[number])

    # What a service does with its rows.

    def queue(self, provider: ProviderType | None, *, is_refused: bool) -> None:
        """A new run."""
        tags = {PROVIDER_TYPE_TAG: provider} if provider else {}
        self._store(a_run(f"run-{len(self.judge.queued) + 1}", tags=tags, request=_request(is_refused)))

    def copy(self, run: Run, state: RunState) -> None:
        """A new row with the tags of another."""
        self._store(a_run(f"run-{len(self.judge.queued) + 1}", state, tags=run.tags, request=run.request))

    def change(self, run: Run, provider: ProviderType, *, is_refused: bool) -> None:
        """Another request in the place of the first, as long as the row says that nobody has it."""
        if run.state is RunState.QUEUED:
            self.judge.redirected.add(run.id)
            tags = {PROVIDER_TYPE_TAG: provider}
            self._store(replace(run, tags=tags, request=_request(is_refused)))

    def write(self, run: Run, state: RunState) -> None:
        """A state over whatever the row says."""
        self.judge.meddled.add(run.id)
        ended = self._world.clock.now() if state.has_ended else None
        self._store(replace(run, state=state, end_time=ended))

    def delete(self, run: Run) -> None:
        """Nothing is left of it in the service's table."""
        self.judge.meddled.add(run.id)
        del self._world.store.tables.runs[run.id]

    def restore(self, run_id: RunId) -> None:
        """The row is there again, as it was in the beginning."""
        self._store(a_run(run_id, tags={}, request=_request(False)))

    def request_cancel(self, run: Run) -> None:
        """Through the front door."""
        with suppress(IllegalTransition, RunNotFound):
            self._request_cancel(run.id)

    # What a person does.

    def send_again(self, run_id: RunId) -> None:
        """Under the same key, which is always allowed."""
        self._resolve.send_again(run_id)

    def resolve(self, run_id: RunId) -> None:
        """Adopt what is there, else give up what surely is not there and will not come any more, else send again."""
        with suppress(ProviderError, PlannedBug, NotInReview):
            if found := self.found(run_id):
                self._resolve.adopt(run_id, found[0].id)
            elif self._may_still_start(run_id):
                self._resolve.send_again(run_id)
            else:
                self._resolve.give_up(run_id, "nobody has it")

    def found(self, run_id: RunId) -> Sequence[Started]:
        """What the clouds know of a run."""
        return [started for cloud in self.clouds.values() for started in cloud.known(run_id)]

    def _may_still_start(self, run_id: RunId) -> bool:
        on_its_way = any(cloud.sent(run_id) for cloud in self.clouds.values())
        return on_its_way or any(process.is_submitting for process in self.processes)

    # What comes in the end.

    def heal(self) -> None:
        """No more faults; what stands goes on, and the processes die without closing their leases."""
        self.commits.heal()
        for cloud in self.clouds.values():
            cloud.heal()
        for process in self.processes:
            process.finish()
            self.judge.violations.extend(f"a pass ended with {bug!r}" for bug in process.bugs)
            process.kill()

    def bring_to_an_end(self) -> None:
        """One fresh daemon, one person and healthy clouds bring every run to its end within a few hours."""
        fresh = Process(self._world, _EVERYBODY)
        for _ in range(_ROUNDS_OF_WORK):
            self._work_on(fresh)
        self.judge.judge_cancellations()
        for _ in range(_ROUNDS_OF_ENDING):
            self._end_provider_runs()
            self._work_on(fresh)
        self.judge.violations.extend(f"a pass ended with {bug!r}" for bug in fresh.bugs)

    def _work_on(self, daemon: Process) -> None:
        self.pass_time(_A_ROUND)
        for run_id in self.in_review:
            self.resolve(run_id)
        for loop in (Loop.HEARTBEAT, Loop.SUBMIT, Loop.CANCEL, Loop.REFRESH):
            daemon.execute_pass(loop)

    def _end_provider_runs(self) -> None:
        for cloud in self.clouds.values():
            for started in cloud.at_work():
                cloud.end(started.id)

    def _store(self, run: Run) -> None:
        self.judge.queued.add(run.id)
        self._world.store.insert(run)


MEDDLING: Mapping[str, Callable[[Scene, Run], None]] = {
    "queue again": lambda scene, run: scene.write(run, RunState.QUEUED),
    "cancel by hand": lambda scene, run: scene.write(run, RunState.CANCELING),
    "end as cancelled": lambda scene, run: scene.write(run, RunState.CANCELED),
    "end as failed": lambda scene, run: scene.write(run, RunState.SYSTEM_ERROR),
    "delete": Scene.delete,
    "copy": lambda scene, run: scene.copy(run, RunState.QUEUED),
    "copy cancelled": lambda scene, run: scene.copy(run, RunState.CANCELING),
    "send to drafts": lambda scene, run: scene.change(run, DRAFTS, is_refused=False),
    "send to tokens": lambda scene, run: scene.change(run, TOKENS, is_refused=False),
    "spoil": lambda scene, run: scene.change(run, DRAFTS, is_refused=True),
}
"""What a service may do to a row without asking anybody."""


def _request(is_refused: bool) -> WorkflowRequest:
    return a_request(workflow_params={REFUSED: is_refused})
