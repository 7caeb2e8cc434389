"""The local provider without cwltool, directory or container engine, and after damage or the death of processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.providers.local_harness import LocalHarness, wait_until
from wes_daemon.adapters.providers.local import containers, provider
from wes_daemon.adapters.providers.local.containers import ContainerEngines, stop_containers
from wes_daemon.adapters.providers.local.engine_parameters import ContainerEngine
from wes_daemon.adapters.providers.local.provider import LocalProvider
from wes_daemon.adapters.providers.local.work_directory import remove_stale_drafts
from wes_daemon.adapters.system import SystemClock
from wes_daemon.application.ports.errors import Misconfigured, OutcomeUnknown, Rejected
from wes_daemon.domain.runs import Attachment, ProviderRunId
from wes_daemon.domain.states import RunState
from wes_daemon.testing import status

pytest.importorskip("cwltool")


class SettableClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> timedelta:
        return self.time - datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[LocalHarness]:
    harness = LocalHarness(tmp_path)
    yield harness
    harness.close()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory that is the first entry of PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return programs


def install(programs: Path, name: str, *, exit_code: int) -> Path:
    """Install a program that exits with `exit_code`; return the file that records its arguments."""
    calls = programs / f"{name}.calls"
    (programs / name).write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexit {exit_code}\n')
    (programs / name).chmod(0o755)
    return calls


def test_creating_a_provider_does_not_access_the_file_system(tmp_path: Path) -> None:
    LocalProvider(tmp_path / "runs", clock=SystemClock())

    assert list(tmp_path.iterdir()) == []


def test_cwltool_and_psutil_are_not_imported_into_the_daemon(harness: LocalHarness) -> None:
    id = harness.only_prepare(harness.submission())
    script = f"""
import sys
from pathlib import Path
from wes_daemon.adapters.providers.local.provider import LocalProvider
from wes_daemon.adapters.system import SystemClock
LocalProvider(Path({str(harness.workdir)!r}), clock=SystemClock()).statuses([{id!r}])
sys.exit("cwltool" in sys.modules or "psutil" in sys.modules)
"""

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_without_cwltool_the_message_says_what_to_install(
    harness: LocalHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "find_spec", lambda _: None)

    with pytest.raises(Misconfigured, match=r"pip install 'wes-daemon\[local\]'"):
        harness.provider().submit(harness.submission())

    assert list(harness.workdir.iterdir()) == []


def test_the_error_for_an_unusable_work_directory_names_the_setting(tmp_path: Path, harness: LocalHarness) -> None:
    (tmp_path / "file").touch()
    misplaced = LocalProvider(tmp_path / "file" / "runs", clock=SystemClock())

    with pytest.raises(Misconfigured, match=r"DAEMON_LOCAL_WORKDIR=.*/file/runs"):
        misplaced.submit(harness.submission())


def test_runs_are_not_called_unknown_while_their_disk_is_away(tmp_path: Path) -> None:
    unmounted = LocalProvider(tmp_path / "away", clock=SystemClock())

    with pytest.raises(Misconfigured, match=r"DAEMON_LOCAL_WORKDIR=.*there is no such directory"):
        unmounted.statuses([ProviderRunId("wes-1")])


def test_the_first_submission_creates_the_work_directory(tmp_path: Path, harness: LocalHarness) -> None:
    workdir = tmp_path / "new" / "runs"

    id = LocalProvider(workdir, clock=SystemClock()).submit(harness.submission()).id

    harness.workdir.rmdir()
    harness.workdir.symlink_to(workdir)
    harness.reach(id, RunState.COMPLETE)


def test_attachments_that_exclude_each_other_are_rejected_and_leave_nothing(harness: LocalHarness) -> None:
    attachments = [Attachment(name="a", content=b""), Attachment(name="a/b", content=b"")]

    with pytest.raises(Rejected, match="attachment 'a/b' cannot be written"):
        harness.provider().submit(harness.of("echo.cwl", attachments=attachments))

    assert list(harness.workdir.iterdir()) == []


def test_an_unreadable_run_is_unknown_and_hides_no_other(harness: LocalHarness) -> None:
    broken, sound = (harness.only_prepare(harness.submission()) for _ in range(2))
    (harness.workdir / broken / "result.json").mkdir()

    reports = harness.provider().statuses([broken, sound])

    assert (reports[broken].state, reports[sound].state) == (RunState.UNKNOWN, RunState.INITIALIZING)
    (harness.workdir / broken / "result.json").rmdir()


def test_an_id_cannot_name_a_directory_outside_of_the_work_directory(harness: LocalHarness, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "request.json").write_text("{}")
    id = ProviderRunId("../outside")

    harness.provider().cancel(id)

    assert harness.provider().statuses([id]) == {}
    assert [path.name for path in outside.iterdir()] == ["request.json"]


def test_a_run_that_no_runner_took_is_not_called_accepted(harness: LocalHarness) -> None:
    idle = LocalProvider(harness.workdir, clock=SystemClock(), launch=lambda _: None)

    with pytest.raises(OutcomeUnknown, match="no runner has started it yet"):
        idle.submit(harness.submission())


def test_the_draft_of_a_process_that_died_while_preparing_is_removed_after_a_day(harness: LocalHarness) -> None:
    draft = harness.workdir / ".preparing-0123"
    (draft / "attachments").mkdir(parents=True)
    now = datetime.now(UTC)

    remove_stale_drafts(harness.workdir, now)
    assert draft.exists()
    remove_stale_drafts(harness.workdir, now + timedelta(days=2))

    assert not draft.exists()


def test_a_run_works_without_tasks_when_cwltool_lacks_the_hooks(
    harness: LocalHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import cwltool.main\ndel cwltool.job.CommandLineJob\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    failing = harness.provider().submit(harness.of("fail.cwl")).id
    id = harness.provider().submit(harness.of("two_steps.cwl", {"message": "hi"})).id

    harness.reach(id, RunState.COMPLETE)
    harness.reach(failing, RunState.EXECUTOR_ERROR)

    details = harness.provider().details(id)
    assert details.outputs["shouted"]
    assert list(details.tasks) == []
    [note] = details.system_logs
    assert "could not be recorded with this version of cwltool" in note
    assert "sample S1 has no reads" in status(harness.provider(), failing).message


@pytest.mark.parametrize(
    ("docker", "podman", "found"),
    [(0, 0, ContainerEngine.DOCKER), (1, 0, ContainerEngine.PODMAN), (1, 1, ContainerEngine.NONE)],
)
def test_the_preferred_container_engine_is_one_that_answers(
    machine: Path, docker: int, podman: int, found: ContainerEngine
) -> None:
    install(machine, "docker", exit_code=docker)
    install(machine, "podman", exit_code=podman)

    assert ContainerEngines(SettableClock()).preferred() is found


def test_the_detected_container_engine_is_cached(machine: Path) -> None:
    calls = install(machine, "docker", exit_code=0)
    clock = SettableClock()
    engines = ContainerEngines(clock)

    engines.preferred()
    engines.preferred()
    assert calls.read_text() == "info\n"
    clock.time += timedelta(minutes=6)
    engines.preferred()

    assert calls.read_text() == "info\n" * 2


def test_an_engine_that_never_answers_is_not_preferred(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_INFO_TIMEOUT", timedelta(milliseconds=200))
    for name in ("docker", "podman"):
        (machine / name).write_text("#!/bin/sh\nexec sleep 60\n")
        (machine / name).chmod(0o755)

    assert ContainerEngines(SettableClock()).preferred() is ContainerEngine.NONE


def test_running_containers_are_stopped(machine: Path, tmp_path: Path) -> None:
    calls = install(machine, "docker", exit_code=1)
    ids = tmp_path / "ids"
    ids.mkdir()
    (ids / "1.cid").write_text("abc123\n")
    (ids / "2.cid").write_text("--all")

    stop_containers(ids, ContainerEngine.DOCKER)

    assert calls.read_text() == "rm --force abc123\n"


def test_a_lost_run_stops_its_containers(harness: LocalHarness, machine: Path) -> None:
    calls = install(machine, "docker", exit_code=0)
    id = harness.only_prepare(harness.of("echo.cwl", engine={"container": "docker"}))
    run = harness.run(id)
    (run.containers / "1.cid").write_text("abc123")
    run.record_start(datetime.now(UTC))

    assert status(harness.provider(), id).provider_status == "lost"

    wait_until(lambda: calls.exists() and calls.read_text() == "rm --force abc123\n", "docker to be called")
    wait_until(lambda: not run.temporary.exists(), "the rest to be removed")


def test_a_run_whose_engine_cannot_be_started_ends_with_the_reason(harness: LocalHarness) -> None:
    """D3: the runner does not die of an error of the disk."""
    submission = harness.submission()
    run = harness.run(harness.only_prepare(submission))
    run.cwltool_stderr.mkdir()

    id = harness.provider().submit(submission).id

    harness.reach(id, RunState.SYSTEM_ERROR)
    assert "cwltool could not be started: Is a directory" in status(harness.provider(), id).message


def test_a_run_that_is_there_is_accepted_again_without_being_judged_again(
    harness: LocalHarness, tmp_path: Path
) -> None:
    document = tmp_path / "gone.cwl"
    document.write_text("cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: {}\noutputs: {}\n")
    submission = harness.of("", url=document.as_uri())
    id = harness.provider().submit(submission).id
    harness.reach(id, RunState.COMPLETE)

    document.unlink()

    assert harness.provider().submit(submission).id == id
