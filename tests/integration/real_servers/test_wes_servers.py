"""Whole runs at real WES servers, through the use cases: results, failures, cancellation, and a killed server."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.builders import a_run, a_submission_policy
from tests.faults.waiting import eventually
from tests.integration.real_servers.servers import SERVERS, RealServer, processes_with
from tests.integration.real_servers.workflows import FAILING, TWO_STEPS, WAITING
from tests.unit.application.conftest import World
from wes_daemon.adapters.memory.providers import MemoryProviderDirectory
from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.adapters.providers.wes.provider import WesProvider
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.adapters.system import SystemClock
from wes_daemon.application.ports.errors import Unprovable
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import Attachment, IdempotencyKey, ProviderType, Run, RunId, WorkflowRequest
from wes_daemon.domain.states import RunState

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

# A run of Toil takes ten seconds on an idle machine.
_RUN_SECONDS = 180


class Scene:
    """A daemon whose provider is a real server."""

    def __init__(self, server: RealServer) -> None:
        self.server = server
        self.world = World(submission_policy=a_submission_policy(default_provider=ProviderType.WES))
        config = WesConfig(endpoint=server.endpoint)
        clock = self.world.clock
        self.provider = WesProvider(config, clock=clock)
        provider = decorated(
            self.provider,
            ProviderType.WES,
            telemetry=self.world.telemetry,
            clock=clock,
            sleep=clock.advance,
        )
        self.world.directory = MemoryProviderDirectory({ProviderType.WES: provider})
        self.daemon = self.world.daemon({ProviderType.WES})

    def queue(self, workflow: bytes, params: Mapping[str, object], files: Mapping[str, bytes]) -> RunId:
        """Queue one run with its workflow and files as attachments."""
        request = WorkflowRequest(
            workflow_url="workflow.cwl",
            workflow_type=self.server.type,
            workflow_type_version="v1.2",
            workflow_params=params,
        )
        run = a_run("run-1", request=request, tags={"sample": "NA12878", "lanes": 7})
        self.world.queue(run)
        attached = {"workflow.cwl": workflow, **files}
        self.world.store.tables.attachments[run.id] = tuple(
            Attachment(name=name, content=content) for name, content in attached.items()
        )
        return run.id

    def step(self) -> Run:
        """One pass of each loop; return the run after it."""
        self.world.clock.advance(timedelta(seconds=50))
        self.daemon.daemon_session.renew()
        self.daemon.submit()
        self.daemon.cancel()
        self.daemon.refresh()
        return self.world.run()

    def follow(self, until: Callable[[Run], bool]) -> Run:
        """Pass after pass, until the run is as expected."""
        assert eventually(lambda: until(self.step()), within=_RUN_SECONDS), (self.world.run(), self.server.output)
        return self.world.run()


def _submission(key: str) -> Submission:
    request = WorkflowRequest(workflow_url="workflow.cwl", workflow_type="CWL", workflow_type_version="v1.2")
    workflow = Attachment(name="workflow.cwl", content=FAILING)
    return Submission(
        key=IdempotencyKey(key), run_id=RunId(key.removeprefix("wes-")), request=request, attachments=[workflow]
    )


@pytest.fixture(params=SERVERS, ids=lambda kind: kind.__name__)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealServer]:
    """A new server of each kind that is installed."""
    kind: type[RealServer] = request.param
    if kind.command() is None:
        pytest.skip(f"{kind.variable} does not name the server's command")
    server = kind(tmp_path)
    server.start()
    yield server
    server.end()


@pytest.fixture
def scene(server: RealServer) -> Iterator[Scene]:
    scene = Scene(server)
    yield scene
    scene.provider.close()


def _has_ended(run: Run) -> bool:
    return run.state.has_ended


def test_a_workflow_with_attachments_ends_complete_with_outputs_tasks_and_logs(scene: Scene) -> None:
    params = {"text": {"class": "File", "path": "in/greeting.txt"}}
    run_id = scene.queue(TWO_STEPS, params, {"in/greeting.txt": b"good morning to you\n"})

    run = scene.follow(_has_ended)

    assert (run.state, run.error) == (RunState.COMPLETE, None)
    assert run.end_time is not None
    found = scene.world.queries.get(run_id)
    assert "count.txt" in json.dumps(found.details.outputs)
    assert found.details.exit_code == 0
    assert bool(found.tasks) is scene.server.has_tasks
    assert found.details.stderr or "success" in " ".join(found.details.system_logs)


def test_a_failing_tool_ends_the_run_with_its_words(scene: Scene) -> None:
    scene.queue(FAILING, {}, {})

    run = scene.follow(_has_ended)

    assert run.state is RunState.EXECUTOR_ERROR
    assert "no such reads: lane 7" in (run.error or "")


def test_a_cancellation_ends_the_run_there_or_is_reported_as_not_supported(
    scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flag = tmp_path / "flag"
    scene.queue(WAITING, {"flag": str(flag)}, {})
    scene.follow(lambda run: run.state is RunState.RUNNING and flag.with_suffix(".began").exists())

    with caplog.at_level(logging.WARNING):
        scene.world.set_state("run-1", RunState.CANCELING)
        scene.step()

    if scene.server.cancels:
        assert scene.follow(_has_ended).state is RunState.CANCELED
        assert eventually(lambda: not processes_with(str(flag)), within=_RUN_SECONDS)
    else:
        assert "wes.not_cancelled" in caplog.text
        flag.touch()
        assert scene.follow(_has_ended).state is RunState.COMPLETE


def test_a_run_whose_answer_was_lost_is_found_by_its_tag(scene: Scene) -> None:
    """The answers to three requests are forgotten."""
    submissions = [_submission(f"wes-lost-{number}") for number in range(3)]
    ids = [scene.provider.submit(each).id for each in submissions]

    provider = WesProvider(WesConfig(endpoint=scene.server.endpoint), clock=SystemClock())

    found = [provider.submit(replace(each, resumed=True)).id for each in submissions]
    with pytest.raises(Unprovable, match="is not sent again"):
        provider.submit(replace(_submission("wes-never-sent"), resumed=True, in_doubt_for=timedelta(hours=1)))
    owned = {run.id: run.key for run in provider.owned_runs(datetime(2020, 1, 1, tzinfo=UTC)).runs}
    provider.close()
    assert found == ids
    assert owned == {id: each.key for id, each in zip(ids, submissions, strict=True)}


def test_a_server_that_is_killed_in_the_middle_loses_and_fails_no_run(scene: Scene, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    scene.queue(WAITING, {"flag": str(flag)}, {})
    scene.follow(lambda run: run.state is RunState.RUNNING and flag.with_suffix(".began").exists())

    scene.server.kill()
    assert scene.step().state is RunState.RUNNING
    flag.touch()
    scene.server.start()

    if scene.server.tells_the_end:
        assert scene.follow(_has_ended).state is RunState.COMPLETE
    else:
        # wes-service says EXECUTOR_ERROR once, and RUNNING for ever after.
        assert [scene.step().state for _ in range(5)] == [RunState.RUNNING] * 5
