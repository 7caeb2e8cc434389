"""D3: a full disk is named, a result is kept until it can be written, and no neighbouring run suffers."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.providers.file_server import Answer, file_server
from tests.integration.providers.local_engines import fake_engine
from tests.integration.providers.local_harness import LocalHarness, wait_until
from wes_daemon.adapters.providers.local.cleanup import find_processes
from wes_daemon.adapters.providers.local.disk import write_when_possible
from wes_daemon.adapters.providers.local.journal import Journal, read_journal
from wes_daemon.adapters.system import SystemClock
from wes_daemon.application.ports.errors import NotNow
from wes_daemon.domain.states import RunState
from wes_daemon.testing import status

pytest.importorskip("cwltool")

WAITS_FOR_GATE = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, 'echo result; echo said it >&2; cat "$0" >&2']
inputs: {gate: {type: string, inputBinding: {}}}
outputs: {said: stdout}
stdout: said.txt
"""
FILLS_THE_DISK = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, 'cat /dev/zero > big']
inputs: {}
outputs: {}
"""


class Disk:
    """A small file system of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Use all space."""
        with self._filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        assert os.statvfs(self.path).f_bavail == 0

    def make_space(self) -> None:
        """Make space again."""
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield Disk(path)
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def harness(disk: Disk) -> Iterator[LocalHarness]:
    harness = LocalHarness(disk.path)
    yield harness
    with suppress(FileNotFoundError):
        disk.make_space()
    harness.close()


class GatedRun:
    """A run whose tool has written its output, and ends when the gate is opened."""

    def __init__(self, harness: LocalHarness, folder: Path) -> None:
        self._harness = harness
        self._gate = folder / "gate"
        os.mkfifo(self._gate)
        tool = folder / "gated.cwl"
        tool.write_text(WAITS_FOR_GATE)
        self.id = harness.provider().submit(harness.of("", {"gate": str(self._gate)}, url=tool.as_uri())).id
        # Opening a named pipe for writing waits until the tool reads it.
        self._writer = os.open(self._gate, os.O_WRONLY)

    def open_gate(self) -> None:
        """Let the tool end, and wait until only cwltool itself is left."""
        os.close(self._writer)
        run = self._harness.run(self.id)
        wait_until(lambda: len(find_processes(run)) <= 1, "the tool to end")


@pytest.fixture
def gated(harness: LocalHarness, tmp_path: Path) -> GatedRun:
    return GatedRun(harness, tmp_path)


def test_a_result_is_kept_until_there_is_space(harness: LocalHarness, disk: Disk, gated: GatedRun) -> None:
    disk.fill()
    gated.open_gate()

    held = status(harness.provider(), gated.id)
    disk.make_space()

    assert held.state is RunState.RUNNING
    assert f"no space is left on the file system {disk.path} of DAEMON_LOCAL_WORKDIR" in held.message
    harness.reach(gated.id, RunState.COMPLETE)
    details = harness.provider().details(gated.id)
    said = details.outputs["said"]
    assert isinstance(said, dict)
    assert Path(said["path"]).read_text() == "result\n"
    [task] = details.tasks
    assert (task.exit_code, task.ended_at is None) == (0, False)
    assert status(harness.provider(), gated.id).message == ""


def test_the_outputs_of_an_external_engine_are_kept_until_there_is_space(
    harness: LocalHarness, disk: Disk, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    harness.engine = fake_engine("--gate", str(gate), '--prints={"said": "result"}', "--exits=0")
    id = harness.provider().submit(harness.submission()).id
    run = harness.run(id)
    writer = os.open(gate, os.O_WRONLY)
    disk.fill()
    os.close(writer)
    wait_until(lambda: not find_processes(run), "the engine to end")

    held = status(harness.provider(), id)
    disk.make_space()

    assert held.state is RunState.RUNNING
    harness.reach(id, RunState.COMPLETE)
    assert harness.provider().details(id).outputs == {"said": "result"}


def test_a_run_whose_external_engine_fails_on_a_full_disk_names_it(
    harness: LocalHarness, disk: Disk, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    harness.engine = fake_engine("--gate", str(gate), "--exits=1")
    id = harness.provider().submit(harness.submission()).id
    writer = os.open(gate, os.O_WRONLY)
    disk.fill()
    os.close(writer)
    wait_until(lambda: not find_processes(harness.run(id)), "the engine to end")
    wait_until(lambda: not harness.run(id).temporary.exists(), "the disk to be looked at")

    disk.make_space()

    harness.reach(id, RunState.SYSTEM_ERROR)
    assert status(harness.provider(), id).message.startswith(f"no space is left on the file system {disk.path}: make")


def test_a_cancellation_works_on_a_full_disk(harness: LocalHarness, disk: Disk, gated: GatedRun) -> None:
    run = harness.run(gated.id)
    disk.fill()

    harness.provider().cancel(gated.id)

    wait_until(lambda: not find_processes(run), "the processes to end")
    assert status(harness.provider(), gated.id).state is RunState.CANCELING
    disk.make_space()
    harness.reach(gated.id, RunState.CANCELED)


def test_a_run_that_fills_the_disk_ends_with_its_name(harness: LocalHarness, disk: Disk, tmp_path: Path) -> None:
    tool = tmp_path / "fills.cwl"
    tool.write_text(FILLS_THE_DISK)

    id = harness.provider().submit(harness.of("", url=tool.as_uri())).id

    harness.reach(id, RunState.SYSTEM_ERROR)
    message = status(harness.provider(), id).message
    assert message.startswith(f"no space is left on the file system {disk.path}: make some, and submit the run again.")
    assert "fills exited 1" in message
    [task] = harness.provider().details(id).tasks
    assert task.exit_code == 1


def test_no_run_is_started_on_a_full_disk_and_none_is_in_doubt(harness: LocalHarness, disk: Disk) -> None:
    prepared, new = harness.submission(), harness.submission()
    harness.only_prepare(prepared)
    disk.fill()

    for submission in (prepared, new):
        with pytest.raises(NotNow, match=f"No space left on device: the file system {disk.path}"):
            harness.provider().submit(submission)

    assert not harness.run(prepared.key).has_started
    disk.make_space()
    for submission in (prepared, new):
        harness.reach(harness.provider().submit(submission).id, RunState.COMPLETE)


def test_a_run_whose_runner_died_on_a_full_disk_names_it(harness: LocalHarness, disk: Disk) -> None:
    id = harness.only_prepare(harness.submission())
    disk.fill()
    assert harness.run(id).record_start(datetime.now(UTC))

    report = status(harness.provider(), id)

    assert report.state is RunState.SYSTEM_ERROR
    assert f"(this may be the cause: no space is left on the file system {disk.path})" in report.message
    assert report.started_at is not None


def test_a_run_that_fills_the_disk_costs_its_neighbour_nothing(
    harness: LocalHarness, gated: GatedRun, tmp_path: Path
) -> None:
    tool = tmp_path / "fills.cwl"
    tool.write_text(FILLS_THE_DISK)
    harness.reach(harness.provider().submit(harness.of("", url=tool.as_uri())).id, RunState.SYSTEM_ERROR)

    gated.open_gate()

    harness.reach(gated.id, RunState.COMPLETE)
    [task] = harness.provider().details(gated.id).tasks
    assert task.exit_code == 0


def test_an_input_file_that_is_too_large_for_the_disk_names_it(
    harness: LocalHarness, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # cwltool caches downloads there.
    with file_server() as server:
        text = {"class": "File", "location": server.serve("/large.txt", Answer(body=bytes(8 << 20)))}

        id = harness.provider().submit(harness.of("cat.cwl", {"text": text})).id

        harness.reach(id, RunState.SYSTEM_ERROR)
    message = status(harness.provider(), id).message
    assert message.startswith(f"no space is left on the file system {disk.path}: make some")
    assert "/large.txt, because No space left on device" in message


def test_an_event_that_cannot_be_written_is_written_before_the_next_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SystemClock())
    step = journal.begin("say", ["echo"], stdout=None, stderr=None)
    written = (tmp_path / "journal.jsonl").read_bytes()
    (tmp_path / "journal.jsonl").unlink()
    (tmp_path / "journal.jsonl").mkdir()  # An error of the disk.

    journal.end(step, exit_code=0, status="success")
    with pytest.raises(OSError, match="Is a directory"):
        journal.flush()

    (tmp_path / "journal.jsonl").rmdir()
    (tmp_path / "journal.jsonl").write_bytes(written)
    journal.note("later")
    [found], notes = read_journal(tmp_path)
    assert (found.exit_code, notes) == (0, ["later"])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_write_is_repeated_while_its_error_can_pass(tmp_path: Path, code: int) -> None:
    pauses: list[timedelta] = []

    def write() -> None:
        if len(pauses) < 3:
            raise OSError(code, "no")

    write_when_possible(write, folder=tmp_path, pause=pauses.append)

    assert pauses == [timedelta(seconds=5)] * 3


def test_a_write_is_repeated_while_the_file_system_does_not_even_say_whether_the_directory_exists(
    tmp_path: Path,
) -> None:
    class Stale(type(Path())):  # type: ignore[misc]  # The class depends on the operating system.
        def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
            raise OSError(errno.ESTALE, "stale")

    pauses: list[timedelta] = []

    def write() -> None:
        if not pauses:
            raise OSError(errno.ESTALE, "stale")

    write_when_possible(write, folder=Stale(tmp_path), pause=pauses.append)

    assert len(pauses) == 1


@pytest.mark.parametrize(("code", "folder"), [(errno.EACCES, "."), (errno.ENOSPC, "deleted")])
def test_a_write_that_cannot_succeed_any_more_is_not_repeated(tmp_path: Path, code: int, folder: str) -> None:
    def write() -> None:
        raise OSError(code, "no")

    with pytest.raises(OSError, match="no"):
        write_when_possible(write, folder=tmp_path / folder, pause=lambda _: pytest.fail("it was repeated"))


def test_a_write_is_given_up_after_a_long_time(tmp_path: Path) -> None:
    pauses: list[timedelta] = []

    def write() -> None:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        write_when_possible(write, folder=tmp_path, pause=pauses.append, longest_wait=timedelta(minutes=1))

    assert sum(pauses, timedelta()) == timedelta(minutes=1)
