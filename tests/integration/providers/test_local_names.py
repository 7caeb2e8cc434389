"""C4 and D4: names of directories and files with spaces and characters that have a meaning in addresses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.provider import status
from tests.integration.providers.local_harness import CWL, LocalHarness
from wes_daemon.domain.runs import Attachment
from wes_daemon.domain.states import RunState

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
