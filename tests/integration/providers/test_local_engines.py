"""Runs with an external engine: what it prints, how it fails, how it is ended, and what a restarted daemon finds."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from tests.integration.providers.local_engines import FAKE, fake_engine, fake_toil, script
from tests.integration.providers.local_harness import LocalHarness, runners_of, wait_until
from tests.integration.providers.local_site import Site
from wes_daemon.adapters.providers.local.cleanup import find_processes
from wes_daemon.adapters.providers.local.engines import ExternalEngine
from wes_daemon.application.ports.errors import Misconfigured, Rejected
from wes_daemon.domain.runs import ProviderRunId, StatusReport
from wes_daemon.domain.states import RunState
from wes_daemon.testing import status

SHORT = timedelta(milliseconds=200)
Start = Callable[..., LocalHarness]


@pytest.fixture
def with_engine(tmp_path: Path) -> Iterator[Start]:
    """Return a function that returns the harness with an engine."""
    harness = LocalHarness(tmp_path)

    def choose(engine: ExternalEngine) -> LocalHarness:
        harness.engine = engine
        return harness

    yield choose
    harness.close()


def ended(harness: LocalHarness, state: RunState = RunState.SYSTEM_ERROR) -> StatusReport:
    """Execute one run, and return its report in the expected state."""
    id = harness.provider().submit(harness.submission()).id
    harness.reach(id, state)
    return status(harness.provider(), id)


def running(harness: LocalHarness, ready: Path) -> ProviderRunId:
    """Start a run that goes on, and wait for its step."""
    submission = harness.submission(RunState.RUNNING)
    id = harness.provider().submit(submission).id
    wait_until(lambda: ready.exists() and ready.read_text(), "the engine to start")
    wait_until(lambda: harness.ledger.exists(), "the step to start")
    return id


def kill_runner(harness: LocalHarness, id: ProviderRunId) -> None:
    [runner] = runners_of(harness.run(id))
    runner.kill()
    wait_until(lambda: not harness.run(id).has_runner, "the runner to die")


def engine_process(ready: Path) -> psutil.Process:
    return psutil.Process(json.loads(ready.read_text())["pid"])


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    return tmp_path / "ready"


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    """Return the directory of the jobs in the scheduler."""
    (tmp_path / "queue").mkdir()
    return tmp_path / "queue"


@pytest.fixture
def scancel(tmp_path: Path, queue: Path) -> tuple[str, ...]:
    """Return a command that ends jobs, as `scancel` does; it notes its arguments."""
    calls = tmp_path / "calls"
    program = script(tmp_path / "scancel", f'#!/bin/sh\necho "$@" >> {calls}\ncd {queue} && exec rm "$@"\n')
    return (str(program),)


# What an engine prints, and its exit code.


@pytest.mark.parametrize("printed", ["--prints=garbage", "--prints=[1]", "--prints={}x", None])
def test_an_engine_that_prints_no_outputs_is_the_fault_of_the_set_up(with_engine: Start, printed: str | None) -> None:
    options = ["--exits=0", *([printed] if printed else [])]

    report = ended(with_engine(fake_engine(*options)))

    assert report.message.startswith("DAEMON_LOCAL_ENGINE: ")
    assert "exited 0 and did not print one JSON object, the outputs, on standard output" in report.message
    assert "garbage" not in report.message


def test_an_engine_that_says_something_else_besides_its_outputs_is_refused(with_engine: Start) -> None:
    assert "did not print one JSON object" in ended(with_engine(fake_engine("--prints=Starting up"))).message


def test_a_workflow_without_outputs_is_complete(with_engine: Start) -> None:
    assert ended(with_engine(fake_engine("--prints={}", "--exits=0")), RunState.COMPLETE).message == ""


@pytest.mark.parametrize(
    ("exit_code", "state", "message"),
    [
        (1, RunState.EXECUTOR_ERROR, "^no such sample$"),
        (33, RunState.EXECUTOR_ERROR, r"does not support what the workflow requires \(exit code 33\): no such sample"),
        (2, RunState.SYSTEM_ERROR, "^DAEMON_LOCAL_ENGINE: .* refused its command line .*correct its options: no such"),
        (127, RunState.SYSTEM_ERROR, "^DAEMON_LOCAL_ENGINE: a program could not be started"),
        (137, RunState.SYSTEM_ERROR, "was killed by signal 9 .the machine may have run out of memory"),
        (255, RunState.EXECUTOR_ERROR, "^no such sample$"),
    ],
)
def test_the_exit_code_decides_who_is_at_fault(
    with_engine: Start, exit_code: int, state: RunState, message: str
) -> None:
    words = "--words=INFO [job x] /tmp$ tool --password geheim\nno such sample"

    report = ended(with_engine(fake_engine(words, f"--exits={exit_code}")), state)

    assert report.provider_status == f"exited {exit_code}"
    assert re.search(message, report.message), report.message
    assert "geheim" not in report.message


def test_a_traceback_of_the_engine_is_reduced_to_its_error(with_engine: Start) -> None:
    words = (
        'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    g()\npkg.BadInput: reads: expected File'
    )

    report = ended(with_engine(fake_engine(f"--words={words}", "--exits=1")), RunState.EXECUTOR_ERROR)

    assert report.message == "reads: expected File"


def test_an_engine_that_cannot_be_executed_ends_the_run_with_the_setting(with_engine: Start, tmp_path: Path) -> None:
    program = script(tmp_path / "runner", "no program\n")

    report = ended(with_engine(ExternalEngine(command=(str(program),))))

    assert report.message == f"DAEMON_LOCAL_ENGINE: {program} could not be started: Exec format error"


def test_without_the_engine_nothing_starts_and_no_run_is_changed(with_engine: Start) -> None:
    harness = with_engine(ExternalEngine(command=("no-such-runner",)))

    with pytest.raises(Misconfigured, match="DAEMON_LOCAL_ENGINE: there is no program 'no-such-runner'"):
        harness.provider().submit(harness.submission())

    assert list(harness.workdir.iterdir()) == []


def test_an_engine_parameter_that_the_engine_does_not_know_starts_nothing(with_engine: Start) -> None:
    harness = with_engine(fake_engine())

    with pytest.raises(Rejected, match="workflow_engine_parameters: parallel"):
        harness.provider().submit(harness.of("counted.cwl", engine={"parallel": True}))

    assert list(harness.workdir.iterdir()) == []


def test_an_external_engine_needs_no_cwltool_in_the_daemon(with_engine: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = with_engine(fake_engine())
    monkeypatch.setattr(
        "wes_daemon.adapters.providers.local.provider.find_spec", lambda name: None if name == "cwltool" else object()
    )

    ended(harness, RunState.COMPLETE)


# What an engine sees.


def test_an_engine_sees_harmless_variables_and_those_that_the_setting_names(
    with_engine: Start, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URI", "SLURM_CONF", "PYTHONPATH"):
        monkeypatch.setenv(name, "/x")
    engine = fake_engine("--ready", str(ready))
    harness = with_engine(ExternalEngine(command=engine.command, variables=("SLURM_CONF",)))

    ended(harness, RunState.COMPLETE)

    seen = json.loads(ready.read_text())["environment"]
    assert (seen.get("SLURM_CONF"), seen.get("DATABASE_URI"), seen.get("PYTHONPATH")) == ("/x", None, None)
    assert seen["TMPDIR"].startswith(str(harness.workdir))


def test_an_engine_finds_the_programs_that_are_installed_beside_it(
    with_engine: Start, tmp_path: Path, ready: Path
) -> None:
    ended(with_engine(fake_toil(tmp_path, "--ready", str(ready))), RunState.COMPLETE)

    assert json.loads(ready.read_text())["environment"]["PATH"].split(os.pathsep)[0] == str(tmp_path / "bin")


# Steps.


def test_steps_that_the_engine_reports_are_tasks_while_it_runs(with_engine: Start, tmp_path: Path, ready: Path) -> None:
    harness = with_engine(fake_toil(tmp_path, "--ready", str(ready)))
    id = running(harness, ready)

    wait_until(lambda: harness.provider().details(id).tasks, "the step to be reported")

    [task] = harness.provider().details(id).tasks
    assert (task.name, task.ended_at) == ("counted.cwl", None)


def test_the_words_of_a_failed_step_are_the_message_and_its_log(with_engine: Start, tmp_path: Path) -> None:
    harness = with_engine(fake_toil(tmp_path))
    id = harness.provider().submit(harness.submission(RunState.EXECUTOR_ERROR)).id

    harness.reach(id, RunState.EXECUTOR_ERROR)

    assert status(harness.provider(), id).message == "counted.cwl exited 3: ends with 3"
    [task] = harness.provider().details(id).tasks
    assert task.exit_code == 3
    assert Path(str(task.stderr).removeprefix("file://")).read_text() == "ends with 3"


# Cancellation.


def test_a_cancelled_engine_ends_its_jobs_itself(
    with_engine: Start, tmp_path: Path, ready: Path, queue: Path, scancel: tuple[str, ...]
) -> None:
    engine = fake_toil(tmp_path, "--ready", str(ready), "--queue", str(queue), cancel_jobs=scancel)
    harness = with_engine(engine)
    id = running(harness, ready)
    assert list(queue.iterdir())

    harness.provider().cancel(id)

    harness.reach(id, RunState.CANCELED)
    assert list(queue.iterdir()) == []
    assert not (tmp_path / "calls").exists()


def test_an_engine_that_ignores_sigterm_is_killed_and_its_jobs_are_ended(
    with_engine: Start, tmp_path: Path, ready: Path, queue: Path, scancel: tuple[str, ...]
) -> None:
    options = ("--ready", str(ready), "--queue", str(queue), "--ignore-sigterm")
    harness = with_engine(fake_toil(tmp_path, *options, grace=SHORT, cancel_jobs=scancel))
    id = running(harness, ready)
    engine = engine_process(ready)

    harness.provider().cancel(id)

    harness.reach(id, RunState.CANCELED)
    assert is_gone(engine)
    assert list(queue.iterdir()) == []
    assert (tmp_path / "calls").read_text() == f"{engine.pid}\n"


def test_a_cancellation_gives_the_engine_time_before_it_ends_its_processes(
    with_engine: Start, tmp_path: Path, ready: Path
) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    os.mkfifo(gate)
    program = script(
        tmp_path / "runner",
        f"""#!{sys.executable}
import os, pathlib, signal, subprocess, sys, threading
log = pathlib.Path({str(log)!r})
def note(text):
    with log.open("a") as file:
        file.write(text + "\\n")
def leave(*_):
    if sys.argv[1] != "child":
        pathlib.Path({str(ready)!r}).write_text("terminating")
        open({str(gate)!r}).read()
    note("child" if sys.argv[1] == "child" else "engine")
    os._exit(1)
signal.signal(signal.SIGTERM, leave)
if sys.argv[1] != "child":
    subprocess.Popen([sys.executable, __file__, "child"])
else:
    note("started")
threading.Event().wait(600)
""",
    )
    harness = with_engine(ExternalEngine(command=(str(program),)))
    id = harness.provider().submit(harness.submission(RunState.RUNNING)).id
    wait_until(log.exists, "the engine's process to start")

    harness.provider().cancel(id)
    wait_until(ready.exists, "SIGTERM to reach the engine")
    gate.write_text("go on")

    harness.reach(id, RunState.CANCELED)
    assert log.read_text().split() == ["started", "engine", "child"]


def test_jobs_that_cannot_be_ended_are_named(with_engine: Start, tmp_path: Path, ready: Path, queue: Path) -> None:
    harness = with_engine(fake_toil(tmp_path, "--ready", str(ready), "--queue", str(queue)))
    id = running(harness, ready)
    engine = engine_process(ready)

    engine.kill()

    harness.reach(id, RunState.SYSTEM_ERROR)
    [note, message] = harness.provider().details(id).system_logs
    assert f"the run's jobs {engine.pid} may go on in the scheduler" in note
    assert "DAEMON_LOCAL_ENGINE_CANCEL_JOBS would do it" in note
    assert "toil-cwl-runner was killed by signal 9" in message


# Restarts.


def test_a_run_whose_runner_was_killed_ends_its_engine_as_a_cancellation_does(
    with_engine: Start, tmp_path: Path, ready: Path, queue: Path
) -> None:
    harness = with_engine(fake_toil(tmp_path, "--ready", str(ready), "--queue", str(queue)))
    id = running(harness, ready)
    kill_runner(harness, id)

    harness.reach(id, RunState.SYSTEM_ERROR)

    assert status(harness.provider(), id).provider_status == "lost"
    assert is_gone(engine_process(ready))
    assert list(queue.iterdir()) == []
    assert find_processes(harness.run(id)) == []


def test_a_run_whose_runner_and_engine_were_killed_ends_its_jobs(
    with_engine: Start, tmp_path: Path, ready: Path, queue: Path, scancel: tuple[str, ...]
) -> None:
    options = ("--ready", str(ready), "--queue", str(queue))
    harness = with_engine(fake_toil(tmp_path, *options, cancel_jobs=scancel))
    id = running(harness, ready)
    [runner] = runners_of(harness.run(id))
    runner.suspend()
    engine_process(ready).kill()
    runner.kill()
    wait_until(lambda: not harness.run(id).has_runner, "the runner to die")

    harness.reach(id, RunState.SYSTEM_ERROR)

    assert status(harness.provider(), id).provider_status == "lost"
    assert list(queue.iterdir()) == []


def test_a_cancelled_run_whose_runner_was_killed_is_cancelled(
    with_engine: Start, tmp_path: Path, ready: Path, queue: Path
) -> None:
    harness = with_engine(fake_toil(tmp_path, "--ready", str(ready), "--queue", str(queue)))
    id = running(harness, ready)
    kill_runner(harness, id)

    harness.provider().cancel(id)

    harness.reach(id, RunState.CANCELED)
    assert list(queue.iterdir()) == []


def test_a_running_run_keeps_its_engine_when_the_setting_changes(
    with_engine: Start, tmp_path: Path, ready: Path, queue: Path
) -> None:
    id = running(with_engine(fake_toil(tmp_path, "--ready", str(ready), "--queue", str(queue))), ready)
    harness = with_engine(ExternalEngine(command=("another-runner",)))

    assert status(harness.provider(), id).state is RunState.RUNNING
    harness.provider().cancel(id)

    harness.reach(id, RunState.CANCELED)
    assert list(queue.iterdir()) == []


def test_a_draft_of_another_engine_is_prepared_anew(with_engine: Start, ready: Path) -> None:
    harness = with_engine(fake_engine("--exits=1"))
    submission = harness.submission()
    harness.only_prepare(submission)
    with_engine(fake_engine("--ready", str(ready)))

    id = harness.provider().submit(submission).id

    harness.reach(id, RunState.COMPLETE)
    assert ready.exists()
    assert harness.starts(submission.key) == 1


def test_of_six_runs_none_is_lost_or_doubled_when_the_daemon_is_killed(tmp_path: Path) -> None:
    """The same with Toil and Slurm is in `test_local_slurm.py`."""
    ledger = tmp_path / "ledger"
    with closing(Site(tmp_path, DAEMON_LOCAL_ENGINE=f"{sys.executable} {FAKE}")) as site:
        ids = [site.submit("counted.cwl", f"ledger={ledger}", f"line=run-{number}", "seconds=1") for number in range(6)]
        wait_until(ledger.exists, "a run to start")

        site.restart()

        wait_until(lambda: {*site.states().values()} == {"COMPLETE"}, "the runs to end")
    assert sorted(site.states()) == sorted(ids)
    assert sorted(ledger.read_text().split()) == [f"run-{number}" for number in range(6)]
