"""Unknown inputs, texts in any script, and failure messages for required containers where no engine answers."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.integration.providers.local_harness import CWL, LocalHarness
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import Attachment
from wes_daemon.domain.states import RunState
from wes_daemon.testing import status

pytest.importorskip("cwltool")

GRAPH = (CWL / "graph.cwl").as_uri()


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[LocalHarness]:
    harness = LocalHarness(tmp_path)
    yield harness
    harness.close()


def failure_message(harness: LocalHarness, submission: Submission) -> str:
    """Submit a run that fails before its first step, and return its failure message."""
    provider = harness.provider()
    id = provider.submit(submission).id
    harness.reach(id, RunState.EXECUTOR_ERROR)
    assert list(provider.details(id).tasks) == []
    return status(provider, id).message


def notices(harness: LocalHarness, submission: Submission) -> Sequence[str]:
    """Submit a run that completes, and return the notices among its system logs."""
    provider = harness.provider()
    id = provider.submit(submission).id
    harness.reach(id, RunState.COMPLETE)
    assert status(provider, id).message == ""
    return provider.details(id).system_logs


def test_an_unknown_input_is_ignored_and_leaves_a_notice(harness: LocalHarness) -> None:
    """D1: CWL runners run such a workflow."""
    assert notices(harness, harness.of("", {"min_qualty": 30}, url=f"{GRAPH}#other")) == [
        "the workflow has no input 'min_qualty'; did you mean 'min_quality'? Its inputs are: depth, min_quality; "
        "CWL ignores what the workflow does not declare"
    ]


def test_an_unknown_input_fails_a_run_that_lacks_a_required_one(harness: LocalHarness) -> None:
    """D1: the run fails anyway, so its message names both."""
    message = failure_message(harness, harness.of("", {"min_quality": 30}, url=f"{GRAPH}#main"))

    assert message == (
        "the workflow has no input 'min_quality'. Its required input 'first' is missing. Its inputs are: first"
    )


def test_an_unknown_input_of_a_parallel_run_leaves_a_notice_too(harness: LocalHarness) -> None:
    """D1."""
    params = {"Messages": ["a"], "messages": ["a"]}

    [notice] = notices(harness, harness.of("scatter.cwl", params, engine={"parallel": True}))

    assert "'Messages'; did you mean 'messages'?" in notice


def test_a_run_without_unknown_inputs_has_no_notice(harness: LocalHarness) -> None:
    """D1."""
    assert notices(harness, harness.of("two_steps.cwl", {"message": "hi"})) == []


def test_keys_that_cwltool_allows_besides_inputs_are_allowed(harness: LocalHarness) -> None:
    params = {
        "message": "hi",
        "id": "job-1",
        "cwl:tool": "two_steps.cwl",
        "$namespaces": {"edam": "http://edamontology.org/"},
        "$schemas": [],
        "cwltool:overrides": {},
    }

    id = harness.provider().submit(harness.of("two_steps.cwl", params)).id

    harness.reach(id, RunState.COMPLETE)


def copied(harness: LocalHarness, text: Mapping[str, object], message: str = "hi") -> tuple[object, str, str]:
    """Run `unicode.cwl`; return its text output, and the name and the content of its file."""
    submission = harness.of(
        "unicode.cwl",
        {"message": message, "text": text},
        attachments=[Attachment(name="\U0001f600.txt", content="attached \U0001f9ec".encode())],
    )
    provider = harness.provider()
    id = provider.submit(submission).id
    harness.reach(id, RunState.COMPLETE)
    outputs = provider.details(id).outputs
    copy = outputs["copy"]
    assert isinstance(copy, dict)
    path = Path(unquote(urlsplit(copy["location"]).path))
    assert path.name == copy["basename"]
    return outputs["said"], path.name, path.read_text(encoding="utf-8")


def test_characters_beyond_the_bmp_reach_the_workflow_and_come_back(harness: LocalHarness) -> None:
    """C2: in a text, in the name of a file, and in its content."""
    literal = {"class": "File", "basename": "\U0001f603.txt", "contents": "gene \U0001f9ec\n"}

    assert copied(harness, literal, "\U0001f600 and \U0010ffff") == (
        "\U0001f600 and \U0010ffff",
        "copy of \U0001f603.txt",
        "gene \U0001f9ec\n",
    )


def test_a_file_may_have_a_name_beyond_the_bmp(harness: LocalHarness) -> None:
    """C2."""
    file = {"class": "File", "path": "\U0001f600.txt"}

    assert copied(harness, file)[1:] == ("copy of \U0001f600.txt", "attached \U0001f9ec")


def test_characters_that_readers_of_yaml_refuse_reach_the_workflow(harness: LocalHarness) -> None:
    """C2: cwltool reads its inputs as YAML."""
    message = "\x01\x7f\x85\x9f\u2028\u2029\ufeff\ufffe\uffff\u00e9"
    literal = {"class": "File", "basename": "a.txt", "contents": ""}

    assert copied(harness, literal, message)[0] == message


@pytest.mark.parametrize(
    ("engine", "advice"),
    [
        ({"container": None}, "neither Docker nor Podman answers on the daemon's machine: start one of them"),
        ({"container": "none"}, "the engine parameter container=none forbids one"),
    ],
)
def test_the_message_explains_how_to_run_a_tool_that_needs_a_container(
    engine: object, advice: str, harness: LocalHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("docker", "podman"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    message = failure_message(harness, harness.of("in_a_container.cwl", engine=engine))

    assert f"in_a_container needs a container, and {advice}" in message
    assert "--no-container" not in message
