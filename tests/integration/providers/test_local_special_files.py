"""D4: named pipes, sockets and devices neither block a run nor pass for its outputs, and a kept log is not changed."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.providers.local_harness import LocalHarness
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.domain.runs import StatusReport
from wes_daemon.domain.states import RunState
from wes_daemon.testing import status

pytest.importorskip("cwltool")

SOCKET = "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('odd')\""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[LocalHarness]:
    harness = LocalHarness(tmp_path)
    yield harness
    harness.close()


def run(harness: LocalHarness, document: Path, state: RunState) -> tuple[StatusReport, RunDetails]:
    """Run a document, wait for the expected state, and return status and details."""
    provider = harness.provider()
    id = provider.submit(harness.of("", url=document.as_uri())).id
    harness.reach(id, state)
    return status(provider, id), provider.details(id)


def tool(folder: Path, script: str, outputs: str) -> Path:
    """Write a tool that executes a shell script."""
    (folder / "script.sh").write_text(script)
    document = folder / "tool.cwl"
    document.write_text(
        f"cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [sh, {folder / 'script.sh'}]\n"
        f"inputs: {{}}\noutputs: {outputs}\n"
    )
    return document


FILE = "{odd: {type: File, outputBinding: {glob: odd}}}"
DIRECTORY = "{all: {type: Directory, outputBinding: {glob: d}}}"


@pytest.mark.parametrize(
    ("script", "outputs", "kind"),
    [
        ("mkfifo odd", FILE, "a named pipe"),
        ("mkfifo odd", "{odd: {type: 'File[]', outputBinding: {glob: '*'}}}", "a named pipe"),
        ("mkfifo odd", "{odd: {type: string, outputBinding: {glob: odd, loadContents: true}}}", "a named pipe"),
        ("mkdir -p d/e; mkfifo d/e/odd", DIRECTORY, "a named pipe"),
        ("mkfifo pipe; mkdir d; ln -s ../pipe d/odd", DIRECTORY, "a named pipe"),
        ("mkdir d; ln -s /dev/zero d/odd", DIRECTORY, "a device"),
        ("ln -s /dev/zero odd", FILE, "a device"),
        (SOCKET, FILE, "a socket"),
        (f"mkdir d; cd d; {SOCKET}", DIRECTORY, "a socket"),
        ("echo x > main; mkfifo main.odd", "{m: {type: File, secondaryFiles: .odd, outputBinding: {glob: main}}}", ""),
        ("mkfifo cwl.output.json", "{}", "a named pipe"),
    ],
)
def test_a_file_without_content_among_the_outputs_ends_the_run_with_its_name(
    harness: LocalHarness, tmp_path: Path, script: str, outputs: str, kind: str
) -> None:
    report, _ = run(harness, tool(tmp_path, script, outputs), RunState.EXECUTOR_ERROR)

    assert kind in report.message
    assert "odd'" in report.message or "cwl.output.json'" in report.message


def test_a_named_pipe_that_is_no_output_does_no_harm(harness: LocalHarness, tmp_path: Path) -> None:
    script = "mkfifo pipe; echo x > odd"

    run(harness, tool(tmp_path, script, FILE), RunState.COMPLETE)


@pytest.mark.parametrize("declaration", ["doc: {$include: pipe}", "hints: {$import: pipe}", "$schemas: [pipe]"])
def test_a_named_pipe_in_the_place_of_a_document_does_not_block(
    harness: LocalHarness, tmp_path: Path, declaration: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    document = tool(tmp_path, "true", "{}")
    document.write_text(f"{document.read_text()}{declaration}\n")
    is_needed = "schemas" not in declaration

    report, _ = run(harness, document, RunState.EXECUTOR_ERROR if is_needed else RunState.COMPLETE)

    assert ("pipe is a named pipe (FIFO) and cannot be read as a document" in report.message) is is_needed


IN_PLACE = """
cwlVersion: v1.2
class: Workflow
requirements:
  InplaceUpdateRequirement: {inplaceUpdate: true}
inputs: {}
steps:
  write:
    in: {}
    out: [said]
    run:
      class: CommandLineTool
      baseCommand: [echo, first]
      inputs: {}
      outputs: {said: stdout}
      stdout: said.txt
  change:
    in: {file: write/said}
    out: [changed]
    run:
      class: CommandLineTool
      requirements:
        InitialWorkDirRequirement: {listing: [{entry: $(inputs.file), writable: true}]}
      baseCommand: [sh, -c, 'echo second >> said.txt']
      inputs: {file: File}
      outputs: {changed: {type: File, outputBinding: {glob: said.txt}}}
outputs:
  changed: {type: File, outputSource: change/changed}
"""


def test_a_step_that_changes_a_file_in_place_leaves_the_log_of_the_earlier_step(
    harness: LocalHarness, tmp_path: Path
) -> None:
    document = tmp_path / "in_place.cwl"
    document.write_text(IN_PLACE)

    _, details = run(harness, document, RunState.COMPLETE)

    changed = details.outputs["changed"]
    assert isinstance(changed, dict)
    assert Path(changed["path"]).read_text() == "first\nsecond\n"
    written, _ = details.tasks
    assert Path(urlsplit(str(written.stdout)).path).read_text() == "first\n"
