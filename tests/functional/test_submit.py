"""`wes-daemon submit`: what is queued for what was written."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.functional.conftest import CWL, Call

pytestmark = pytest.mark.usefixtures("set_up")


@pytest.fixture
def queued(call: Call) -> Any:
    """Submit, and read back what was queued."""

    def submit(*arguments: str, input: str | None = None) -> dict[str, Any]:
        submitted = call("submit", *arguments, input=input)
        assert submitted.exit_code == 0, submitted.output
        shown: dict[str, Any] = json.loads(call("show", submitted.stdout.strip(), "--json").stdout)
        return shown

    return submit


def test_only_the_id_is_printed(call: Call) -> None:
    result = call("submit", "https://example.org/echo.cwl")

    [run] = json.loads(call("list", "--json").stdout)
    assert result.stdout == f"{run['run_id']}\n"
    assert run["state"] == "QUEUED"


def test_the_id_as_json(call: Call) -> None:
    assert list(json.loads(call("submit", "https://example.org/echo.cwl", "--json").stdout)) == ["run_id"]


def test_a_file_becomes_an_address_and_tells_its_type_and_version(queued: Any, set_up: Path) -> None:
    (set_up / "my flow.cwl").write_text('{"class": "Workflow",\n "cwlVersion": "v1.1"}')

    request = queued("my flow.cwl#main")["request"]

    assert request["workflow_url"] == f"{set_up.as_uri()}/my%20flow.cwl#main"
    assert (request["workflow_type"], request["workflow_type_version"]) == ("CWL", "v1.1")


@pytest.mark.parametrize(
    ("workflow", "type", "version"),
    [
        ("https://example.org/a.cwl?raw=1", "CWL", "v1.2"),
        ("https://example.org/a.wdl", "WDL", "1.0"),
        ("https://example.org/main.nf", "NFL", "DSL2"),
        ("owner/project/app", "CWL", "v1.2"),
        ("owner/project/app.main", "CWL", "v1.2"),
    ],
)
def test_the_type_is_told_from_the_name(queued: Any, workflow: str, type: str, version: str) -> None:
    request = queued(workflow, "--no-checks")["request"]

    assert request["workflow_url"] == workflow
    assert (request["workflow_type"], request["workflow_type_version"]) == (type, version)


def test_values_are_json_where_they_are_json_else_texts(queued: Any) -> None:
    params = queued(
        "https://example.org/a.cwl", "n=4", "ok=true", "ids=[1, 2]", 's="4"', "word=hello=there", "none=", "odd=NaN"
    )["request"]["workflow_params"]

    assert params == {
        "n": 4,
        "ok": True,
        "ids": [1, 2],
        "s": "4",
        "word": "hello=there",
        "none": "",
        "odd": "NaN",
    }


TYPED = """\
cwlVersion: v1.2
class: CommandLineTool
inputs:
  - {id: message, type: string}
  - {id: choice, type: ["null", {type: enum, symbols: ["1", "2"]}]}
  - {id: words, type: "string[]?"}
  - {id: times, type: int?}
  - {id: any, type: ["null", int, string]}
outputs: []
"""


def test_a_value_is_read_in_the_type_that_the_workflow_declares(queued: Any, set_up: Path) -> None:
    """C3"""
    (set_up / "typed.cwl").write_text(TYPED)

    params = queued("typed.cwl", "message=42", "choice=1", 'words=["a"]', "times=4", "any=7")["request"][
        "workflow_params"
    ]

    assert params == {"message": "42", "choice": "1", "words": ["a"], "times": 4, "any": 7}


@pytest.mark.parametrize(
    ("text", "value"), [("true", "true"), ("null", "null"), ("1e3", "1e3"), ('"4"', "4"), ("[1, 2]", "[1, 2]")]
)
def test_whatever_is_given_for_a_text_is_a_text(queued: Any, set_up: Path, text: str, value: str) -> None:
    """C3"""
    (set_up / "typed.cwl").write_text(TYPED)

    params = queued("typed.cwl", f"message={text}")["request"]["workflow_params"]

    assert params == {"message": value}


@pytest.mark.parametrize("more", [["sample=S1", "message=a"], []], ids=["unknown", "missing"])
def test_a_person_can_insist_on_inputs_that_the_workflow_does_not_declare(
    queued: Any, set_up: Path, more: list[str]
) -> None:
    """C3"""
    (set_up / "typed.cwl").write_text(TYPED)

    assert queued("typed.cwl", *more, "--no-checks")["state"] == "QUEUED"


def test_names_that_runners_of_cwl_reserve_are_no_inputs(queued: Any, set_up: Path) -> None:
    """C3"""
    (set_up / "typed.cwl").write_text(TYPED)
    (set_up / "job.yaml").write_text("id: job-1\n$namespaces: {}\ncwl:requirements: []\nmessage: hi\n")

    assert queued("typed.cwl", "--params", "job.yaml")["state"] == "QUEUED"


@pytest.mark.parametrize(
    "inputs", ["inputs: {$import: inputs.yml}", "inputs: [{$import: input.yml}]", "inputs: {a: x.yml#T}"]
)
def test_a_document_that_needs_others_is_not_compared(queued: Any, set_up: Path, inputs: str) -> None:
    """C3"""
    (set_up / "importing.cwl").write_text(f"cwlVersion: v1.2\nclass: Workflow\n{inputs}\n")

    assert queued("importing.cwl", "a=42")["request"]["workflow_params"] == {"a": 42}


def test_the_version_of_a_draft_is_that_of_the_document(queued: Any, set_up: Path) -> None:
    """C3"""
    (set_up / "old.cwl").write_text(
        "cwlVersion: sbg:draft-2\nclass: CommandLineTool\ninputs: [{id: '#in', type: [string]}]\n"
    )

    request = queued("old.cwl", "in=4", "--no-checks")["request"]

    assert request["workflow_type_version"] == "sbg:draft-2"


def test_the_same_provider_may_be_named_twice_but_not_two(queued: Any, call: Call) -> None:
    """C3"""
    workflow = ("https://example.org/a.cwl", "--provider", "local")

    assert queued(*workflow, "--tag", "provider_type=local")["state"] == "QUEUED"
    assert "name two providers" in call("submit", *workflow, "--tag", "provider_type=sevenbridges").stderr


def test_a_name_of_a_file_is_a_name_before_it_is_an_address(queued: Any, set_up: Path) -> None:
    """C4"""
    for name in ("chr1:1000-2000.bam", "v1:echo.cwl", "a#b.cwl", "x%20y.txt"):
        (set_up / name).write_text((CWL / "echo.cwl").read_text())
    job = {"f": {"class": "File", "path": "chr1:1000-2000.bam"}, "g": {"class": "File", "location": "x%20y.txt"}}
    (set_up / "job.json").write_text(json.dumps(job))
    folder = set_up.as_uri()

    one = queued("v1:echo.cwl", "f=@chr1:1000-2000.bam", "--no-checks")["request"]
    two = queued("a#b.cwl", "--params", "job.json", "--no-checks")["request"]

    assert one["workflow_url"] == f"{folder}/v1%3Aecho.cwl"
    assert one["workflow_params"]["f"]["location"] == f"{folder}/chr1%3A1000-2000.bam"
    assert two["workflow_url"] == f"{folder}/a%23b.cwl"
    assert two["workflow_params"]["f"]["location"] == f"{folder}/chr1%3A1000-2000.bam"
    assert two["workflow_params"]["g"]["location"] == f"{folder}/x%2520y.txt"


def test_an_attachment_may_be_called_like_an_address(queued: Any) -> None:
    """C4"""
    file = 'f={"class": "File", "path": "v1:echo.cwl"}'
    attached = ("--attach", f"v1:echo.cwl={CWL}/echo.cwl")

    request = queued("v1:echo.cwl", file, *attached, "--no-checks")["request"]

    assert request["workflow_url"] == "v1:echo.cwl"
    assert request["workflow_params"] == {"f": {"class": "File", "path": "./v1:echo.cwl"}}


def test_an_at_sign_makes_a_file_of_a_value(queued: Any, set_up: Path) -> None:
    (set_up / "S 1.fastq").touch()

    params = queued("https://example.org/a.cwl", "reads=@S 1.fastq", "all=@.", "far=@https://host/x")["request"][
        "workflow_params"
    ]

    assert params == {
        "reads": {"class": "File", "location": f"{set_up.as_uri()}/S%201.fastq"},
        "all": {"class": "Directory", "location": set_up.as_uri()},
        "far": {"class": "File", "location": "https://host/x"},
    }


def test_parameters_from_a_file_are_found_beside_it_and_overridden_by_name(queued: Any, set_up: Path) -> None:
    inputs = set_up / "inputs"
    inputs.mkdir()
    (inputs / "a.txt").touch()
    (inputs / "job.yaml").write_text(
        "text: {class: File, path: a.txt}\nmore: [{class: File, location: a.txt}]\nsample: no\nday: 2026-11-23\nn: 1\n"
    )

    params = queued("https://example.org/a.cwl", "n=2", "--params", "inputs/job.yaml")["request"]["workflow_params"]

    file = {"class": "File", "location": f"{inputs.as_uri()}/a.txt"}
    assert params == {"text": file, "more": [file], "sample": "no", "day": "2026-11-23", "n": 2}


def test_parameters_from_standard_input(queued: Any) -> None:
    shown = queued("https://example.org/a.cwl", "--params", "-", input='{"message": "hi"}')

    assert shown["request"]["workflow_params"] == {"message": "hi"}


def test_relative_files_stay_relative_where_they_are_attached_or_run_elsewhere(queued: Any, set_up: Path) -> None:
    (set_up / "a.txt").write_text("a")
    relative = {"class": "File", "location": "a.txt"}
    value = f"text={json.dumps(relative)}"

    attached = queued("https://example.org/a.cwl", value, "--attach", "a.txt")
    elsewhere = queued("owner/project/app", value, "--provider", "sevenbridges")

    assert attached["request"]["workflow_params"] == elsewhere["request"]["workflow_params"] == {"text": relative}


def test_tags_provider_and_engine_are_passed_on(queued: Any) -> None:
    request = queued(
        *("https://example.org/a.cwl", "--tag", "sample=S1", "--tag", "note=a=b", "--provider", "local"),
        *("--engine", "cwltool", "--engine-version", "3.1", "--engine-parameter", "parallel=true"),
        *("--type", "CWL", "--type-version", "v1.0"),
    )["request"]

    assert request["tags"] == {"sample": "S1", "note": "a=b", "provider_type": "local"}
    assert (request["workflow_engine"], request["workflow_engine_version"]) == ("cwltool", "3.1")
    assert request["workflow_engine_parameters"] == {"parallel": "true"}
    assert request["workflow_type_version"] == "v1.0"


def test_a_workflow_is_attached_with_what_it_needs_under_names_relative_to_it(queued: Any) -> None:
    shown = queued(
        *(str(CWL / "two_steps.cwl"), "message=hi"),
        *("--attach", str(CWL / "echo.cwl"), "--attach", f"tools/s.cwl={CWL}/shout.cwl"),
    )

    assert shown["request"]["workflow_url"] == "two_steps.cwl"
    assert shown["daemon"]["attachments"] == ["echo.cwl", "tools/s.cwl", "two_steps.cwl"]


@pytest.mark.parametrize(
    ("name", "url"), [("my flow.cwl", "my%20flow.cwl"), ("v1:#2.cwl", "v1%3A%232.cwl"), ("50%25.cwl", "50%2525.cwl")]
)
def test_the_name_of_an_attached_workflow_is_encoded_where_an_address_has_to_be(
    queued: Any, set_up: Path, name: str, url: str
) -> None:
    (set_up / name).write_text((CWL / "echo.cwl").read_text())
    (set_up / "a.txt").touch()

    shown = queued(f"./{name}", "message=hi", "--attach", "a.txt", "--provider", "local")

    assert shown["request"]["workflow_url"] == url
    assert shown["daemon"]["attachments"] == sorted(["a.txt", name])


def test_a_workflow_may_be_one_of_the_attachments(queued: Any) -> None:
    shown = queued("tools/main.cwl", "--attach", f"tools/main.cwl={CWL}/echo.cwl")

    assert shown["request"]["workflow_url"] == "tools/main.cwl"
    assert shown["daemon"]["attachments"] == ["tools/main.cwl"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.cwl"], "there is no such file"),
        (["./missing"], "there is no such file"),
        (["."], "is a directory"),
        (["https://example.org/a.cwl", "novalue"], "NAME=VALUE"),
        (["https://example.org/a.cwl", "reads=@missing.fastq"], "missing.fastq"),
        (["https://example.org/a.cwl", 'r={"class": "File", "path": "missing.txt"}'], "missing.txt"),
        (["https://example.org/a.cwl", "--params", "missing.json"], "cannot be read"),
        (["https://example.org/a.cwl", "--params", "list.json"], "must hold names and values"),
        (["https://example.org/a.cwl", "--params", "broken.json"], "broken.json is not JSON: Expecting value: line 1"),
        (["https://example.org/a.cwl", "--params", "broken.yaml"], "neither JSON nor YAML"),
        (["align.wd"], "there is no such file"),
        (["flows/align.snake"], "there is no such file"),
        (["https://example.org/a.cwl", "--tag", "lonely"], "--tag"),
        (
            ["https://example.org/a.cwl", "--provider", "slurm"],
            "'slurm': the providers are healthomics, local",
        ),
        (["https://example.org/a.cwl", "--tag", "provider_type=slurm"], "there is no provider 'slurm'"),
        (["https://example.org/a.cwl", "--attach", "missing.txt"], "--attach"),
        (["https://example.org/a.cwl", "--attach", "../x=list.json"], "below the run's directory"),
        (["https://example.org/a.cwl", "--attach", "list.json", "--attach", "list.json=broken.json"], "both be called"),
        (["https://example.org/a.cwl", "--engine-version", "1"], "--engine"),
        (["https://example.org/a.cwl", "--timeout", "5"], "--wait"),
        (["https://example.org/a b.cwl"], "percent-encode"),
        ([""], "workflow_url is empty"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else None,
)
def test_what_cannot_be_meant_is_wrong_usage_and_queues_nothing(
    arguments: list[str], said: str, set_up: Path, call: Call
) -> None:
    (set_up / "list.json").write_text("[1]")
    (set_up / "broken.json").write_text('{"message": }')
    (set_up / "broken.yaml").write_text("{a: [")
    call("db", "upgrade")

    result = call("submit", *arguments)

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert json.loads(call("list", "--json").stdout) == []


def test_a_name_from_a_file_cannot_steer_the_terminal(call: Call, set_up: Path) -> None:
    """D6"""
    (set_up / "job.json").write_text(json.dumps({"a\x1b[31m": {"class": "File", "location": "s3://b/k\x1b[31m"}}))

    result = call("submit", "https://example.org/a.cwl", "--params", "job.json")

    assert result.exit_code == 2
    assert "cannot be read here" in result.stderr
    assert "\x1b" not in result.stderr


def test_where_no_daemon_is_at_work_the_command_that_starts_one_is_said(set_up: Path, call: Call) -> None:
    other = f"sqlite:///{set_up / 'other.db'}"

    usual, named = (call("submit", "https://example.org/a.cwl", *more) for more in ([], ["--db-uri", other]))

    assert usual.stderr.endswith("this starts one: wes-daemon\n")
    assert named.stderr.endswith(f"this starts one: wes-daemon --db-uri {other}\n")


def test_a_run_that_would_go_to_what_is_not_set_up_is_queued_with_a_note(call: Call) -> None:
    result = call("submit", "owner/project/app", "--provider", "sevenbridges")

    assert result.exit_code == 0
    assert "with the settings here the run goes to sevenbridges, which is not set up: provider " in result.stderr
    assert "; --provider local with DAEMON_LOCAL_WORKDIR=… runs it on this machine\n" in result.stderr
    assert "the run goes to" not in call("submit", "https://example.org/a.cwl").stderr


def test_a_run_is_said_to_go_to_the_provider_of_its_engine(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAEMON_DEFAULT_PROVIDER", "sevenbridges")

    assert "the run goes to" not in call("submit", "https://example.org/a.cwl", "--engine", "cwltool").stderr
    assert "the run goes to sevenbridges" in call("submit", "owner/project/app", "--engine", "toil").stderr


def test_a_run_whose_engine_no_provider_executes_is_said_to_be_refused(call: Call) -> None:
    result = call("submit", "https://example.org/a.cwl", "--engine", "Arvados")

    assert result.exit_code == 0
    assert "with the settings here the run is refused: workflow_engine is 'Arvados'" in result.stderr
    assert "the tag provider_type chooses a provider" in result.stderr


def test_files_are_resolved_for_a_run_whose_engine_is_executed_here(
    queued: Any, set_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAEMON_DEFAULT_PROVIDER", "sevenbridges")
    (set_up / "S1.fastq").write_text("reads")
    (set_up / "inputs.json").write_text('{"reads": {"class": "File", "path": "S1.fastq"}}')

    here, there = (
        queued(workflow, "--params", "inputs.json", "--engine", engine)["request"]
        for workflow, engine in (("https://example.org/a.cwl", "cwltool"), ("owner/project/app", "SevenBridges"))
    )

    assert str(set_up) in json.dumps(here["workflow_params"])
    assert there["workflow_params"] == {"reads": {"class": "File", "path": "S1.fastq"}}


def test_the_daemon_that_is_to_be_started_can_run_a_local_run(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAEMON_LOCAL_WORKDIR")

    result = call("submit", "https://example.org/a.cwl", "--provider", "local")

    assert "the run goes to local, which is not set up" in result.stderr
    assert result.stderr.endswith('this starts one: DAEMON_LOCAL_WORKDIR="$PWD/local-runs" wes-daemon\n')


def test_waiting_gives_up_at_the_timeout_and_leaves_the_run(call: Call) -> None:
    result = call("submit", "https://example.org/a.cwl", "--wait", "--timeout", "0.2")

    assert result.exit_code == 1
    assert "is still QUEUED after 0.2 seconds; it continues" in result.stderr
    assert len(result.stdout.splitlines()) == 1
