"""Runs at a WES server, from the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.conftest import Call
from tests.simulators.wes.model import Model
from tests.simulators.wes.server import serving


@pytest.fixture
def server(set_up: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    """A server that the settings name, with a token in a file."""
    model = Model(credential="Bearer t-7")
    (set_up / "token").write_text("t-7\n")
    (set_up / "main.cwl").write_text("cwlVersion: v1.2\nclass: CommandLineTool\ninputs: {}\noutputs: {}\n")
    (set_up / "reads.txt").write_text("ACGT\n")
    monkeypatch.setenv("WES_TOKEN_FILE", "token")
    monkeypatch.setenv("DAEMON_DEFAULT_PROVIDER", "wes")
    monkeypatch.setenv("DAEMON_STATUS_CHECK_FLOOR", "0.01")
    monkeypatch.setenv("DAEMON_STATUS_CHECK_INTERVAL", "0.01")
    with serving(model) as endpoint:
        monkeypatch.setenv("WES_ENDPOINT", endpoint)
        yield model


def test_a_run_goes_to_the_server_with_its_attachments_and_comes_back_with_outputs_and_tasks(
    server: Model, call: Call
) -> None:
    id = call("submit", "main.cwl", "--attach", "reads.txt", "--tag", "sample=S1").stdout.strip()
    call("run-once")
    [run] = server.runs.values()
    server.complete(run.id)

    call("run-once")

    assert run.attachments.keys() == {"main.cwl", "reads.txt"}
    assert run.request["tags"] == {"sample": "S1", "idempotency_key": f"wes-{id}"}
    shown = json.loads(call("show", id, "--json").stdout)
    assert shown["state"] == "COMPLETE"
    assert "greeting" in json.dumps(shown)
    assert "align" in json.dumps(shown)


def test_a_failed_run_shows_the_words_of_its_tool(server: Model, call: Call) -> None:
    id = call("submit", "main.cwl", "--attach", "reads.txt").stdout.strip()
    call("run-once")
    [run] = server.runs.values()
    server.fail(run.id, "no such reads: lane 7")

    call("run-once")

    assert "no such reads: lane 7" in call("show", id).stdout


@pytest.mark.usefixtures("server")
def test_the_provider_is_listed_and_checked(call: Call) -> None:
    result = call("providers", "--check")

    assert "wes: enabled" in result.stdout
    assert "t-7" not in result.stdout
    assert result.exit_code == 0


def test_a_refused_token_is_reported_by_the_check(server: Model, call: Call) -> None:
    server.switches.credential = "Bearer another"

    result = call("providers", "--check")

    assert result.exit_code == 3
    assert "check WES_TOKEN" in result.stdout
    assert "t-7" not in result.stdout
