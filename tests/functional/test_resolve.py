"""`resolve`: a person decides what becomes of a run that needs review."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.functional.conftest import Call

pytestmark = pytest.mark.usefixtures("set_up")


@pytest.fixture
def run_id(call: Call, clean: Path) -> str:
    """A run that needs review."""
    queued: str = call("submit", "https://example.org/a.cwl").stdout.strip()
    with sqlite3.connect(clean / "runs.db") as connection:
        connection.execute(
            "INSERT INTO submissions (run_id, provider, state, returns_to, claim_seq, not_before, attempts,"
            " last_reason, enrolled_at) VALUES (?, 'local', 'REVIEW', 'INTENT', 1, '2026-01-01T00:00:00.000000+00:00',"
            " 1, 'nobody can tell', '2026-01-01T00:00:00.000000+00:00')",
            [queued],
        )
    return queued


def test_a_run_that_needs_review_is_listed_and_shown_with_its_decisions(run_id: str, call: Call) -> None:
    other = call("submit", "https://example.org/b.cwl").stdout.strip()

    listed = call("list", "--review")
    shown = call("show", run_id)

    assert "QUEUED (review)" in listed.stdout
    assert other not in listed.stdout
    assert "needs review" in shown.stdout
    assert "nobody can tell" in shown.stdout
    assert f"wes-daemon resolve {run_id} --adopt ID" in shown.stdout


def test_fail_ends_the_run_with_the_reason(run_id: str, call: Call) -> None:
    result = call("resolve", run_id, "--fail", "--reason", "it is not there")

    shown = json.loads(call("show", run_id, "--json").stdout)
    assert (result.exit_code, result.stdout) == (0, f"run {run_id} has ended\n")
    assert (shown["state"], shown["daemon"]["error"]) == ("SYSTEM_ERROR", "it is not there")


def test_send_again_puts_the_run_in_doubt_again(run_id: str, call: Call) -> None:
    result = call("resolve", run_id, "--send-again")

    assert result.exit_code == 0
    assert json.loads(call("show", run_id, "--json").stdout)["daemon"]["submission"] == "INTENT"
    assert call("list", "--review", "--json").stdout.strip() == "[]"


def test_an_id_that_is_unknown_to_the_provider_is_not_adopted(run_id: str, call: Call, clean: Path) -> None:
    (clean / "local").mkdir()

    result = call("resolve", run_id, "--adopt", "wes-somebody-else")

    assert result.exit_code == 1
    assert (
        f"local has no run wes-somebody-else: search there for the run's idempotency key wes-{run_id}" in result.stderr
    )


def test_a_run_that_does_not_need_review_is_not_changed(call: Call) -> None:
    queued = call("submit", "https://example.org/a.cwl").stdout.strip()

    result = call("resolve", queued, "--fail")

    assert result.exit_code == 1
    assert "does not need review" in result.stderr


@pytest.mark.parametrize("options", [[], ["--fail", "--send-again"], ["--send-again", "--reason", "x"]])
def test_not_exactly_one_decision_is_a_usage_error(run_id: str, call: Call, options: list[str]) -> None:
    assert call("resolve", run_id, *options).exit_code == 2
