"""Requests as the clients of WES services write them, from the row to the end of the run, with the command line."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.functional.conftest import CWL, Call, until

Queue = Callable[..., None]
_COLUMNS = ("run_id", "state", "workflow_url", "workflow_engine", "tags", "workflow_params", "start_time")


@pytest.fixture
def queue(set_up: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Inserts a row as a service does, into a database where Seven Bridges is the default provider."""
    monkeypatch.setenv("DAEMON_DEFAULT_PROVIDER", "sevenbridges")
    call("db", "upgrade")

    def insert(run_id: str, **given: str | None) -> None:
        row = {"state": "QUEUED", "workflow_url": (CWL / "echo.cwl").as_uri(), **given, "run_id": run_id}
        values = [row.get(name) for name in _COLUMNS]
        with closing(sqlite3.connect(set_up / "runs.db")) as service, service:
            service.execute(
                f"INSERT INTO workflow_runs ({', '.join(_COLUMNS)}, workflow_type, workflow_type_version)"
                f" VALUES ({', '.join('?' * len(_COLUMNS))}, 'CWL', 'v1.2')",
                values,
            )

    return insert


def _listed(call: Call, *arguments: str) -> dict[str, Any]:
    return {run["run_id"]: run for run in json.loads(call("list", "--json", *arguments).stdout)}


def _text(value: object) -> str:
    return json.dumps(json.dumps(value))


def test_a_request_of_texts_is_executed_by_the_provider_of_its_engine_and_has_its_outputs_as_a_tag(
    call: Call, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAEMON_OUTPUTS_TAG", "outputs")
    monkeypatch.setenv("DAEMON_KEEP_START_TIME", "true")
    queue(
        "run-1",
        workflow_engine="cwltool",
        tags=_text({"project": "trio"}),
        workflow_params=_text({"message": "hello"}),
        start_time="2026-01-01 12:00:00",
    )

    until(lambda: "ended" in json.loads(call("run-once", "--json").stdout)["refresh"]["outcomes"])

    shown = json.loads(call("show", "run-1", "--json").stdout)
    tags = shown["request"]["tags"]
    assert (shown["state"], shown["daemon"]["provider"]) == ("COMPLETE", "local")
    assert (tags["project"], tags["outputs"]) == ("trio", shown["outputs"])
    assert shown["outputs"] != {}
    assert shown["run_log"]["start_time"] == "2026-01-01T12:00:00Z"


def test_queued_runs_are_listed_with_the_provider_of_their_engine(call: Call, queue: Queue) -> None:
    queue("run-1", workflow_engine="cwltool")
    queue("run-2", workflow_engine="AWSHealthOmics")
    queue("run-3", workflow_engine="Arvados")
    queue("run-4", workflow_engine="toil")

    listed = _listed(call)

    assert {run_id: run["daemon"].get("provider") for run_id, run in listed.items()} == {
        "run-1": "local",
        "run-2": "healthomics",
        "run-3": None,
        "run-4": None,
    }
    assert _listed(call, "--provider", "healthomics").keys() == {"run-2"}


def test_runs_that_cannot_be_executed_say_why_and_what_chooses_another_provider(
    call: Call, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEVENBRIDGES_API_TOKEN", "not-a-real-token")
    monkeypatch.setenv("SEVENBRIDGES_PROJECT", "lab/genomes")
    # The first session of a database inherits its rows, and searches for them first.
    call("run-once")
    queue("default", workflow_url="1234567")
    queue("engine", workflow_engine="cwltool", workflow_url="sevenbridges://lab/genomes/align")
    queue("unknown", workflow_engine="toil", workflow_url="1234567")
    queue("arvados", workflow_engine="Arvados")
    queue("tagged", workflow_url="1234567", tags='{"provider_type": "sevenbridges"}')

    call("run-once")

    errors = {run_id: run["daemon"]["error"] for run_id, run in _listed(call).items()}
    assert "sevenbridges is the default provider (DAEMON_DEFAULT_PROVIDER); the tag provider_type" in errors["default"]
    assert "workflow_engine 'cwltool' stands for local (DAEMON_ENGINE_PROVIDERS)" in errors["engine"]
    assert "workflow_engine 'toil' is not in DAEMON_ENGINE_PROVIDERS" in errors["unknown"]
    assert errors["arvados"].startswith("workflow_engine is 'Arvados', whose runs no provider executes")
    assert "chooses another provider" not in errors["tagged"]


def test_verify_reads_the_provider_of_the_engine(call: Call, queue: Queue) -> None:
    queue("run-1", state="RUNNING", workflow_engine="AWSHealthOmics", tags='{"provider_id": "1234567"}')
    call("run-once")
    queue("run-2", state="RUNNING", workflow_engine="AWSHealthOmics", tags='{"provider_id": "1234567"}')

    result = json.loads(call("verify", "--json").stdout)

    [unique] = [check for check in result["checks"] if check["name"] == "one-run-each"]
    assert unique["passed"] is False
