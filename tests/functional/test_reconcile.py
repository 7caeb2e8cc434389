"""`wes-daemon reconcile` compares the database with the providers."""

import json
import os
import pty
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.functional.conftest import BOUND, CWL, Call, program

Prepare = Callable[..., Path]


@pytest.fixture(autouse=True)
def here(set_up: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with the local provider, and without anybody's account."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "SEVENBRIDGES_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return set_up


@pytest.fixture
def run_id(call: Call) -> str:
    """A queued run, which no daemon has seen yet."""
    return call("submit", str(CWL / "echo.cwl")).stdout.strip()


@pytest.fixture
def at_provider(here: Path) -> Callable[..., Path]:
    """Put a run into the local provider's directory, as a daemon has left it that lost its database."""

    def put(run_id: str, *, started: bool = True, age: timedelta = timedelta(hours=1)) -> Path:
        run = here / "local" / f"wes-{run_id}"
        run.mkdir(parents=True)
        (run / "lock").touch()
        (run / "request.json").write_text(json.dumps({"key": f"wes-{run_id}"}))
        created = (datetime.now(UTC) - age).timestamp()
        os.utime(run / "request.json", (created, created))
        if started:
            (run / "started.json").write_text(json.dumps({"at": "2026-01-01T00:00:00+00:00"}))
            result = {"ending": "exited", "ended_at": "2026-01-01T00:01:00+00:00", "exit_code": 0, "message": ""}
            (run / "result.json").write_text(json.dumps(result))
        return run

    return put


@pytest.mark.usefixtures("run_id")
def test_without_discrepancies_it_prints_the_compared_providers(call: Call) -> None:
    call("run-once")

    result = call("reconcile")

    assert result.exit_code == 0, result.output
    assert result.stdout == "no discrepancies; compared: local; not configured: healthomics, sevenbridges\n"


def test_discrepancies_are_printed_as_a_table_and_nothing_is_changed(
    call: Call, run_id: str, at_provider: Prepare
) -> None:
    at_provider(run_id)

    results = [call("reconcile"), call("reconcile")]

    assert [result.exit_code for result in results] == [1, 1]
    assert results[0].stdout == results[1].stdout
    head, row, conclusion = results[0].stdout.splitlines()
    assert head.split()[:3] == ["KIND", "RUN", "STATE"]
    assert all(word in row for word in ("unknown run", run_id, "QUEUED", f"wes-{run_id}", "exited 0", "adopt"))
    assert conclusion.startswith("1 discrepancy; compared: local")


def test_as_json(call: Call, at_provider: Prepare) -> None:
    call("db", "upgrade")
    at_provider("elsewhere")

    result = call("reconcile", "--json")

    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert found["agrees"] is False
    assert found["compared"] == ["local"]
    [foreign] = found["discrepancies"]
    assert (foreign["kind"], foreign["repair"], foreign["provider_id"]) == ("foreign_run", "none", "wes-elsewhere")


def test_apply_and_yes_repair_and_add_a_timeline_entry(call: Call, run_id: str, at_provider: Prepare) -> None:
    at_provider(run_id)

    result = call("reconcile", "--apply", "--yes")

    assert result.exit_code == 0, result.output
    assert f"repaired: unknown_run of run {run_id}: adopted local run wes-{run_id}" in result.stdout
    shown = json.loads(call("show", run_id, "--json").stdout)
    assert shown["daemon"]["provider_id"] == f"wes-{run_id}"
    assert "adopted local run" in shown["daemon"]["timeline"][-1]["why"]


def test_apply_and_json_ask_for_no_confirmation(call: Call, run_id: str, at_provider: Prepare) -> None:
    at_provider(run_id)

    result = call("reconcile", "--apply", "--json")

    [found] = json.loads(result.stdout)["discrepancies"]
    assert (result.exit_code, found["repaired"]) == (0, True)
    assert found["outcome"].startswith("adopted")


def test_apply_without_a_terminal_needs_yes(call: Call, run_id: str, at_provider: Prepare) -> None:
    at_provider(run_id)

    result = call("reconcile", "--apply")

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert call("reconcile").exit_code == 1


@pytest.mark.parametrize(("answer", "code", "state"), [("n", 1, "QUEUED"), ("y", 0, "INITIALIZING")])
def test_apply_on_a_terminal_asks_for_confirmation(
    call: Call, run_id: str, at_provider: Prepare, answer: str, code: int, state: str
) -> None:
    at_provider(run_id)

    ended, said = _on_a_terminal(answer)

    assert "Repair this (adopt 1)?" in said
    assert run_id in said.partition("Repair this")[0]
    assert ended == code, said
    assert json.loads(call("show", run_id, "--json").stdout)["state"] == state


def test_a_foreign_run_is_cancelled_only_on_request(call: Call, at_provider: Prepare) -> None:
    call("db", "upgrade")
    run = at_provider("elsewhere", started=False, age=timedelta(days=2))
    left = call("reconcile", "--apply", "--yes")
    assert run.exists()

    result = call("reconcile", "--apply", "--yes", "--cancel-strangers")

    assert (left.exit_code, result.exit_code) == (1, 0)
    assert not run.exists()


def test_the_window_and_the_age_of_drafts_can_be_chosen(call: Call, at_provider: Prepare) -> None:
    call("db", "upgrade")
    at_provider("elsewhere", started=False, age=timedelta(hours=3))

    codes = [
        call("reconcile", *options).exit_code
        for options in ([], ["--drafts-older-than", "2h"], ["--drafts-older-than", "2h", "--since", "90m"])
    ]

    assert codes == [0, 1, 0]


@pytest.mark.parametrize("age", ["7", "0d", "-1d", "d", "1y", "99999d"])
def test_an_invalid_age_is_a_usage_error(call: Call, age: str) -> None:
    result = call("reconcile", "--since", age)

    assert result.exit_code == 2
    assert "such as 7d" in result.stderr


def test_a_named_provider_that_is_not_configured_is_a_misconfiguration(call: Call) -> None:
    call("db", "upgrade")

    result = call("reconcile", "--provider", "sevenbridges")

    assert result.exit_code == 3
    assert "SEVENBRIDGES_API_TOKEN" in result.stderr


@pytest.mark.usefixtures("run_id")
def test_a_provider_that_has_runs_and_cannot_be_compared_has_a_line_of_its_own(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("run-once")
    monkeypatch.delenv("DAEMON_LOCAL_WORKDIR")

    result = call("reconcile")

    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].startswith("local could not be compared: ")


@pytest.mark.usefixtures("run_id")
def test_control_characters_of_a_provider_are_not_printed(call: Call, here: Path) -> None:
    call("run-once")
    with sqlite3.connect(here / "runs.db") as connection:
        connection.execute("UPDATE polls SET provider_run_id = 'x' || char(27) || '[31m'")
        connection.execute("UPDATE submissions SET provider_run_id = 'x' || char(27) || '[31m'")
    connection.close()

    result = call("reconcile")

    assert "missing at provider" in result.stdout
    assert "\x1b" not in result.stdout


def _on_a_terminal(answer: str) -> tuple[int, str]:
    """Exit code and what was shown where a person sits and answers."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(program("reconcile", "--apply"), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = ""
    for text in _read(ours):
        shown += text
        if "]:" in shown and answer:
            os.write(ours, f"{answer}\n".encode())
            answer = ""
    os.close(ours)
    return process.wait(BOUND), shown


def _read(terminal: int) -> Iterator[str]:
    while True:
        try:
            found = os.read(terminal, 4096)
        except OSError:
            # The other side is closed.
            return
        if not found:
            return
        yield found.decode(errors="replace")
