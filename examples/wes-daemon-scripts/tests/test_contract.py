"""The contract of every provider, kept by the provider of scripts."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from wes_daemon.plugins import (
    IdempotencyKey,
    NotNow,
    ProviderRunId,
    ProviderTools,
    ProviderType,
    Rejected,
    RunState,
    Submission,
    WrongProvider,
)
from wes_daemon.testing import (
    ProviderContract,
    ProviderHarness,
    SystemClock,
    a_request,
    a_submission,
    accept,
    status,
    wait_until,
)
from wes_daemon_scripts.plugin import ScriptsPlugin, ScriptsSettings
from wes_daemon_scripts.provider import ScriptsProvider, find_script, launch

SCRIPT = """
echo "$WES_KEY" >> ../../../started
echo '{"greeting": "hello"}' > "$WES_OUTPUTS"
echo "these are the last words" >&2
[ "$WES_PARAM_seconds" = 0 ] || exec sleep "$WES_PARAM_seconds"
exit "$WES_PARAM_code"
"""
PARAMS = {
    RunState.RUNNING: {"seconds": 600, "code": 0},
    RunState.COMPLETE: {"seconds": 0, "code": 0},
    RunState.EXECUTOR_ERROR: {"seconds": 0, "code": 3},
}


def do_nothing(run: Path) -> None:
    """Launch no runner, as a daemon that dies before."""


def fail(run: Path) -> None:
    """Launch no runner, and say why."""
    raise OSError(f"no process for {run}")


class ScriptsHarness(ProviderHarness):
    """Runs real scripts, each of which appends its key to the file `started`."""

    def __init__(self, folder: Path) -> None:
        self.scripts, self.workdir, self.started = folder / "scripts", folder / "runs", folder / "started"
        self.scripts.mkdir()
        (self.scripts / "work").write_text(SCRIPT)
        self._numbers = count(1)

    def provider(self, launch: Callable[[Path], None] = launch) -> ScriptsProvider:
        return ScriptsProvider(self.scripts, self.workdir, clock=SystemClock(), launch=launch)

    def submission(self, fate: RunState = RunState.COMPLETE) -> Submission:
        return self.of("scripts://work", **PARAMS[fate])

    def of(self, url: str, **params: object) -> Submission:
        request = a_request(workflow_url=url, workflow_type="SH", workflow_type_version="1", workflow_params=params)
        return a_submission(f"run-{next(self._numbers)}", request=request)

    def reach(self, id: ProviderRunId, state: RunState) -> None:
        provider = self.provider()
        wait_until(lambda: status(provider, id).state.has_ended or status(provider, id).state is state, f"{state}")
        assert status(provider, id).state is state

    def starts(self, key: IdempotencyKey) -> int:
        runs = self.provider().owned_runs(self.beginning).runs
        for id in [run.id for run in runs if run.key == key and run.state is not RunState.INITIALIZING]:
            self._wait_for_start(id, key)
        return self._count(key)

    def refused(self) -> Submission:
        return self.of("scripts://there-is-none")

    def lose_answer(self, submission: Submission) -> None:
        self.provider().submit(submission)

    def submit_in_another_process(self, submission: Submission) -> ProviderRunId:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
            return processes.submit(accept, self.provider(), submission).result()

    def close(self) -> None:
        """End all scripts."""
        provider = self.provider()
        ids = [run.id for run in provider.owned_runs(self.beginning).runs]
        for id in ids:
            provider.cancel(id)
        for id in ids:
            self._wait_for_end(id)

    def _wait_for_start(self, id: ProviderRunId, key: IdempotencyKey) -> None:
        """Wait until the script has written its key, or the run has ended without it."""
        wait_until(lambda: self._count(key) or status(self.provider(), id).state.has_ended, f"{key} to start")

    def _wait_for_end(self, id: ProviderRunId) -> None:
        wait_until(lambda: status(self.provider(), id).state.has_ended, f"{id} to end")

    def _count(self, key: IdempotencyKey) -> int:
        return self.started.read_text().split().count(key) if self.started.exists() else 0


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[ScriptsHarness]:
    harness = ScriptsHarness(tmp_path)
    yield harness
    harness.close()


class TestScriptsProvider(ProviderContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[ScriptsHarness]:
        harness = ScriptsHarness(tmp_path)
        yield harness
        harness.close()


def test_a_run_whose_daemon_died_before_the_start_is_started_by_submitting_again(harness: ScriptsHarness) -> None:
    submission = harness.submission()
    harness.provider(launch=do_nothing).submit(submission)
    assert harness.starts(submission.key) == 0

    id = accept(harness.provider(), submission)

    harness.reach(id, RunState.COMPLETE)
    assert harness.starts(submission.key) == 1


def test_a_run_that_exists_is_not_rejected_when_its_script_was_deleted(harness: ScriptsHarness) -> None:
    submission = harness.submission()
    id = accept(harness.provider(), submission)
    (harness.scripts / "work").unlink()

    assert accept(harness.provider(), submission) == id


def test_a_runner_that_cannot_be_launched_has_started_nothing(harness: ScriptsHarness) -> None:
    submission = harness.submission()

    with pytest.raises(NotNow):
        harness.provider(launch=fail).submit(submission)

    assert harness.starts(submission.key) == 0


def test_cancelling_ends_all_processes_of_a_script(harness: ScriptsHarness) -> None:
    (harness.scripts / "two").write_text("sleep 600 &\necho $! > child\nsleep 600\n")
    id = accept(harness.provider(), harness.of("scripts://two"))
    child = harness.workdir / id / "work/child"
    wait_until(lambda: child.exists() and child.read_text(), "the child of the script")

    harness.provider().cancel(id)

    harness.reach(id, RunState.CANCELED)
    wait_until(lambda: not _is_running(int(child.read_text())), "the child to end")


def test_the_last_words_of_a_failed_script_are_its_message(harness: ScriptsHarness) -> None:
    id = accept(harness.provider(), harness.submission(RunState.EXECUTOR_ERROR))
    harness.reach(id, RunState.EXECUTOR_ERROR)

    assert status(harness.provider(), id).message == "the script ended with exit code 3: these are the last words"


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "link", "", ".", "a\0b"])
def test_a_name_that_leads_out_of_the_directory_is_refused(harness: ScriptsHarness, name: str) -> None:
    (harness.scripts.parent / "outside").write_text("exit 0")
    (harness.scripts / "link").symlink_to(harness.scripts.parent / "outside")

    with pytest.raises(Rejected):
        find_script(name, harness.scripts)


def test_a_workflow_of_another_kind_belongs_to_another_provider() -> None:
    with pytest.raises(WrongProvider):
        ScriptsPlugin().check_request(ScriptsSettings.model_validate({}), a_submission())


def test_the_plug_in_builds_the_provider_from_its_settings(harness: ScriptsHarness) -> None:
    settings = ScriptsSettings.model_validate(
        {"SCRIPTS_DIRECTORY": str(harness.scripts), "SCRIPTS_WORKDIR": str(harness.workdir)}
    )
    tools = ProviderTools(name=ProviderType("scripts"), clock=SystemClock())

    provider = ScriptsPlugin().build(settings, tools)

    id = accept(provider, harness.submission())
    harness.reach(id, RunState.COMPLETE)


def _is_running(process: int) -> bool:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")")[1].split()[0] != "Z"
    return False
