"""The WES provider under test: over real HTTP against the simulated server."""

import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from ssl import SSLContext
from typing import Any

from tests.simulators.wes.faults import CUT_AFTER
from tests.simulators.wes.model import Model
from tests.simulators.wes.server import serving
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.adapters.providers.wes.provider import WesProvider
from wes_daemon.application.ports.call_gate import CallGate
from wes_daemon.application.ports.errors import OutcomeUnknown
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import Attachment, IdempotencyKey, ProviderRunId, RunId, WorkflowRequest
from wes_daemon.domain.states import RunState
from wes_daemon.testing import ProviderHarness, accept

TOKEN = "not-a-token"


class WesHarness(ProviderHarness):
    """One simulated server, and as many providers as a test asks for."""

    def __init__(self, model: Model, endpoint: str, clock: ManualClock, **config: Any) -> None:
        self.model = model
        self.clock = clock
        self.config = WesConfig(endpoint=endpoint, **config)
        self._providers: list[WesProvider] = []
        self._numbers = count(1)

    def provider(self, *, gate: CallGate | None = None, **changes: Any) -> WesProvider:
        made = WesProvider(replace(self.config, **changes), clock=self.clock, gate=gate)
        self._providers.append(made)
        return made

    def submission(self, fate: RunState = RunState.COMPLETE) -> Submission:
        return self.of({"fate": str(fate)})

    def of(
        self,
        params: object = None,
        *,
        key: str | None = None,
        tags: Mapping[str, object] | None = None,
        attachments: Mapping[str, bytes] | None = None,
        **request: Any,
    ) -> Submission:
        """A submission that works, apart from the given parts."""
        key = key or f"wes-run-{next(self._numbers)}"
        values = {"workflow_url": "wf/hello.cwl", "workflow_type": "CWL", "workflow_type_version": "v1.2", **request}
        files = {"wf/hello.cwl": b"cwlVersion: v1.2\n"} if attachments is None else attachments
        return Submission(
            key=IdempotencyKey(key),
            run_id=RunId(key.removeprefix("wes-")),
            request=WorkflowRequest(workflow_params={"message": "hi"} if params is None else params, **values),
            tags=tags or {},
            attachments=[Attachment(name=name, content=content) for name, content in files.items()],
            queued_for=timedelta(hours=3),
        )

    def reach(self, id: ProviderRunId, state: RunState) -> None:
        if state is RunState.COMPLETE:
            self.model.complete(id)
        elif state is RunState.EXECUTOR_ERROR:
            self.model.fail(id)
        elif state is RunState.RUNNING:
            self.model.move(id, "RUNNING")
        elif self.model.runs[id].state == "CANCELING":
            self.model.move(id, "CANCELED")
        self.clock.advance(timedelta(seconds=5))

    def starts(self, key: IdempotencyKey) -> int:
        return sum(started == key for _, started in self.model.started)

    def refused(self) -> Submission:
        return self.of({"refused": True})

    def lose_answer(self, submission: Submission) -> None:
        provider = self.provider()
        if self.model.switches.demands_engine:
            # Its first refusal teaches a provider to name an engine.
            accept(provider, self.of())
        self.model.faults.add("run_workflow", CUT_AFTER)
        with suppress(OutcomeUnknown):
            provider.submit(submission)

    def submit_in_another_process(self, submission: Submission) -> ProviderRunId:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
            return processes.submit(submit_once, self.config, submission).result(60)

    def operations(self) -> list[str]:
        """The operations called since the last use of this method."""
        made = [call.operation for call in self.model.calls]
        self.model.calls.clear()
        return made

    def close(self) -> None:
        """Close all providers."""
        for provider in self._providers:
            provider.close()


def submit_once(config: WesConfig, submission: Submission) -> ProviderRunId:
    """Submit from a new process."""
    provider = WesProvider(config, clock=ManualClock())
    id = accept(provider, submission)
    provider.close()
    return id


@contextmanager
def wes_harness(
    *, config: Mapping[str, Any] | None = None, tls: SSLContext | None = None, **switches: Any
) -> Iterator[WesHarness]:
    """A server with these switches, and a clock for both sides."""
    clock = ManualClock()
    model = Model(clock.now, **switches)
    with serving(model, tls) as endpoint:
        harness = WesHarness(model, endpoint, clock, **(config or {}))
        yield harness
        harness.close()
