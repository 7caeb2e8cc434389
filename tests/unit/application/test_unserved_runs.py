"""Runs whose provider no live daemon serves: they wait with a reason, or end where the name was never known."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from tests.builders import a_run, a_submission_policy
from tests.memory.work_probe import MemoryWorkProbe
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.adapters.memory.environment import InlineExecutor
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.adapters.memory.published_providers import MemoryPublishedProviders
from wes_daemon.application.ports.errors import NotNow, OutcomeUnknown
from wes_daemon.application.ports.leases import DaemonInfo, Publication, SessionId
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.submitting.submit_queued_runs import SubmitQueuedRuns
from wes_daemon.application.submitting.unserved_runs import (
    SettleUnservedRuns,
    UnservedDirectory,
    UnservedPolicy,
    UnservedReport,
)
from wes_daemon.domain.runs import ProviderType, RunId
from wes_daemon.domain.states import RunState

SEVENBRIDGES, SHELL = ProviderType.SEVENBRIDGES, ProviderType("shell")
NOT_SET_UP = "it is not set up: set SHELL_DIRECTORY"
DAY = timedelta(days=1)


LEASE = timedelta(minutes=1)


@dataclass
class Settling:
    """The use case of a daemon that serves what is in the world's directory."""

    world: World
    reasons: Mapping[ProviderType, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        world = self.world
        directory = world.directory
        self.published = MemoryPublishedProviders(world.store)
        daemon = DaemonUnderTest(world, frozenset())
        self.settle = SettleUnservedRuns(
            published=self.published,
            providers=directory,
            reasons=dict.fromkeys(directory.enabled, "") | dict(self.reasons),
            policy=UnservedPolicy(
                default_provider=SEVENBRIDGES,
                destination=world.submission_policy.destination,
                timeout=DAY,
                settling_time=LEASE,
                forget_after=timedelta(hours=1),
            ),
            recorder=daemon.recorder,
            clock=world.clock,
            work_probe=MemoryWorkProbe(world.store),
            daemon_session=daemon.daemon_session,
            submit_unknown=daemon.submitting(
                pool=InlineExecutor(), policy=world.submission_policy, serving=frozenset({None})
            ),
            make_submit=self._doubts,
            end_withdrawn=daemon.cancel,
        )
        self.daemon = daemon

    def __call__(self) -> UnservedReport:
        self.daemon.daemon_session.renew()
        return self.settle()

    def _doubts(self, reasons: Mapping[ProviderType, str]) -> SubmitQueuedRuns:
        real, self.world.directory = self.world.directory, UnservedDirectory(reasons)  # type: ignore[assignment]
        submit = DaemonUnderTest(self.world, frozenset()).submitting(
            pool=InlineExecutor(), policy=self.world.submission_policy, serving=frozenset(reasons)
        )
        self.world.directory = real
        return submit

    def over(self, duration: timedelta, *, every: timedelta = timedelta(minutes=30)) -> None:
        """Make passes for so long."""
        for _ in range(int(duration / every)):
            self.world.clock.advance(every)
            self()


def live(world: World, name: str, providers: Publication | None) -> SessionId:
    """Another daemon at work."""
    id = SessionId(name)
    info = DaemonInfo(id=id, host="h", pid=1, version="1", started_at=world.clock.now(), providers=providers)
    with world.plain_units() as work:
        work.leases.open(info, lasting=365 * DAY)
        work.commit()
    return id


@pytest.fixture
def run(world: World) -> RunId:
    """A queued run for the provider `shell`."""
    world.queue(a_run(tags={"provider_type": "shell"}))
    return RunId("run-1")


def test_a_run_of_a_provider_that_is_not_configured_stays_queued_with_the_reason(
    world: World, run: RunId, caplog: pytest.LogCaptureFixture
) -> None:
    settle = Settling(world, {SHELL: NOT_SET_UP})

    settle()
    settle()

    record = world.queries.get(run)
    assert (record.run.state, record.submission) == (RunState.QUEUED, SubmissionState.READY)
    assert record.unserved == f"no daemon serves the provider shell: {NOT_SET_UP}"
    assert record.attempts == 0
    lines = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert lines == [f'provider.unserved provider=shell reason="{record.unserved}"']


def test_every_run_shows_the_reason_although_all_slots_are_taken(world: World) -> None:
    world.submission_policy = a_submission_policy(concurrency_limit=1)
    world.queue(a_run("active"), *(a_run(f"run-{number}", tags={"provider_type": "shell"}) for number in range(10)))
    world.daemon().submit()

    Settling(world, {SHELL: NOT_SET_UP})()

    waiting = world.queries.list(RunFilter(provider=SHELL))
    assert len(waiting) == 10
    assert all(NOT_SET_UP in (record.unserved or "") for record in waiting)


@pytest.mark.usefixtures("run")
def test_it_ends_when_its_time_is_used_up(world: World) -> None:
    settle = Settling(world, {SHELL: NOT_SET_UP})
    settle()

    settle.over(DAY - timedelta(minutes=30))
    early = world.run().state
    settle.over(timedelta(hours=1))

    assert (early, world.run().state) == (RunState.QUEUED, RunState.SYSTEM_ERROR)
    assert (world.run().error or "").startswith("given up after 1 day, 0:00:00: no daemon serves the provider shell")


@pytest.mark.usefixtures("run")
def test_two_short_absences_of_the_daemon_that_serves_it_end_nothing(world: World) -> None:
    settle = Settling(world, {SHELL: NOT_SET_UP})
    settle()
    id = live(world, "other", {SHELL: ""})
    settle.over(2 * DAY)
    with world.plain_units() as work:
        work.leases.close(id)
        work.commit()

    settle.over(timedelta(hours=2))

    assert world.run().state is RunState.QUEUED
    assert NOT_SET_UP in (world.queries.get(RunId("run-1")).unserved or "")


@pytest.mark.usefixtures("run")
def test_a_night_without_any_daemon_does_not_count(world: World) -> None:
    settle = Settling(world, {SHELL: NOT_SET_UP})
    settle.over(DAY - timedelta(hours=1))

    world.clock.advance(timedelta(hours=8))
    settle()

    assert world.run().state is RunState.QUEUED


def test_a_run_that_came_late_gets_its_whole_time(world: World) -> None:
    world.queue(a_run("early", tags={"provider_type": "shell"}))
    settle = Settling(world, {SHELL: NOT_SET_UP})
    settle.over(DAY - timedelta(hours=1))
    world.queue(a_run("late", tags={"provider_type": "shell"}))

    settle.over(timedelta(hours=2))

    assert (world.run("early").state, world.run("late").state) == (RunState.SYSTEM_ERROR, RunState.QUEUED)


@pytest.mark.usefixtures("run")
def test_it_is_submitted_once_its_provider_is_configured(world: World) -> None:
    Settling(world, {SHELL: NOT_SET_UP})()
    shell = MemoryProvider()
    world.directory.providers[SHELL] = shell

    world.daemon(serving=[SHELL]).submit()
    Settling(world)()

    assert shell.started == ["wes-run-1"]
    assert world.queries.get(RunId("run-1")).unserved is None


def test_a_run_that_another_daemon_serves_is_left_alone(world: World, run: RunId) -> None:
    live(world, "other", {SHELL: ""})

    report = Settling(world, {SHELL: NOT_SET_UP})()

    assert report == UnservedReport()
    assert world.queries.get(run).submission is None


@pytest.mark.usefixtures("run")
def test_a_run_is_left_alone_while_a_daemon_is_at_work_that_publishes_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    live(world, "older", None)
    settle = Settling(world)

    settle()
    settle.over(timedelta(hours=2))

    assert world.run().state is RunState.QUEUED
    assert world.queries.get(RunId("run-1")).unserved is None
    assert "provider.older_daemon" in caplog.text


def test_the_reason_is_that_of_a_daemon_that_knows_the_provider(world: World, run: RunId) -> None:
    live(world, "other", {SHELL: NOT_SET_UP})

    Settling(world)()

    assert world.queries.get(run).unserved == f"no daemon serves the provider shell: {NOT_SET_UP}"


@pytest.mark.usefixtures("run")
def test_a_name_that_no_daemon_has_ever_known_ends_the_run_after_the_settling_time(world: World) -> None:
    settle = Settling(world, {ProviderType("slurm"): "it is not set up"})

    settle()
    at_first = world.run().state
    settle.over(LEASE, every=LEASE)

    assert (at_first, world.run().state) == (RunState.QUEUED, RunState.SYSTEM_ERROR)
    assert world.run().error == "there is no provider 'shell'; the providers are sevenbridges, slurm"


@pytest.mark.usefixtures("run")
def test_a_daemon_that_starts_a_moment_later_keeps_its_runs(world: World) -> None:
    settle = Settling(world)
    settle()
    live(world, "other", {SHELL: ""})

    settle.over(3 * LEASE, every=LEASE)

    assert world.run().state is RunState.QUEUED


def test_many_misspelt_names_need_no_further_threads(world: World) -> None:
    world.queue(*(a_run(f"run-{number}", tags={"provider_type": f"sample-{number}"}) for number in range(50)))
    settle = Settling(world)
    before = threading.active_count()

    settle()
    settle.over(LEASE, every=LEASE)

    assert {run.state for run in world.store.runs.values()} == {RunState.SYSTEM_ERROR}
    assert threading.active_count() == before


def test_a_provider_whose_daemon_is_gone_leaves_its_runs_queued(world: World, run: RunId) -> None:
    before = live(world, "before", {SHELL: ""})
    with world.plain_units() as work:
        work.leases.close(before)
        work.commit()
    settle = Settling(world)

    settle()
    settle.over(timedelta(hours=3))

    record = world.queries.get(run)
    assert record.run.state is RunState.QUEUED
    assert (record.unserved or "").startswith("no daemon that serves the provider shell is at work (h served it until")


def test_a_provider_that_has_accepted_runs_stays_known_without_any_record_of_its_daemon(world: World) -> None:
    world.directory.providers[SHELL] = MemoryProvider()
    world.queue(a_run("before", tags={"provider_type": "shell"}))
    world.daemon(serving=[SHELL]).submit()
    del world.directory.providers[SHELL]
    world.queue(a_run("run-1", tags={"provider_type": "shell"}))
    settle = Settling(world)

    settle()
    settle.over(timedelta(hours=3))

    assert world.run().state is RunState.QUEUED


def test_a_run_in_doubt_stays_in_doubt_and_is_never_ended(world: World, run: RunId) -> None:
    shell = MemoryProvider()
    shell.fail_next(OutcomeUnknown("timeout"))
    world.directory.providers[SHELL] = shell
    world.submission_policy = replace(world.submission_policy, timeout=DAY)
    world.daemon(serving=[SHELL]).submit()
    del world.directory.providers[SHELL]
    settle = Settling(world)

    settle.over(timedelta(hours=1))
    after_an_hour = world.queries.get(run).submission
    settle.over(2 * DAY)

    assert after_an_hour is SubmissionState.INTENT
    assert world.queries.get(run).submission is SubmissionState.REVIEW
    assert world.run().state is RunState.QUEUED


def test_an_accepted_run_stays_as_it_is_and_shows_why_nothing_is_known_of_it(world: World, run: RunId) -> None:
    world.directory.providers[SHELL] = MemoryProvider()
    world.daemon(serving=[SHELL]).submit()
    del world.directory.providers[SHELL]

    settle = Settling(world, {SHELL: NOT_SET_UP})
    settle()
    settle.over(2 * DAY)

    assert world.run().state is RunState.INITIALIZING
    assert NOT_SET_UP in (world.queries.get(run).unserved or "")


@pytest.mark.parametrize("is_enrolled", [False, True])
def test_a_cancelled_run_ends_in_a_daemon_without_providers(world: World, run: RunId, is_enrolled: bool) -> None:
    world.directory.providers.clear()
    settle = Settling(world, {SHELL: NOT_SET_UP})
    if is_enrolled:
        settle()
    world.set_state(run, RunState.CANCELING)

    settle()

    assert world.run().state is RunState.CANCELED


def test_without_any_provider_runs_are_enrolled_and_wait(world: World) -> None:
    world.directory.providers.clear()
    world.queue(a_run(), a_run("run-2", tags={"provider_type": "azure batch"}))

    Settling(world, {SEVENBRIDGES: "it is not set up"})()

    record = world.queries.get(RunId("run-1"))
    assert record.submission is SubmissionState.READY
    assert record.unserved == "no daemon serves the provider sevenbridges: it is not set up"
    assert world.run("run-2").state is RunState.SYSTEM_ERROR


def test_the_runs_of_served_providers_are_not_touched(world: World) -> None:
    world.queue(a_run())
    world.provider.fail_next(NotNow("busy"))
    world.daemon().submit()

    assert Settling(world)() == UnservedReport()
