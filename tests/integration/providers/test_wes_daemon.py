"""Whole runs through the use cases, at simulated WES servers."""

import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import a_run, a_submission_policy
from tests.integration.providers.wes_harness import WesHarness, wes_harness
from tests.simulators.wes import faults
from tests.simulators.wes.faults import Fault, refusing
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.adapters.memory.providers import MemoryProviderDirectory
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.domain.runs import ProviderType, WorkflowRequest
from wes_daemon.domain.states import RunState

RUNS = 50
_LIKE_TOIL: Mapping[str, Any] = {
    "lists_tags": False,
    "list_key": "workflows",
    "list_times": False,
    "page_limit": None,
    "relative_logs": True,
    "has_task_list": False,
    "task_ids": False,
    "types": ("cwl",),
}


def _world(harness: WesHarness, runs: int) -> tuple[World, Callable[[], DaemonUnderTest]]:
    """A database with queued runs, and what makes daemons that know nothing of each other."""
    policy = a_submission_policy(concurrency_limit=runs, batch=16, default_provider=ProviderType.WES)
    world = World(clock=harness.clock, submission_policy=policy)
    request = WorkflowRequest(workflow_url="https://lab/x.cwl", workflow_type="CWL", workflow_type_version="v1.2")
    world.queue(*[a_run(f"run-{number}", request=request) for number in range(runs)])

    def daemon() -> DaemonUnderTest:
        provider = decorated(
            harness.provider(read_timeout=timedelta(seconds=0.3)),
            ProviderType.WES,
            telemetry=world.telemetry,
            clock=harness.clock,
            sleep=harness.clock.advance,
        )
        world.directory = MemoryProviderDirectory({ProviderType.WES: provider})
        return world.daemon({ProviderType.WES})

    return world, daemon


def _advance_runs(harness: WesHarness) -> None:
    """Let the server start each queued run, and complete each running one."""
    for id, run in list(harness.model.runs.items()):
        if run.state == "RUNNING":
            harness.model.complete(id)
        elif run.state == "QUEUED":
            harness.model.move(id, "RUNNING")


@pytest.mark.parametrize("switches", [{}, _LIKE_TOIL], ids=["WES 1.1", "like Toil"])
def test_fifty_runs_come_through_a_storm_and_the_deaths_of_daemons(switches: Mapping[str, Any]) -> None:
    """The server honours keys, so that none of them needs review."""
    rng = random.Random(7)
    kinds = (
        faults.TOO_MANY,
        faults.OVERLOADED,
        faults.ERROR_AFTER,
        faults.CUT_BEFORE,
        faults.CUT_AFTER,
        faults.MID_ANSWER,
        faults.page(502),
        None,
    )
    with wes_harness(keeps_key=True, announces_key=True, **switches) as harness:
        world, new_daemon = _world(harness, RUNS)
        daemon = new_daemon()
        harness.model.faults.storm(lambda _: rng.choices(kinds, weights=[5, 3, 4, 4, 4, 4, 4, 72])[0])

        for _ in range(400):
            if world.states() == {RunState.COMPLETE}:
                break
            if rng.random() < 0.1:
                daemon = new_daemon()
            daemon.daemon_session.renew()
            daemon.submit()
            _advance_runs(harness)
            daemon.refresh()
            harness.clock.advance(timedelta(seconds=50))
        harness.model.faults.storm(None)
        for _ in range(20):
            # The details of the last runs may still be missing.
            daemon.daemon_session.renew()
            daemon.refresh()
            harness.clock.advance(timedelta(seconds=50))

        assert world.states() == {RunState.COMPLETE}
        assert len(harness.model.started) == len({key for _, key in harness.model.started}) == RUNS
        for run in world.store.runs.values():
            found = world.queries.get(run.id)
            assert "greeting" in found.details.outputs
            assert [task.name for task in found.tasks] == ["align", "sort"]
            assert run.start_time is not None
            assert run.end_time is not None


@pytest.mark.parametrize("switches", [{"cancels": False}, {"cancel_status": 501}])
def test_a_server_that_cancels_nothing_is_asked_again_every_few_minutes_only(switches: Mapping[str, Any]) -> None:
    with wes_harness(**switches) as harness:
        world, new_daemon = _world(harness, 1)
        daemon = new_daemon()
        daemon.submit()
        world.set_state("run-0", RunState.CANCELING)
        harness.operations()

        for _ in range(360):
            daemon.daemon_session.renew()
            daemon.cancel()
            harness.clock.advance(timedelta(seconds=10))

        assert 2 <= harness.operations().count("cancel") <= 13
        assert world.run("run-0").state is RunState.CANCELING


def test_a_server_that_refuses_the_credential_changes_no_run_and_all_goes_on_when_it_is_corrected() -> None:
    with wes_harness() as harness:
        world, new_daemon = _world(harness, 3)
        daemon = new_daemon()
        harness.model.faults.storm(lambda operation: refusing(401) if operation != "service_info" else None)
        daemon.submit()
        assert world.states() == {RunState.QUEUED}

        harness.model.faults.storm(None)
        harness.clock.advance(timedelta(seconds=40))
        daemon.daemon_session.renew()
        daemon.submit()

        assert len(harness.model.started) == 3
        assert {run.error for run in world.store.runs.values()} == {None}


def test_a_request_that_the_server_refuses_ends_its_run_with_the_servers_words() -> None:
    def refuse(operation: str) -> Fault | None:
        return refusing(400, "no such workflow: x.cwl") if operation == "run_workflow" else None

    with wes_harness() as harness:
        world, new_daemon = _world(harness, 1)
        harness.model.faults.storm(refuse)

        new_daemon().submit()

        assert world.run("run-0").state is RunState.SYSTEM_ERROR
        assert "no such workflow: x.cwl" in (world.run("run-0").error or "")
