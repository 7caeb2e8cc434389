"""`wes-daemon db`."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.functional.conftest import Call

pytestmark = pytest.mark.usefixtures("set_up")


def test_an_upgrade_says_from_where_to_where(call: Call) -> None:
    first, second = call("db", "upgrade"), call("db", "upgrade")

    head = json.loads(call("db", "current", "--json").stdout)["head"]
    assert first.stdout == f"upgraded: nothing -> {head}\n"
    assert second.stdout == f"already up to date: {head}\n"


def test_current_says_whether_an_upgrade_is_needed(set_up: Path, call: Call) -> None:
    (set_up / "runs.db").touch()
    before = json.loads(call("db", "current", "--json").stdout)
    call("db", "upgrade")
    after = json.loads(call("db", "current", "--json").stdout)

    assert (before["current"], before["up_to_date"]) == (None, False)
    assert (after["current"], after["up_to_date"]) == (before["head"], True)
    assert call("db", "current").stdout == f"current: {after['current']}\nhead: {after['head']}\nup to date: yes\n"


def test_that_an_upgrade_is_needed_is_no_failure(set_up: Path, call: Call) -> None:
    (set_up / "runs.db").touch()

    result = call("db", "current")

    assert result.exit_code == 0
    assert result.stdout.startswith("current: none\nhead: ")
    assert result.stdout.endswith("\nup to date: no\n")


def test_upgrade_sql_prints_statements_that_make_the_schema_and_changes_nothing(set_up: Path, call: Call) -> None:
    statements = call("db", "upgrade", "--sql").stdout

    assert not (set_up / "runs.db").exists()
    with sqlite3.connect(set_up / "runs.db") as connection:
        connection.executescript(statements)
    connection.close()
    assert json.loads(call("db", "current", "--json").stdout)["up_to_date"]


def test_upgrade_sql_speaks_postgresql_without_a_server(call: Call) -> None:
    result = call("db", "upgrade", "--sql", "--db-uri", "postgresql://nobody@127.0.0.1:1/runs")

    assert result.exit_code == 0
    assert "workflow_runs" in result.stdout


def test_db_alone_shows_what_it_can_do(call: Call) -> None:
    result = call("db")

    assert result.exit_code == 2
    assert "upgrade" in result.output


def test_an_index_that_a_service_has_removed_is_shown_and_created_again(set_up: Path, call: Call) -> None:
    call("db", "upgrade")
    with closing(sqlite3.connect(set_up / "runs.db")) as connection, connection:
        connection.execute("DROP INDEX wes_daemon_runs_queued")

    shown, as_json = call("db", "current").stdout, json.loads(call("db", "current", "--json").stdout)
    upgraded = call("db", "upgrade").stdout

    assert shown.endswith("\nmissing: wes_daemon_runs_queued: run `wes-daemon db upgrade`\n")
    assert (as_json["up_to_date"], as_json["missing"]) == (True, ["wes_daemon_runs_queued"])
    assert upgraded == "created again: wes_daemon_runs_queued\n"
    assert json.loads(call("db", "current", "--json").stdout)["missing"] == []
