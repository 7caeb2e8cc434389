"""`verify`: its table, its JSON and its exit code."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.functional.conftest import Call

pytestmark = pytest.mark.usefixtures("set_up")


@pytest.fixture
def run_id(call: Call) -> str:
    """A queued run that no daemon has seen."""
    return call("submit", "https://example.org/a.cwl").stdout.strip()


@pytest.fixture
def broken_run(run_id: str, clean: Path) -> str:
    """A run whose timeline records a transition out of an end state."""
    with closing(sqlite3.connect(clean / "runs.db")) as database, database:
        database.execute(
            "INSERT INTO run_events (run_id, at, from_state, to_state, by, why)"
            " VALUES (?, '2026-01-01T12:00:00.000000+00:00', 'COMPLETE', 'RUNNING', 'somebody', '')",
            [run_id],
        )
    return run_id


def test_every_check_is_printed_when_all_pass(call: Call) -> None:
    call("db", "upgrade")

    result = call("verify")

    head, *lines, last = result.stdout.splitlines()
    assert result.exit_code == 0
    assert head.split() == ["CHECK", "STATE", "RUNS", "DESCRIPTION"]
    assert len(lines) == 18
    assert all(line.split()[1] == "passed" for line in lines)
    assert last == "broken: none; notices: none"


def test_a_broken_check_is_printed_with_its_violation_and_fails(broken_run: str, call: Call) -> None:
    result = call("verify")

    assert result.exit_code == 1
    assert f"{broken_run}: COMPLETE to RUNNING on 2026-01-01 12:00:00+00:00" in result.stdout
    assert result.stdout.endswith("broken: endings-are-last; notices: a-daemon-lives\n")


def test_json_has_the_same_results(broken_run: str, call: Call) -> None:
    result = call("verify", "--json")

    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (found["broken"], found["notices"]) == (["endings-are-last"], ["a-daemon-lives"])
    [check] = [check for check in found["checks"] if check["name"] == "endings-are-last"]
    assert (check["severity"], check["passed"], check["runs"]) == ("broken", False, 1)
    assert check["first"] == [{"run_id": broken_run, "found": "COMPLETE to RUNNING on 2026-01-01 12:00:00+00:00"}]


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--strict"], 1)])
@pytest.mark.usefixtures("set_up", "run_id")
def test_a_notice_fails_only_with_strict(options: list[str], code: int, call: Call) -> None:
    result = call("verify", *options)

    assert result.exit_code == code
    assert result.stdout.endswith("broken: none; notices: a-daemon-lives\n")


@pytest.mark.parametrize("text", ["0", "-1", "nan", "soon"])
def test_an_invalid_duration_is_a_usage_error(text: str, call: Call) -> None:
    assert call("verify", "--unchecked-for", text).exit_code == 2


def test_verify_creates_no_database(clean: Path, call: Call) -> None:
    result = call("verify", "--db-uri", "sqlite:///deep/down/runs.db")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"wes-daemon: there is no database at {clean}/deep/down/runs.db: the folder")
    assert list(clean.iterdir()) == []


@pytest.mark.usefixtures("set_up", "broken_run")
def test_control_characters_of_a_row_are_not_printed(clean: Path, call: Call) -> None:
    evil = "[bold red]\x1b]0;title\x07\nforged"
    with closing(sqlite3.connect(clean / "runs.db")) as database, database:
        database.execute("UPDATE run_events SET to_state = ? WHERE from_state = 'COMPLETE'", [evil])

    for options in ([], ["--json"]):
        printed = call("verify", *options).stdout

        assert "\x1b" not in printed
        assert "\x07" not in printed
        assert "\nforged" not in printed
        assert "[bold red]" in printed
