"""`wes-daemon run-once`."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.functional.conftest import CWL, Call, until

pytestmark = pytest.mark.usefixtures("set_up")


def test_passes_over_nothing_are_done(call: Call) -> None:
    result = call("run-once")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "submitted: 0; cancelled: 0; refreshed: 0"


def test_each_call_brings_runs_on_until_they_have_ended(call: Call) -> None:
    call("submit", str(CWL / "echo.cwl"))

    first = json.loads(call("run-once", "--json").stdout)
    until(lambda: "ended" in json.loads(call("run-once", "--json").stdout)["refresh"]["outcomes"])

    assert first["submit"]["outcomes"] == {"accepted": 1}
    [run] = json.loads(call("list", "--json").stdout)
    assert run["state"] == "COMPLETE"


def test_it_leaves_no_daemon_behind(call: Call) -> None:
    call("submit", str(CWL / "echo.cwl"), "--provider", "healthomics", "--no-checks")

    call("run-once")

    assert "no daemon is at work" in call("submit", str(CWL / "echo.cwl")).stderr


def test_a_run_that_can_never_work_ends_and_is_no_failure_of_the_pass(call: Call) -> None:
    call("submit", "https://example.org/a.wdl", "--no-checks")

    result = call("run-once")

    assert result.exit_code == 0
    assert "1 rejected" in result.stdout


def test_a_misconfigured_provider_is_said_by_the_exit_code(
    set_up: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (set_up / "file").touch()
    monkeypatch.setenv("DAEMON_LOCAL_WORKDIR", str(set_up / "file" / "below"))
    call("submit", str(CWL / "echo.cwl"))

    result = call("run-once")

    assert result.exit_code == 3
    assert "blocked: local" in result.stdout


def test_a_database_that_is_away_is_a_failure(call: Call) -> None:
    result = call("run-once", "--db-uri", "postgresql://u@127.0.0.1:1/runs")

    assert result.exit_code == 1


def test_text_from_a_row_forges_no_line_of_the_log(set_up: Path, call: Call) -> None:
    call("db", "upgrade")
    forged = "x\\n2026-01-01T00:00:00.000Z INFO submit.accepted run_id=forged\\u2028y\\u001b[31m"
    with sqlite3.connect(set_up / "runs.db") as connection:
        connection.execute(
            "INSERT INTO workflow_runs (run_id, state, workflow_type, workflow_type_version, workflow_url, tags)"
            " VALUES ('r1', 'QUEUED', 'CWL', 'v1.2', 'file:///a.cwl', ?)",
            [f'{{"provider_type": "{forged}"}}'],
        )
    connection.close()

    result = call("run-once")

    lines = result.stdout.split("\n")
    assert not any(line.startswith("2026-01-01") for line in lines)
    assert any("submit.rejected run_id=r1" in line for line in lines)
    assert not {"\x1b", "\u2028"} & set(result.stdout)
