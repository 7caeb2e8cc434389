"""Runs whose provider no live daemon serves: they wait with a reason, or end where the name was never known."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.builders import a_run, a_submission_policy
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.adapters.memory.environment import InlineExecutor
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.adapters.memory.published_providers import MemoryPublishedProviders
from wes_daemon.application.ports.errors import NotNow, OutcomeUnknown
from wes_daemon.application.ports.leases import DaemonInfo, Publication, SessionId
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.submitting.unserved_runs import SettleUnservedRuns, UnservedDirectory, UnservedPasses
from wes_daemon.domain.runs import ProviderType, RunId
from wes_daemon.domain.states import RunState

SEVENBRIDGES, SHELL = ProviderType.SEVENBRIDGES, ProviderType("shell")
NOT_SET_UP = "it is not set up: set SHELL_DIRECTORY"
DAY = timedelta(days=1)


def settling(world: World, reasons: Mapping[ProviderType, str] | None = None) -> SettleUnservedRuns:
    """The use case of a daemon that serves what is in the world's directory."""
    directory = UnservedDirectory()

    def make(name: ProviderType | None) -> UnservedPasses:
        real, world.directory = world.directory, directory  # type: ignore[assignment]  # a directory of its own
        daemon = DaemonUnderTest(world, frozenset({name} if name else ()))
        submit = daemon.submitting(pool=InlineExecutor(), policy=world.submission_policy, serving=frozenset({name}))
        world.directory = real
        return UnservedPasses(submit=submit, follow=lambda: (daemon.cancel(), daemon.refresh()))

    return SettleUnservedRuns(
        published=MemoryPublishedProviders(world.store),
        providers=world.directory,
        default_provider=SEVENBRIDGES,
        destination=world.submission_policy.destination,
        reasons=dict.fromkeys(world.directory.enabled, "") | dict(reasons or {}),
        directory=directory,
        make_passes=make,
    )


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
    settle = settling(world, {SHELL: NOT_SET_UP})

    settle()
    settle()

    record = world.queries.get(run)
    assert record.run.state is RunState.QUEUED
    assert record.last_reason == f"no daemon serves the provider shell: {NOT_SET_UP}"
    lines = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert lines == [f'provider.misconfigured provider=shell reason="{record.last_reason}"']


@pytest.mark.usefixtures("run")
def test_it_ends_when_its_time_is_used_up(world: World) -> None:
    world.submission_policy = a_submission_policy(timeout=DAY)
    settle = settling(world, {SHELL: NOT_SET_UP})
    settle()

    world.clock.advance(DAY - timedelta(minutes=1))
    settle()
    early = world.run().state
    world.clock.advance(timedelta(minutes=2))
    settle()

    assert (early, world.run().state) == (RunState.QUEUED, RunState.SYSTEM_ERROR)
    assert NOT_SET_UP in (world.run().error or "")


@pytest.mark.usefixtures("run")
def test_it_is_submitted_once_its_provider_is_configured(world: World) -> None:
    settling(world, {SHELL: NOT_SET_UP})()
    shell = MemoryProvider()
    world.directory.providers[SHELL] = shell

    world.clock.advance(timedelta(minutes=1))
    world.daemon(serving=[SHELL]).submit()

    assert shell.started == ["wes-run-1"]
    assert world.run().error is None


def test_a_run_that_another_daemon_serves_is_left_alone(world: World, run: RunId) -> None:
    live(world, "other", {SHELL: ""})

    reports = settling(world, {SHELL: NOT_SET_UP})()

    assert reports == []
    assert world.queries.get(run).submission is None


@pytest.mark.usefixtures("run")
def test_a_run_is_left_alone_while_a_daemon_is_at_work_that_publishes_nothing(world: World) -> None:
    live(world, "older", None)

    assert settling(world, {SHELL: NOT_SET_UP})() == []


def test_the_reason_is_that_of_a_daemon_that_knows_the_provider(world: World, run: RunId) -> None:
    live(world, "other", {SHELL: NOT_SET_UP})

    settling(world)()

    assert world.queries.get(run).last_reason == f"no daemon serves the provider shell: {NOT_SET_UP}"


@pytest.mark.usefixtures("run")
def test_a_name_that_no_daemon_has_ever_known_ends_the_run_with_the_names_that_exist(world: World) -> None:
    settling(world, {ProviderType("slurm"): "it is not set up"})()

    assert world.run().state is RunState.SYSTEM_ERROR
    assert world.run().error == "there is no provider 'shell'; the providers are sevenbridges, slurm"


def test_a_provider_whose_plug_in_was_removed_leaves_its_runs_queued(world: World, run: RunId) -> None:
    before = live(world, "before", {SHELL: ""})
    with world.plain_units() as work:
        work.leases.close(before)
        work.commit()

    settling(world)()

    record = world.queries.get(run)
    assert record.run.state is RunState.QUEUED
    assert "its plug-in is no longer installed, or its table in DAEMON_PROVIDERS_FILE is gone; the providers are" in (
        record.last_reason or ""
    )


def test_a_provider_that_has_accepted_runs_stays_known_without_any_record_of_its_daemon(world: World) -> None:
    world.directory.providers[SHELL] = MemoryProvider()
    world.queue(a_run("before", tags={"provider_type": "shell"}))
    world.daemon(serving=[SHELL]).submit()
    del world.directory.providers[SHELL]
    world.queue(a_run("run-1", tags={"provider_type": "shell"}))

    settling(world)()

    assert world.run().state is RunState.QUEUED


def test_a_run_in_doubt_stays_in_doubt_and_is_never_ended(world: World, run: RunId) -> None:
    shell = MemoryProvider()
    shell.fail_next(OutcomeUnknown("timeout"))
    world.directory.providers[SHELL] = shell
    world.daemon(serving=[SHELL]).submit()
    del world.directory.providers[SHELL]
    world.submission_policy = replace(world.submission_policy, timeout=DAY)
    settle = settling(world)
    world.clock.advance(timedelta(hours=1))

    settle()
    after_an_hour = world.queries.get(run).submission
    world.clock.advance(2 * DAY)
    settle()

    assert after_an_hour is SubmissionState.INTENT
    assert world.queries.get(run).submission is SubmissionState.REVIEW
    assert world.run().state is RunState.QUEUED


@pytest.mark.usefixtures("run")
def test_a_cancelled_run_of_an_unserved_provider_ends(world: World) -> None:
    settle = settling(world, {SHELL: NOT_SET_UP})
    settle()
    world.set_state("run-1", RunState.CANCELING)

    settle()

    assert world.run().state is RunState.CANCELED


@pytest.mark.usefixtures("run")
def test_what_is_known_of_accepted_runs_stays_and_the_log_says_why_nothing_is_added(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.directory.providers[SHELL] = MemoryProvider()
    world.daemon(serving=[SHELL]).submit()
    del world.directory.providers[SHELL]
    world.clock.advance(timedelta(hours=1))

    settling(world, {SHELL: NOT_SET_UP})()

    assert world.run().state is RunState.INITIALIZING
    assert any("refresh.cannot_ask provider=shell" in each.getMessage() for each in caplog.records)


def test_without_any_provider_runs_are_enrolled_and_wait(world: World) -> None:
    world.directory.providers.clear()
    world.queue(a_run(), a_run("run-2", tags={"provider_type": "azure batch"}))

    settling(world, {SEVENBRIDGES: "it is not set up"})()

    assert world.run().state is RunState.QUEUED
    assert (
        world.queries.get(RunId("run-1")).last_reason == "no daemon serves the provider sevenbridges: it is not set up"
    )
    assert world.run("run-2").state is RunState.SYSTEM_ERROR


def test_the_runs_of_served_providers_are_not_touched(world: World) -> None:
    world.queue(a_run())
    world.provider.fail_next(NotNow("busy"))
    world.daemon().submit()

    assert settling(world)() == []
