"""The command that compares the daemon with cwltool alone, without running either."""

import json
from pathlib import Path

import click
import pytest

pytest.importorskip("cwltest")

from tests.conformance.__main__ import read_numbers
from tests.conformance.comparison import differences, table
from tests.conformance.runner import conclusion, submit_arguments
from tests.conformance.suite import Case, Outcome, Result


def result(number: int, outcome: Outcome, *kinds: str) -> Result:
    return Result(case=Case(number=number, name=f"t{number}", kinds=kinds, entry={}), outcome=outcome)


def test_tests_that_differ_are_found_in_both_directions() -> None:
    alone = [result(1, Outcome.PASSED), result(2, Outcome.UNSUPPORTED), result(3, Outcome.FAILED)]
    daemon = [result(1, Outcome.PASSED), result(2, Outcome.FAILED), result(3, Outcome.PASSED)]

    assert [found.case.number for _, found in differences(alone, daemon)] == [2, 3]


def test_a_test_counts_for_each_of_its_kinds_and_once_for_all() -> None:
    alone = [result(1, Outcome.PASSED, "workflow", "scatter"), result(2, Outcome.UNSUPPORTED, "workflow")]
    daemon = [result(1, Outcome.FAILED, "workflow", "scatter"), result(2, Outcome.UNSUPPORTED, "workflow")]

    lines = table(alone, daemon).splitlines()

    assert lines[2:] == [
        "| scatter | 1 | 1 | 0 | 0 | 0 | 1 | 0 |",
        "| workflow | 2 | 1 | 0 | 1 | 0 | 1 | 1 |",
        "| all | 2 | 1 | 0 | 1 | 0 | 1 | 1 |",
    ]


def test_numbers_are_read_as_cwltest_reads_them() -> None:
    assert read_numbers("2,30-32") == {2, 30, 31, 32}
    with pytest.raises(click.BadParameter, match="2,x"):
        read_numbers("2,x")


def test_the_runner_submits_documents_and_jobs_by_address_or_path() -> None:
    arguments = submit_arguments("file:///s/colon%3Atest.cwl#main", "job.yml", container="none")

    assert arguments[1] == "/s/colon:test.cwl#main"
    assert arguments[arguments.index("--params") + 1] == "job.yml"
    assert "--params" not in submit_arguments("a.cwl", None, container="none")


@pytest.mark.parametrize(
    ("state", "exit_code", "expected"),
    [("COMPLETE", 0, 0), ("EXECUTOR_ERROR", 1, 1), ("EXECUTOR_ERROR", 33, 33), ("SYSTEM_ERROR", None, 1)],
)
def test_the_runner_ends_as_a_cwl_runner_does(state: str, exit_code: int | None, expected: int) -> None:
    record = {"state": state, "outputs": {"o": 1}, "run_log": {"exit_code": exit_code}, "request": {"tags": {}}}

    code, output, _ = conclusion(record)

    assert code == expected
    assert (json.loads(output) if output else None) == ({"o": 1} if expected == 0 else None)


def test_a_document_names_a_container_if_one_that_it_runs_does(tmp_path: Path) -> None:
    (tmp_path / "tool.cwl").write_text("hints: {DockerRequirement: {dockerPull: a}}")
    (tmp_path / "workflow.cwl").write_text("steps:\n  a:\n    run: tool.cwl\n")
    (tmp_path / "other.cwl").write_text("class: CommandLineTool")

    def case(name: str) -> Case:
        return Case(number=1, name=name, kinds=(), entry={"tool": (tmp_path / name).as_uri()})

    assert case("workflow.cwl").names_container
    assert not case("other.cwl").names_container
