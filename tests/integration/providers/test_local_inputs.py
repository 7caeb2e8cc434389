"""What the local provider says of inputs that a workflow does not have, and of containers that a machine has not."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.provider import status
from tests.integration.providers.local_harness import CWL, LocalHarness
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.states import RunState

pytest.importorskip("cwltool")

GRAPH = (CWL / "graph.cwl").as_uri()


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[LocalHarness]:
    harness = LocalHarness(tmp_path)
    yield harness
    harness.close()


def refused(harness: LocalHarness, submission: Submission) -> str:
    """Why a run ended badly before any of its steps began."""
    provider = harness.provider()
    id = provider.submit(submission).id
    harness.reach(id, RunState.EXECUTOR_ERROR)
    assert list(provider.details(id).tasks) == []
    return status(provider, id).message


def test_a_misspelt_name_fails_before_anything_runs_even_if_the_real_one_has_a_default(harness: LocalHarness) -> None:
    message = refused(harness, harness.of("", {"min_qualty": 30}, url=f"{GRAPH}#other"))

    assert message == (
        "the workflow has no input 'min_qualty'; did you mean 'min_quality'? Its inputs are: depth, min_quality"
    )


def test_names_are_those_of_the_process_that_is_run(harness: LocalHarness) -> None:
    message = refused(harness, harness.of("", {"min_quality": 30}, url=f"{GRAPH}#main"))

    assert message == (
        "the workflow has no input 'min_quality'. Its required input 'first' is missing. Its inputs are: first"
    )


def test_the_names_of_a_parallel_run_are_looked_at_too(harness: LocalHarness) -> None:
    params = {"Messages": ["a"], "messages": ["a"]}

    assert "'Messages'; did you mean 'messages'?" in refused(
        harness, harness.of("scatter.cwl", params, engine={"parallel": True})
    )


def test_what_cwltool_allows_beside_inputs_is_allowed(harness: LocalHarness) -> None:
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


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"container": None}, "neither Docker nor Podman answers on the daemon's machine: start one of them"),
        ({"container": "none"}, "the engine parameter container=none forbids one"),
    ],
)
def test_a_tool_that_needs_a_container_says_so_where_there_is_none(
    engine: object, said: str, harness: LocalHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("docker", "podman"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    message = refused(harness, harness.of("in_a_container.cwl", engine=engine))

    assert f"in_a_container needs a container, and {said}" in message
    assert "--no-container" not in message
