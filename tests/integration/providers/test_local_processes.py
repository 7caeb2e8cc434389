"""The processes of the local provider: concurrent submission, death of the daemon or the runner, cancellation."""

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.providers import local_processes
from tests.integration.providers.local_harness import TIMEOUT, LocalHarness, runners_of, wait_until
from wes_daemon.adapters.providers.local.cleanup import find_processes
from wes_daemon.adapters.providers.local.engine_parameters import run_environment
from wes_daemon.adapters.providers.local.provider import RUNNER, launch_runner
from wes_daemon.adapters.providers.local.run_directory import RunDirectory
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId
from wes_daemon.domain.states import RunState
from wes_daemon.testing import status

pytest.importorskip("cwltool")

SPAWN = multiprocessing.get_context("spawn")
BOUND = TIMEOUT.total_seconds()


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[LocalHarness]:
    harness = LocalHarness(tmp_path)
    yield harness
    harness.close()


def start_runner(run: RunDirectory) -> subprocess.Popen[bytes]:
    """Start a runner as the provider does, without waiting for it."""
    command = [sys.executable, "-P", "-m", RUNNER, str(run.path)]
    return subprocess.Popen(command, env=run_environment(os.environ))


def runner_of(run: RunDirectory) -> psutil.Process:
    """Return the runner of a run."""
    [found] = runners_of(run)
    return found


def stubborn(harness: LocalHarness, tmp_path: Path) -> tuple[ProviderRunId, psutil.Process]:
    """Start a tool that ignores SIGTERM; return the run's id and the tool's child process in another session."""
    ready = tmp_path / "ready"
    id = harness.provider().submit(harness.of("stubborn.cwl", {"ready": str(ready)})).id
    wait_until(lambda: ready.exists() and ready.read_text(), "the tool to be ready")
    return id, psutil.Process(int(ready.read_text()))


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_two_processes_that_submit_at_once_start_each_run_once(harness: LocalHarness) -> None:
    submissions = [harness.submission() for _ in range(6)]
    barrier = SPAWN.Barrier(2)
    arguments = (harness.workdir, submissions, barrier)
    processes = [SPAWN.Process(target=local_processes.submit_together, args=arguments) for _ in range(2)]

    for process in processes:
        process.start()
    for process in processes:
        process.join(BOUND)

    assert [process.exitcode for process in processes] == [0, 0]
    assert [harness.starts(submission.key) for submission in submissions] == [1] * 6


def test_two_runners_of_one_run_start_it_once(harness: LocalHarness) -> None:
    submission = harness.submission()
    harness.only_prepare(submission)
    run = harness.run(submission.key)

    runners = [start_runner(run) for _ in range(5)]

    assert [runner.wait(BOUND) for runner in runners] == [0] * 5
    assert harness.starts(submission.key) == 1


def test_reading_the_status_of_a_run_does_not_prevent_its_start(harness: LocalHarness) -> None:
    submission = harness.submission()
    harness.only_prepare(submission)
    run = harness.run(submission.key)

    with run.lock.open() as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        launcher = start_runner(run)
        wait_until(lambda: len(runners_of(run)) == 2 or launcher.poll() is not None, "the runner to detach")

    assert launcher.wait(BOUND) == 0
    assert run.has_started
    assert harness.starts(submission.key) == 1


def test_two_readers_do_not_take_each_other_for_a_runner(harness: LocalHarness) -> None:
    run = harness.run(harness.only_prepare(harness.submission()))

    with run.lock.open() as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)

        assert not run.has_runner


def test_a_run_outlives_the_process_that_submitted_it(harness: LocalHarness) -> None:
    submission = harness.submission()
    process = SPAWN.Process(target=local_processes.submit_and_die, args=(harness.workdir, submission))

    process.start()
    process.join(BOUND)

    assert process.exitcode == -signal.SIGKILL
    harness.reach(ProviderRunId(submission.key), RunState.COMPLETE)
    assert harness.starts(submission.key) == 1


def test_a_run_is_in_no_group_or_session_of_the_daemons(harness: LocalHarness) -> None:
    submission = harness.submission(RunState.RUNNING)
    harness.provider().submit(submission)
    run = harness.run(submission.key)
    wait_until(lambda: find_processes(run), "cwltool to start")

    runner = runner_of(run)

    assert os.getsid(runner.pid) == runner.pid
    assert runner.ppid() != os.getpid()
    assert all(os.getpgid(process.pid) != os.getpgrp() for process in find_processes(run))


def test_a_run_whose_runner_was_killed_is_lost_and_leaves_nothing(harness: LocalHarness, tmp_path: Path) -> None:
    id, tool = stubborn(harness, tmp_path)
    run = harness.run(id)
    runner_of(run).kill()
    wait_until(lambda: not run.has_runner, "the runner to die")

    report = status(harness.provider(), id)

    assert (report.state, report.provider_status) == (RunState.SYSTEM_ERROR, "lost")
    assert "was killed, or the machine was restarted" in report.message
    assert find_processes(run) == []
    assert is_gone(tool)
    assert status(harness.provider(), id) == report
    wait_until(lambda: not run.temporary.exists(), "the temporary files to be removed")


def test_a_run_whose_cwltool_was_killed_names_what_often_kills_it(harness: LocalHarness, tmp_path: Path) -> None:
    id, _ = stubborn(harness, tmp_path)
    run = harness.run(id)
    [cwltool] = runner_of(run).children()

    cwltool.kill()

    wait_until(lambda: run.result is not None, "the run to end")
    report = status(harness.provider(), id)
    assert (report.state, report.provider_status) == (RunState.SYSTEM_ERROR, "killed 9")
    assert "the machine may have run out of memory: see the kernel's log" in report.message


def test_a_lost_run_is_not_started_again(harness: LocalHarness) -> None:
    submission = harness.submission(RunState.RUNNING)
    provider = harness.provider()
    id = provider.submit(submission).id
    run = harness.run(id)
    runner_of(run).kill()
    wait_until(lambda: not run.has_runner, "the runner to die")

    assert provider.submit(submission).id == id
    launch_runner(run)

    assert not run.has_runner
    assert status(provider, id).state is RunState.SYSTEM_ERROR


def test_a_cancellation_ends_tools_that_ignore_sigterm_or_are_in_another_session(
    harness: LocalHarness, tmp_path: Path
) -> None:
    id, tool = stubborn(harness, tmp_path)
    provider = harness.provider()
    assert os.getsid(tool.pid) == tool.pid
    assert status(provider, id).state is RunState.RUNNING

    provider.cancel(id)

    assert status(provider, id).state is RunState.CANCELING
    harness.reach(id, RunState.CANCELED)
    assert is_gone(tool)
    assert find_processes(harness.run(id)) == []


def test_a_cancellation_ends_the_processes_of_a_killed_runner(harness: LocalHarness, tmp_path: Path) -> None:
    id, tool = stubborn(harness, tmp_path)
    run = harness.run(id)
    runner_of(run).kill()
    wait_until(lambda: not run.has_runner, "the runner to die")

    harness.provider().cancel(id)

    assert status(harness.provider(), id).state is RunState.CANCELED
    assert is_gone(tool)
    assert find_processes(run) == []


def test_a_run_that_is_cancelled_before_its_start_never_starts(harness: LocalHarness) -> None:
    submission = harness.submission()
    id = harness.only_prepare(submission)
    assert status(harness.provider(), id).state is RunState.INITIALIZING
    harness.provider().cancel(id)

    assert harness.provider().submit(submission).id == id

    harness.reach(id, RunState.CANCELED)
    assert harness.starts(submission.key) == 0
    assert not harness.run(id).cwltool_stderr.exists()


def test_an_interrupted_step_of_a_cancelled_run_has_an_end(harness: LocalHarness) -> None:
    provider = harness.provider()
    id = provider.submit(harness.of("sleep.cwl")).id
    wait_until(lambda: provider.details(id).tasks, "the step to begin")
    [running] = provider.details(id).tasks
    assert running.ended_at is None

    provider.cancel(id)

    harness.reach(id, RunState.CANCELED)
    [stopped] = provider.details(id).tasks
    assert stopped.id == running.id
    assert stopped.ended_at is not None
    assert stopped.exit_code != 0


def test_background_processes_of_a_tool_end_with_the_run(harness: LocalHarness, tmp_path: Path) -> None:
    submission = _with_a_background_process(harness, tmp_path)

    id = harness.provider().submit(submission).id

    harness.reach(id, RunState.COMPLETE)
    pid = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(pid) or is_gone(psutil.Process(pid))


@pytest.mark.parametrize("key", ["../x", "wes-a/b", "wes-Ünï", "wes-A", "wes-a", ".", "wes-" + "x" * 36])
def test_any_key_has_a_directory_of_its_own(harness: LocalHarness, key: str) -> None:
    submission = harness.of("counted.cwl", key=key)

    id = harness.only_prepare(submission)

    assert (harness.workdir / id).parent == harness.workdir
    assert (harness.workdir / id / "request.json").exists()
    assert id in harness.provider().statuses([id])


def _with_a_background_process(harness: LocalHarness, tmp_path: Path) -> Submission:
    script = f"sleep 600 & echo $! > {tmp_path / 'pid'}"
    tool = tmp_path / "leaves.cwl"
    tool.write_text(
        f"cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [sh, -c, '{script}']\ninputs: {{}}\noutputs: {{}}\n"
    )
    return harness.of("", url=tool.as_uri(), key=IdempotencyKey("wes-leaves"))
