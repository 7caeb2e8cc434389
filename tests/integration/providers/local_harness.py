"""The local provider under test, with real processes and the real cwltool."""

import multiprocessing
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path

import psutil

from tests.integration.providers import local_processes
from wes_daemon.adapters.providers.local.cleanup import end_processes, find_processes
from wes_daemon.adapters.providers.local.engines import Dialect, ExternalEngine
from wes_daemon.adapters.providers.local.provider import RUNNER, LocalProvider, launch_runner
from wes_daemon.adapters.providers.local.run_directory import RunDirectory
from wes_daemon.adapters.providers.local.work_directory import directory_name
from wes_daemon.adapters.system import SystemClock
from wes_daemon.application.ports.errors import OutcomeUnknown
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import Attachment, IdempotencyKey, ProviderRunId, RunId, WorkflowRequest
from wes_daemon.domain.states import RunState
from wes_daemon.testing import ProviderHarness

CWL = Path(__file__).parents[2] / "cwl"
TIMEOUT = timedelta(minutes=3)
_ENDED = {state for state in RunState if state.has_ended}
_POLL_INTERVAL = timedelta(milliseconds=50)
_INPUTS: Mapping[RunState, Mapping[str, object]] = {
    RunState.RUNNING: {"seconds": 600},
    RunState.COMPLETE: {},
    RunState.EXECUTOR_ERROR: {"code": 3},
}


class LocalHarness(ProviderHarness):
    """Keeps its runs in `folder`. Each tool appends a line to a ledger, which counts the actual executions."""

    def __init__(self, folder: Path, engine: ExternalEngine | None = None) -> None:
        self.engine = engine
        self.workdir = folder / "runs"
        self.workdir.mkdir()
        self.ledger = folder / "ledger"
        self.fetch_timeout = timedelta(seconds=60)
        self._numbers = count(1)

    def provider(self) -> LocalProvider:
        return LocalProvider(self.workdir, clock=SystemClock(), fetch_timeout=self.fetch_timeout, engine=self.engine)

    def submission(self, fate: RunState = RunState.COMPLETE) -> Submission:
        name = f"wes-{next(self._numbers)}"
        return self.of("counted.cwl", {"ledger": str(self.ledger), "line": name, **_INPUTS[fate]}, key=name)

    def of(
        self,
        document: str,
        params: object = None,
        *,
        key: str | None = None,
        engine: object = None,
        attachments: Sequence[Attachment] = (),
        url: str | None = None,
    ) -> Submission:
        """A submission of one of the documents in `tests/cwl`, or of the workflow at `url`."""
        key = key or f"wes-{next(self._numbers)}"
        return Submission(
            key=IdempotencyKey(key),
            run_id=RunId(key.removeprefix("wes-")),
            request=WorkflowRequest(
                workflow_url=url or (CWL / document).as_uri(),
                workflow_type="CWL",
                workflow_type_version="v1.2",
                workflow_params=params or {},
                workflow_engine_parameters={**self._no_container(), **(engine if isinstance(engine, Mapping) else {})},
            ),
            attachments=attachments,
        )

    def reach(self, id: ProviderRunId, state: RunState) -> None:
        provider = self.provider()
        wait_until(lambda: provider.statuses([id])[id].state in {state, *_ENDED}, f"{id} to become {state}")
        report = provider.statuses([id])[id]
        assert report.state is state, report

    def starts(self, key: IdempotencyKey) -> int:
        run = self.run(key)
        if run.has_started:
            wait_until(lambda: run.result is not None, f"{key} to end")
            self._settle(run)
        return self._lines(key)

    def refused(self) -> Submission:
        return self.of("there_is_no_such_document.cwl")

    def lose_answer(self, submission: Submission) -> None:
        with suppress(OutcomeUnknown):
            LocalProvider(self.workdir, clock=SystemClock(), launch=_launch_and_forget, engine=self.engine).submit(
                submission
            )

    def only_prepare(self, submission: Submission) -> ProviderRunId:
        provider = LocalProvider(self.workdir, clock=SystemClock(), launch=lambda _: None, engine=self.engine)
        try:
            return provider.submit(submission).id
        except OutcomeUnknown:
            return ProviderRunId(directory_name(submission.key))

    def submit_in_another_process(self, submission: Submission) -> ProviderRunId:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
            return processes.submit(local_processes.submit, self.workdir, submission, self.engine).result(
                TIMEOUT.total_seconds()
            )

    def run(self, key: IdempotencyKey | ProviderRunId) -> RunDirectory:
        """The directory of a run."""
        return RunDirectory(self.workdir / directory_name(IdempotencyKey(key)))

    def id(self, submission: Submission) -> ProviderRunId:
        """The id that a submission's run has."""
        return ProviderRunId(directory_name(submission.key))

    def close(self) -> None:
        """End all processes of all runs and check that none is left."""
        for path in filter(Path.is_dir, self.workdir.iterdir()):
            run = RunDirectory(path)
            self.provider().cancel(ProviderRunId(path.name))
            end_processes(run, grace=timedelta())
            self._settle(run)

    def _no_container(self) -> Mapping[str, object]:
        # Explicit, because these tools need no container on any machine.
        return {} if self.engine and self.engine.dialect is Dialect.OTHER else {"container": "none"}

    def _settle(self, run: RunDirectory) -> None:
        wait_until(lambda: not (run.has_runner or find_processes(run)), f"the processes of {run.path.name} to end")

    def _lines(self, key: IdempotencyKey) -> int:
        return self.ledger.read_text().splitlines().count(key) if self.ledger.exists() else 0


def _launch_and_forget(run: RunDirectory) -> None:
    launch_runner(run)
    raise OutcomeUnknown("the answer was lost")


def runners_of(run: RunDirectory) -> Sequence[psutil.Process]:
    """Return the runner of a run, and processes that are about to become it."""
    arguments = [RUNNER, str(run.path)]
    return [
        process for process in psutil.process_iter(["cmdline"]) if (process.info["cmdline"] or [])[-2:] == arguments
    ]


def wait_until(holds: Callable[[], object], what: str, timeout: timedelta = TIMEOUT) -> None:
    """Poll until a condition holds."""
    for _ in range(timeout // _POLL_INTERVAL):
        if holds():
            return
        threading.Event().wait(_POLL_INTERVAL.total_seconds())
    raise AssertionError(f"waited {timeout} for {what}")
