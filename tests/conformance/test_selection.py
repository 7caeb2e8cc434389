"""D1: some of the CWL standard's conformance tests, through `submit`, the daemon and the local provider."""

import os
import shutil
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

pytest.importorskip("cwltest")
pytest.importorskip("cwltool")

from tests.conformance.__main__ import main
from tests.conformance.daemons import running_daemon
from tests.conformance.suite import TESTS_FILE, Case, Outcome, Runner, load_cases, through_daemon

SUITE = Path(__file__).with_name("cwl-v1.2")
WHOLE_SUITE = "WES_DAEMON_TEST_CWL_SUITE"
NAMES = [test["id"] for test in yaml.safe_load((SUITE / TESTS_FILE).read_text())]


@pytest.fixture(scope="module")
def cases() -> Mapping[str, Case]:
    return {case.name: case for case in load_cases(SUITE)}


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with running_daemon(tmp_path_factory.mktemp("daemon"), at_once=2) as settings:
        yield through_daemon("none", settings)


@pytest.mark.parametrize("name", NAMES)
def test_the_daemon_passes_tests_of_the_standard(name: str, cases: Mapping[str, Case], runner: Runner) -> None:
    case = cases[name]
    if "inline_javascript" in case.kinds and shutil.which("node") is None:
        pytest.skip("CWL with JavaScript needs Node.js, which is not installed")

    result = runner.run(case)

    assert result.outcome is Outcome.PASSED, result.error


def test_the_files_of_the_standard_are_unchanged() -> None:
    listed = [line.split("  ", 1) for line in (SUITE / "SHA256SUMS").read_text().splitlines()]

    assert {name for _, name in listed} == {
        path.relative_to(SUITE).as_posix()
        for path in SUITE.rglob("*")
        if path.is_file() and path.name not in ("README.md", "SHA256SUMS")
    }
    assert [name for checksum, name in listed if sha256((SUITE / name).read_bytes()).hexdigest() != checksum] == []


@pytest.mark.nightly
@pytest.mark.timeout(3 * 60 * 60)
def test_the_whole_suite_has_the_results_of_cwltool_alone() -> None:
    suite = os.environ.get(WHOLE_SUITE)
    if not suite:
        pytest.skip(f"{WHOLE_SUITE} names no copy of the CWL standard's repository")

    result = CliRunner().invoke(main, ["--suite", suite])

    assert result.exit_code == 0, result.output
