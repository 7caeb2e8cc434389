"""What programs read of runs."""

import json
from datetime import timedelta, timezone

from tests.builders import NOON, a_request, a_run, some_details
from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.domain.runs import TaskId, TaskLog, Unreadable
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.documents import instant, json_text, run_log, run_summary, task_log


def test_what_is_not_known_is_left_out() -> None:
    document = run_log(RunRecord(run=a_run()))

    assert document["run_log"] == {}
    assert "workflow_engine" not in document["request"]
    assert "provider_id" not in document["daemon"]
    assert "null" not in json_text(document)


def test_a_task_has_the_words_of_wes() -> None:
    task = TaskLog(id=TaskId("t"), name="align", cmd=["bwa"], start_time=NOON, exit_code=0)

    assert task_log(task) == {
        "id": "t",
        "name": "align",
        "cmd": ["bwa"],
        "start_time": "2026-01-01T12:00:00Z",
        "exit_code": 0,
    }


def test_outputs_and_exit_code_are_those_of_the_run() -> None:
    document = run_log(RunRecord(run=a_run(state=RunState.COMPLETE, end_time=NOON), details=some_details()))

    assert document["outputs"] == {"answer": 42}
    assert document["run_log"] == {"end_time": "2026-01-01T12:00:00Z", "exit_code": 0}


def test_a_summary_is_enough_to_find_a_run_again() -> None:
    summary = run_summary(RunRecord(run=a_run(tags={"sample": "S1"})))

    assert summary["run_id"] == "run-1"
    assert summary["tags"] == {"sample": "S1"}
    assert summary["request"]["workflow_url"] == "file:///workflows/echo.cwl"


def test_values_that_are_no_objects_are_given_as_they_were_found() -> None:
    request = a_request(workflow_params=Unreadable("{oops"), workflow_engine_parameters=[1])

    document = run_log(RunRecord(run=a_run(request=request, tags="text")))

    assert document["request"]["workflow_params"] == "{oops"
    assert document["request"]["workflow_engine_parameters"] == [1]
    assert document["request"]["tags"] == "text"


def test_times_are_in_utc_with_a_z() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=2)))

    assert instant(elsewhere) == "2026-01-01T12:00:00Z"
    assert instant(elsewhere, timespec="milliseconds") == "2026-01-01T12:00:00.000Z"


def test_json_steers_no_terminal_and_still_holds_what_it_held() -> None:
    evil = "\x9b31m\u2028\u202eé\n\x7f"

    text = json_text({"note": evil})

    assert json.loads(text) == {"note": evil}
    assert all(one.isprintable() or one == "\n" for one in text)
    assert "é" in text
