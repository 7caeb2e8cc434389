"""Tools in real containers, with Podman and an image that is made here of this machine's own programs.

`python -m tests.conformance --container podman` runs the CWL standard's tests for containers.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.integration.providers.local_harness import LocalHarness, wait_until
from wes_daemon.domain.runs import ProviderRunId
from wes_daemon.domain.states import RunState
from wes_daemon.testing import status

pytest.importorskip("cwltool")

IMAGE = "localhost/wes-daemon-test:1"
_PROGRAMS = ("sh", "cat", "sleep")
_LIBRARY = re.compile(r"(/\S+) \(0x")


@pytest.fixture(scope="module")
def _image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An image with a shell and a file that the machine does not have."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root makes images here")
    folder = tmp_path_factory.mktemp("image")
    _copy_programs(folder)
    (folder / "in-the-image").write_text("only here")
    archive = shutil.make_archive(str(tmp_path_factory.mktemp("archive") / "image"), "tar", folder)
    if podman("import", archive, IMAGE).returncode or podman("run", "--rm", IMAGE, "sh", "-c", "true").returncode:
        pytest.skip("podman runs no container on this machine")
    yield
    podman("rmi", IMAGE)


@pytest.fixture
def harness(_image: None, tmp_path: Path) -> Iterator[LocalHarness]:
    harness = LocalHarness(tmp_path)
    yield harness
    harness.close()


def podman(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=120, check=False)


def submit(harness: LocalHarness, seconds: int = 0) -> ProviderRunId:
    params = {"text": {"class": "File", "basename": "a.txt", "contents": "from outside"}, "seconds": seconds}
    return harness.provider().submit(harness.of("in_podman.cwl", params, engine={"container": "podman"})).id


def test_a_tool_runs_in_its_container_and_its_output_is_kept(harness: LocalHarness) -> None:
    id = submit(harness)

    harness.reach(id, RunState.COMPLETE)

    copy = harness.provider().details(id).outputs["copy"]
    assert isinstance(copy, dict)
    assert Path(unquote(urlsplit(copy["location"]).path)).read_text() == "from outside, only here"


def test_a_cancellation_ends_the_container_and_leaves_nothing_of_it(harness: LocalHarness) -> None:
    id = submit(harness, seconds=600)
    cid = harness.run(id).containers
    wait_until(lambda: any(path.read_text() for path in cid.glob("*.cid")), "the container to be started")
    [container] = [path.read_text() for path in cid.glob("*.cid")]

    harness.provider().cancel(id)

    harness.reach(id, RunState.CANCELED)
    assert status(harness.provider(), id).message == ""
    assert podman("ps", "--all", "--quiet", "--no-trunc", "--filter", f"id={container}").stdout == ""


def _copy_programs(folder: Path) -> None:
    for name in _PROGRAMS:
        program = shutil.which(name)
        assert program is not None
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        for path in (f"/bin/{name}", *_LIBRARY.findall(linked)):
            copy = folder / path.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(program if path == f"/bin/{name}" else path, copy)
