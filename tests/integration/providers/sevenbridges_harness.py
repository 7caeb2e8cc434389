"""The Seven Bridges provider under test: the real SDK against the simulated service."""

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from tests.simulators.sevenbridges.faults import CUT_AFTER
from tests.simulators.sevenbridges.platform import Platform
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.provider import SevenBridgesProvider
from wes_daemon.application.ports.call_gate import CallGate
from wes_daemon.application.ports.errors import OutcomeUnknown
from wes_daemon.application.ports.providers import Accepted, Prepared, Submission
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, RunId, WorkflowRequest
from wes_daemon.domain.states import RunState
from wes_daemon.testing import ProviderHarness, accept

TOKEN = "not-a-token"
PROJECT = "lab/genomes"
APP = f"{PROJECT}/align"
BATCHING_APP = f"{PROJECT}/align-batch"
PORTS = {"sample": "string", "lanes": "int?", "reads": "File?", "pairs": "File[]?", "reference": "Directory?"}


def furnish(platform: Platform) -> Platform:
    """Add a project with two apps, and a token that may use it."""
    platform.add_token(TOKEN, PROJECT)
    platform.add_app(APP, PORTS, revisions=3)
    platform.add_app(BATCHING_APP, PORTS, batches=True)
    return platform


def environment(bundle: Path, endpoint: str) -> Mapping[str, str]:
    """The variables with which a daemon finds the simulator at `endpoint` and trusts its certificate."""
    return {
        "REQUESTS_CA_BUNDLE": str(bundle),
        "SEVENBRIDGES_API_ENDPOINT": endpoint,
        "SEVENBRIDGES_API_TOKEN": TOKEN,
        "SEVENBRIDGES_PROJECT": PROJECT,
        "SEVENBRIDGES_RATE_LIMIT": "off",
    }


class SevenBridgesHarness(ProviderHarness):
    """One simulated platform, and as many providers as a test asks for."""

    def __init__(self, platform: Platform, endpoint: str, clock: ManualClock) -> None:
        self.platform = platform
        self.clock = clock
        self.config = SevenBridgesConfig(endpoint=endpoint, token=TOKEN, project=PROJECT)
        self._providers: list[SevenBridgesProvider] = []
        self._numbers = count(1)

    def provider(
        self,
        *,
        gate: CallGate | None = None,
        read_timeout: timedelta = timedelta(seconds=10),
        token: str = TOKEN,
        project: str = PROJECT,
        drs_host: str | None = None,
    ) -> SevenBridgesProvider:
        config = replace(self.config, token=token, project=project, read_timeout=read_timeout, drs_host=drs_host)
        made = SevenBridgesProvider(config, clock=self.clock, gate=gate)
        self._providers.append(made)
        return made

    def submission(self, fate: RunState = RunState.COMPLETE) -> Submission:
        return self.of({"sample": str(fate)})

    def of(
        self,
        params: object = None,
        *,
        url: str = APP,
        engine: object = None,
        tags: Mapping[str, object] | None = None,
        key: str | None = None,
    ) -> Submission:
        """A submission that works, apart from the given parts."""
        key = key or f"wes-run-{next(self._numbers)}"
        return Submission(
            key=IdempotencyKey(key),
            run_id=RunId(key.removeprefix("wes-")),
            request=WorkflowRequest(
                workflow_url=url,
                workflow_type="CWL",
                workflow_type_version="v1.2",
                workflow_params={"sample": "NA12878"} if params is None else params,
                workflow_engine_parameters=engine or {},
            ),
            tags=tags or {},
        )

    def reach(self, id: ProviderRunId, state: RunState) -> None:
        if state is RunState.COMPLETE:
            self.platform.complete(id)
        elif state is RunState.EXECUTOR_ERROR:
            self.platform.fail(id)
        elif state is RunState.RUNNING:
            self.platform.move(id, "RUNNING")
        elif self.platform.tasks[id]["status"] == "ABORTING":
            self.platform.move(id, "ABORTED")
        self.clock.advance(timedelta(seconds=5))

    def starts(self, key: IdempotencyKey) -> int:
        return sum(start.name == key for start in self.platform.started)

    def refused(self) -> Submission:
        return self.of({"sample": 7})

    def lose_answer(self, submission: Submission) -> None:
        self.platform.faults.add("create_task", CUT_AFTER)
        with suppress(OutcomeUnknown):
            self.provider().submit(submission)

    def only_prepare(self, submission: Submission) -> ProviderRunId:
        answer = self.provider().submit(submission)
        assert isinstance(answer, Prepared)
        return answer.id

    def start_former(self, run_id: RunId) -> str:
        template = self.platform.tasks.pop(accept(self.provider(), self.of()))
        id = self.platform.new_id("task")
        named = {"id": id, "name": f"WES-{run_id}", "description": f"Workflow run {run_id}"}
        self.platform.tasks[id] = {**template, **named}
        self.platform.move(id, "RUNNING")
        return id

    def submit_in_another_process(self, submission: Submission) -> ProviderRunId:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
            return processes.submit(submit_once, self.config, submission).result(60)

    def tasks(self, key: IdempotencyKey | str) -> list[dict[str, object]]:
        """The platform's tasks with this ownership marker, drafts included."""
        return [task for task in self.platform.tasks.values() if task["name"] == key]

    def drafts(self, submission: Submission, number: int) -> list[str]:
        """Drafts of one submission, created by attempts that do not see each other's; the oldest first."""
        hidden: dict[str, dict[str, Any]] = {}
        for _ in range(number):
            id = self.only_prepare(submission)
            hidden[id] = self.platform.tasks.pop(id)
            self.clock.advance(timedelta(seconds=2))
        self.platform.tasks.update(hidden)
        self.platform.calls.clear()
        return list(hidden)

    def copies(self, number: int, **changes: Any) -> list[ProviderRunId]:
        """Copies of a started task, with changes."""
        template = self.platform.tasks[accept(self.provider(), self.of())]
        ids = [self.platform.new_id("task") for _ in range(number)]
        self.platform.tasks.update({id: {**template, "id": id, **changes} for id in ids})
        self.platform.calls.clear()
        return [ProviderRunId(id) for id in ids]

    def operations(self) -> list[str]:
        """The operations called since the last use of this method."""
        made = [call.operation for call in self.platform.calls]
        self.platform.calls.clear()
        return made

    def close(self) -> None:
        """Close all providers."""
        for provider in self._providers:
            provider.close()


def submit_once(config: SevenBridgesConfig, submission: Submission) -> ProviderRunId:
    """Submit from a new process, which gets the certificate authority from the environment."""
    provider = SevenBridgesProvider(config, clock=ManualClock())
    id = accept(provider, submission)
    provider.close()
    return id


class Caller:
    """Submits as the use case does: records prepared drafts, and tries again after every failure.

    Attributes:
        recorded: the draft of each key, as a database would hold it.
    """

    def __init__(self) -> None:
        self.recorded: dict[IdempotencyKey, ProviderRunId] = {}
        self.accepted: dict[IdempotencyKey, ProviderRunId] = {}

    def attempt(self, provider: SevenBridgesProvider, submission: Submission) -> None:
        """Submit one run, in both steps; raises the provider's errors."""
        answer: Accepted | Prepared = provider.submit(
            replace(submission, prepared_id=self.recorded.get(submission.key))
        )
        if isinstance(answer, Prepared):
            self.recorded[submission.key] = answer.id
            answer = provider.submit(replace(submission, prepared_id=answer.id))
        assert isinstance(answer, Accepted)
        self.accepted[submission.key] = answer.id
