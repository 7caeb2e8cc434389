"""The README's commands, CI's and `just`'s are the same."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ci() -> Sequence[str]:
    """The commands of `.ci/run`, one a line, without what it does where one fails."""
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    return [line.partition(" || ")[0] for line in lines]


@pytest.fixture
def readme() -> Sequence[str]:
    """The commands of the README's second block, which runs the tests."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return str(blocks[1]).strip().split(" && ")


def test_ci_installs_what_the_readme_installs(ci: Sequence[str], readme: Sequence[str]) -> None:
    *installing, _ = readme

    assert [command for command in installing if command not in ci] == []


def test_ci_runs_the_tests_of_the_readme_in_two_parts(ci: Sequence[str], readme: Sequence[str]) -> None:
    *_, testing = readme

    parts = [command.removeprefix(f"{testing} ") for command in ci if "pytest" in command]

    assert [part.split()[0] for part in parts] == ["tests/unit", "--ignore=tests/unit"]
    assert parts[1:] == ["--ignore=tests/unit"]


def test_ci_measures_coverage_as_just_does(ci: Sequence[str]) -> None:
    [recipe] = re.findall(r"^coverage:\n +\{\{bin\}\}/(.*)$", (ROOT / "justfile").read_text(), re.MULTILINE)

    assert f".venv/bin/{recipe}" in ci


def test_ci_makes_the_static_checks_that_just_makes_before_the_tests(ci: Sequence[str]) -> None:
    justfile = (ROOT / "justfile").read_text()
    [static] = re.findall(r"^static: (.*)$", justfile, re.MULTILINE)
    [check] = re.findall(r"^check: (.*)$", justfile, re.MULTILINE)

    assert any(command.startswith(".venv/bin/just static") for command in ci)
    assert static.split()[1:] == check.split()[1:-1]
