"""C4 and D4: names of directories and files with spaces and characters that have a meaning in addresses."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integration.providers.local_harness import CWL, LocalHarness
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import Attachment
from wes_daemon.domain.states import RunState
from wes_daemon.testing import status

pytest.importorskip("cwltool")


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[LocalHarness]:
    harness = LocalHarness(tmp_path)
    yield harness
    harness.close()


@pytest.mark.parametrize("name", ["a#b", "a%20b", "a b", "what?", "né 日本 🧬", "[x]*{y}", 'it\'s: "a,b"; $HOME'])
def test_a_run_works_in_a_directory_of_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    harness = LocalHarness(tmp_path / name)
    attachments = [
        Attachment(name="main.cwl", content=(CWL / "many_files.cwl").read_bytes()),
        Attachment(name="data/reads.txt", content=b"ACGT\n"),
        Attachment(name="data/reads.txt.idx", content=b"0\n"),
    ]
    reads = {"class": "File", "location": "data/reads.txt"}
    provider = harness.provider()

    id = provider.submit(harness.of("", {"reads": reads}, url="main.cwl", attachments=attachments)).id

    harness.reach(id, RunState.COMPLETE)
    outputs = harness.run(id).outputs
    found = {str(path.relative_to(outputs)): path.read_text() for path in outputs.rglob("*") if path.is_file()}
    assert found == {
        "d/reads.txt": "ACGT\n",
        "d/reads.txt.idx": "0\n",
        "listed.txt": "reads.txt\nreads.txt.idx\n",
        "pair.txt": "ACGT\n",
        "pair.txt.idx": "noted",
    }
    pair = provider.details(id).outputs["pair"]
    assert isinstance(pair, dict)
    assert (pair["location"], pair["path"]) == ((outputs / "pair.txt").as_uri(), str(outputs / "pair.txt"))
    assert status(provider, id).message == ""
    harness.close()


def input_with_a_space(harness: LocalHarness, engine: object = None) -> Submission:
    """A run whose input file has a name that cwltool refuses."""
    attachments = [
        Attachment(name="cat.cwl", content=(CWL / "cat.cwl").read_bytes()),
        Attachment(name="my reads (1).txt", content=b"ACGT\n"),
    ]
    text = {"class": "File", "path": "my reads (1).txt"}
    return harness.of("", {"text": text}, url="cat.cwl", attachments=attachments, engine=engine)


def test_the_error_for_a_file_name_names_the_engine_parameter_that_permits_it(harness: LocalHarness) -> None:
    id = harness.provider().submit(input_with_a_space(harness)).id

    harness.reach(id, RunState.EXECUTOR_ERROR)
    assert status(harness.provider(), id).message.endswith(
        "Invalid filename: 'my reads (1).txt' contains illegal characters; the engine parameter "
        "relax_path_checks=true permits spaces and other special characters in file names"
    )


def test_a_file_name_with_a_space_is_permitted_by_the_engine_parameter(harness: LocalHarness) -> None:
    id = harness.provider().submit(input_with_a_space(harness, {"relax_path_checks": "true"})).id

    harness.reach(id, RunState.COMPLETE)


@pytest.mark.parametrize("name", ["my tool é.cwl", "Reads%20#1.cwl", "Aligner.CWL"])
def test_a_task_has_the_name_of_its_file_as_the_person_wrote_it(harness: LocalHarness, name: str) -> None:
    attachments = [Attachment(name=name, content=(CWL / "echo.cwl").read_bytes())]
    provider = harness.provider()

    id = provider.submit(harness.of("", url=quote(name), attachments=attachments)).id

    harness.reach(id, RunState.COMPLETE)
    assert [task.name for task in provider.details(id).tasks] == [name.removesuffix(".cwl")]
