"""Status, outputs, tasks and logs of workflows that run with the real cwltool."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.providers.local_harness import CWL, LocalHarness
from wes_daemon.application.ports.providers import RunDetails, Submission
from wes_daemon.domain.runs import Attachment, StatusReport
from wes_daemon.domain.states import RunState
from wes_daemon.testing import status

pytest.importorskip("cwltool")


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[LocalHarness]:
    harness = LocalHarness(tmp_path)
    yield harness
    harness.close()


def run(harness: LocalHarness, submission: Submission, state: RunState) -> tuple[StatusReport, RunDetails]:
    """Submit, wait for the expected state, and return status and details."""
    provider = harness.provider()
    id = provider.submit(submission).id
    harness.reach(id, state)
    return status(provider, id), provider.details(id)


def read(address: object) -> str:
    """Return the content of the file at a `file://` address."""
    parts = urlsplit(str(address))
    assert parts.scheme == "file"
    return Path(parts.path).read_text()


def test_a_workflow_of_two_steps_has_outputs_tasks_and_logs(harness: LocalHarness) -> None:
    submission = harness.of("two_steps.cwl", {"message": "hi there"})

    report, details = run(harness, submission, RunState.COMPLETE)

    shouted = details.outputs["shouted"]
    assert isinstance(shouted, dict)
    assert read(shouted["location"]) == "HI THERE\n"
    assert shouted["location"] == (harness.run(submission.key).outputs / "shouted.txt").as_uri()
    assert (report.provider_status, details.exit_code) == ("exited 0", 0)
    assert "Final process status is success" in read(details.stderr)
    say, shout = details.tasks
    assert (say.name, say.exit_code, say.cmd[-1]) == ("say", 0, "hi there")
    assert (shout.name, shout.exit_code, shout.cmd) == ("shout", 0, ("tr", "a-z", "A-Z"))
    assert (read(say.stdout), read(say.stderr)) == ("hi there\n", "said it\n")
    assert (read(shout.stdout), read(shout.stderr)) == ("HI THERE\n", "")
    assert report.started_at is not None
    assert say.started_at is not None
    assert report.started_at < say.started_at < (say.ended_at or say.started_at)


def test_the_failure_message_is_the_output_of_the_failed_tool(harness: LocalHarness) -> None:
    report, details = run(harness, harness.of("failing_step.cwl"), RunState.EXECUTOR_ERROR)

    assert report.message == "break exited 3: sample S1 has no reads"
    assert report.provider_status == "exited 1"
    [task] = [task for task in details.tasks if task.name == "break"]
    assert task.exit_code == 3
    assert read(task.stderr) == "sample S1 has no reads\n"


@pytest.mark.parametrize("on_sigterm", ["trap - TERM", "trap : TERM"])
def test_a_tool_that_exceeds_its_time_limit_is_ended_and_described_in_a_sentence(
    harness: LocalHarness, tmp_path: Path, on_sigterm: str
) -> None:
    """D4."""
    tool = tmp_path / "slow.cwl"
    tool.write_text(
        "cwlVersion: v1.2\nclass: CommandLineTool\nrequirements: {ToolTimeLimit: {timelimit: 1}}\n"
        f"baseCommand: [sh, -c, '{on_sigterm}; echo working >&2; while true; do sleep 1; done']\n"
        "inputs: {}\noutputs: {}\n"
    )

    report, _ = run(harness, harness.of("", url=tool.as_uri()), RunState.EXECUTOR_ERROR)

    assert report.message.startswith("slow exceeded its time limit of 1 s (ToolTimeLimit) and was ended: working")


@pytest.mark.skipif(shutil.which("node") is None, reason="JavaScript needs Node.js")
def test_a_javascript_error_is_described_in_a_sentence_without_the_inputs(
    harness: LocalHarness, tmp_path: Path
) -> None:
    """D4."""
    tool = tmp_path / "tool.cwl"
    tool.write_text(
        "cwlVersion: v1.2\nclass: CommandLineTool\nrequirements: {InlineJavascriptRequirement: {}}\n"
        "baseCommand: echo\narguments: ['$(inputs.sample.name.length)']\ninputs: {sample: Any}\noutputs: {}\n"
    )

    report, _ = run(harness, harness.of("", {"sample": "Geheim"}, url=tool.as_uri()), RunState.EXECUTOR_ERROR)

    assert "tool.cwl:5:13: a JavaScript expression failed: TypeError: Cannot read prop" in report.message
    assert report.message.endswith(", in (function(){return ((inputs.sample.name.length));})()")
    assert "Geheim" not in report.message


def test_on_error_continue_runs_the_steps_that_do_not_depend_on_the_failed_one(harness: LocalHarness) -> None:
    submission = harness.of("failing_step.cwl", engine={"on_error": "continue", "parallel": True})

    _, details = run(harness, submission, RunState.EXECUTOR_ERROR)

    assert {task.name: task.exit_code for task in details.tasks} == {"say": 0, "break": 3}


@pytest.mark.parametrize(
    ("document", "params", "expected"),
    [
        ("invalid.cwl", {}, "unknown identifier 'strnig'"),
        ("cat.cwl", {}, "Missing required input parameter 'text'"),
        ("cat.cwl", {"text": {"class": "File", "path": "nowhere.txt"}}, "nowhere.txt'"),
        ("missing_output.cwl", {}, "Did not find output file with glob pattern: ['report.txt']"),
    ],
)
def test_an_error_in_the_request_is_reported_without_the_rest_of_the_log(
    harness: LocalHarness, document: str, params: object, expected: str
) -> None:
    report, details = run(harness, harness.of(document, params), RunState.EXECUTOR_ERROR)

    assert expected in report.message
    assert "INFO" not in report.message
    assert "Final process status" not in report.message
    assert details.exit_code == 1


def test_a_document_at_a_server_that_cannot_be_reached_fails_the_run(harness: LocalHarness) -> None:
    submission = harness.of("", url="http://127.0.0.1:9/nothing.cwl#main")

    report, _ = run(harness, submission, RunState.SYSTEM_ERROR)

    assert "http://127.0.0.1:9/nothing.cwl, because the connection failed: Connection refused" in report.message


def test_each_shard_of_a_scatter_is_a_task(harness: LocalHarness) -> None:
    submission = harness.of("scatter.cwl", {"messages": ["a", "b", "c"]}, engine={"parallel": "true"})

    _, details = run(harness, submission, RunState.COMPLETE)

    assert [task.name for task in details.tasks] == ["say"] * 3
    assert len({task.id for task in details.tasks}) == 3
    assert sorted(read(task.stdout) for task in details.tasks) == ["a\n", "b\n", "c\n"]
    assert {read(task.stderr) for task in details.tasks} == {"said it\n"}


def test_the_steps_of_a_nested_workflow_are_tasks(harness: LocalHarness) -> None:
    _, details = run(harness, harness.of("nested.cwl", {"message": "x"}), RunState.COMPLETE)

    assert [task.name for task in details.tasks] == ["say", "shout"]


def test_attachments_import_each_other_and_serve_as_inputs(harness: LocalHarness) -> None:
    workflow = (CWL / "two_steps.cwl").read_text().replace("run: ", "run: tools of mine/")
    attachments = [
        Attachment(name="flows/main.cwl", content=workflow.encode()),
        *(
            Attachment(name=f"flows/tools of mine/{name}", content=(CWL / name).read_bytes())
            for name in ("echo.cwl", "shout.cwl")
        ),
    ]
    submission = harness.of("", {"message": "hi"}, url="flows/main.cwl", attachments=attachments)

    _, details = run(harness, submission, RunState.COMPLETE)

    assert [task.name for task in details.tasks] == ["say", "shout"]


def test_relative_inputs_are_found_among_the_attachments(harness: LocalHarness) -> None:
    attachments = [
        Attachment(name="cat.cwl", content=(CWL / "cat.cwl").read_bytes()),
        Attachment(name="data/reads.txt", content=b"ACGT\n"),
        Attachment(name="wes-inputs-0.json", content=b"not the inputs"),
        # Files in the working directory must never be imported as modules.
        *(Attachment(name=name, content=b"raise SystemExit(9)") for name in ("json.py", "cwltool.py", "psutil.py")),
    ]
    text = {"class": "File", "location": "data/reads.txt"}
    submission = harness.of("", {"text": text}, url="cat.cwl", attachments=attachments)

    _, details = run(harness, submission, RunState.COMPLETE)

    copy = details.outputs["copy"]
    assert isinstance(copy, dict)
    assert read(copy["location"]) == "ACGT\n"


def test_no_secret_of_the_daemon_reaches_a_tool(harness: LocalHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URI", "SB_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY", "CWLTOOL_OPTIONS"):
        monkeypatch.setenv(name, "--preserve-entire-environment")
    monkeypatch.setenv("LC_TIME", "C")
    submission = harness.of("environment.cwl", engine={"preserve_environment": ["LC_TIME"]})

    _, details = run(harness, submission, RunState.COMPLETE)

    variables = dict(line.split("=", 1) for line in read(details.tasks[0].stdout).splitlines())
    assert variables.keys() == {"HOME", "TMPDIR", "PATH", "LC_TIME", "WES_DAEMON_LOCAL_RUN"}
    assert "preserve-entire" not in json.dumps(variables)


def test_the_runs_temporary_files_are_its_own_and_go_with_it(harness: LocalHarness) -> None:
    submission = harness.of("environment.cwl")

    _, details = run(harness, submission, RunState.COMPLETE)

    directory = harness.run(submission.key)
    assert f"TMPDIR={directory.temporary}/" in read(details.tasks[0].stdout)
    assert not directory.temporary.exists()
    assert not list(harness.workdir.glob(".*"))
