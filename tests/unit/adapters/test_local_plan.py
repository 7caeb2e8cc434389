"""Validation of submissions and engine parameters, and the command line of cwltool."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from wes_daemon.adapters.providers.local.engine import cwltool_arguments
from wes_daemon.adapters.providers.local.engine_parameters import ContainerEngine, read_engine_parameters
from wes_daemon.adapters.providers.local.plan import Plan, make_plan
from wes_daemon.adapters.providers.local.run_directory import RunDirectory, as_json
from wes_daemon.application.ports.errors import Rejected, WrongProvider
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import Attachment, IdempotencyKey, RunId, WorkflowRequest

RUN = RunDirectory(Path("/work/wes-1"))


def submission(
    url: str = "main.cwl",
    *,
    type: str = "CWL",
    version: str = "v1.2",
    params: object = None,
    engine: object = None,
    attachments: tuple[str, ...] = ("main.cwl",),
) -> Submission:
    return Submission(
        key=IdempotencyKey("wes-1"),
        run_id=RunId("1"),
        request=WorkflowRequest(
            workflow_url=url,
            workflow_type=type,
            workflow_type_version=version,
            workflow_params=params,
            workflow_engine_parameters=engine,
        ),
        attachments=[Attachment(name=name, content=b"") for name in attachments],
    )


@pytest.mark.parametrize("type", ["CWL", "cwl", " Cwl "])
@pytest.mark.parametrize("version", ["v1.0", "v1.1", "v1.2", "1.2", "V1.2", ""])
def test_every_spelling_of_cwl_is_accepted(type: str, version: str) -> None:
    assert make_plan(submission(type=type, version=version)).document == "./main.cwl"


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"message": "a\ud800"}, "workflow_params.message contains U\\+D800"),
        ({"reads": [{"path": "a"}, {"path": "\udfff"}]}, r"workflow_params.reads\[1\].path contains U\+DFFF"),
        ({"reads": {"\ud83d": 1}}, r"workflow_params.reads, in a name contains U\+D83D"),
    ],
)
def test_half_a_character_is_rejected_with_its_place(params: object, place: str) -> None:
    """C2: no file that cwltool could read can contain it."""
    with pytest.raises(Rejected, match=place):
        make_plan(submission(params=params))


def test_inputs_are_written_so_that_json_and_yaml_read_the_same() -> None:
    """C2: characters beyond the BMP as they are, all others outside ASCII escaped."""
    written = as_json({"a": "\u00e9\x7f\x85\ufeff\uffff\U0001f600"})

    assert written.decode("utf-8") == '{\n "a": "\\u00e9\\u007f\\u0085\\ufeff\\uffff\U0001f600"\n}'
    assert json.loads(written) == {"a": "\u00e9\x7f\x85\ufeff\uffff\U0001f600"}


@pytest.mark.parametrize(
    ("invalid", "message"),
    [
        (submission(type="WDL"), "workflow_type is 'WDL'.*CWL only"),
        (submission(version="v1.3"), "'v1.3'.*v1.0, v1.1, v1.2"),
        (submission(version="draft-3"), "draft-3"),
        (submission(params=["a"]), "workflow_params must be a JSON object"),
        (submission(engine="fast"), "workflow_engine_parameters must be a JSON object"),
        (submission(""), "workflow_url is empty"),
        (submission("other.cwl"), "the attachments are main.cwl"),
        (submission("../main.cwl"), "the attachments are main.cwl"),
        (submission("other.cwl", attachments=()), "no attachments"),
        (submission("file:///nowhere/at/all.cwl"), "no such file"),
        (submission("file://elsewhere/main.cwl"), "names the machine 'elsewhere'"),
        (submission("s3://bucket/main.cwl"), "use http"),
        (submission("/absolute/main.cwl"), "use http"),
    ],
)
def test_an_invalid_submission_is_rejected_with_a_message_that_names_the_error(
    invalid: Submission, message: str
) -> None:
    with pytest.raises(Rejected, match=message):
        make_plan(invalid)


@pytest.mark.parametrize(
    ("invalid", "may_be_anothers"),
    [
        (submission(type="WDL"), True),
        (submission("sevenbridges://lab/genomes/align"), True),
        (submission("lab/genomes/align", attachments=()), True),
        (submission("other.cwl"), False),
        (submission(version="v1.3"), False),
    ],
)
def test_a_workflow_of_another_provider_is_told_from_an_error(invalid: Submission, may_be_anothers: bool) -> None:
    with pytest.raises(Rejected) as caught:
        make_plan(invalid)

    assert isinstance(caught.value, WrongProvider) is may_be_anothers


@pytest.mark.parametrize(
    "url",
    [
        "s3://u:Geheim@bucket/a.cwl?sig=Geheim",
        "file://u:Geheim@elsewhere/main.cwl",
        "file:///nowhere/at/all.cwl?sig=Geheim",
        "other.cwl?sig=Geheim",
        "http://[u:Geheim@host/a.cwl",
        "https://u:Geheim@host/a b.cwl",
        "/a.cwl?Geheim",
    ],
)
def test_no_rejection_shows_a_secret_of_the_address(url: str) -> None:
    with pytest.raises(Rejected, match="workflow_url") as rejected:
        make_plan(submission(url))

    assert "Geheim" not in str(rejected.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("main.cwl", "file:///work/wes-1/attachments/main.cwl"),
        ("./main.cwl#main", "file:///work/wes-1/attachments/main.cwl#main"),
        ("tools/a%20b.cwl", "file:///work/wes-1/attachments/tools/a%20b.cwl"),
        ("https://example.org/a.cwl?raw=1#main", "https://example.org/a.cwl?raw=1#main"),
        (f"{Path(__file__).as_uri()}#main", f"{Path(__file__).as_uri()}#main"),
    ],
)
def test_the_address_of_the_workflow_is_resolved(url: str, address: str) -> None:
    plan = make_plan(submission(url, attachments=("main.cwl", "tools/a b.cwl")))

    assert plan.document_address(RUN) == address


def test_an_attachment_may_be_called_like_an_address() -> None:
    """C4"""
    plan = make_plan(submission("v1:echo.cwl#main", attachments=("v1:echo.cwl",)))

    assert plan.document_address(RUN) == f"{RUN.attachments.as_uri()}/v1%3Aecho.cwl#main"


def test_the_inputs_file_has_a_name_that_no_attachment_has() -> None:
    plan = make_plan(submission(attachments=("main.cwl", "WES-inputs-0.json", "wes-inputs-1.json/x")))

    assert plan.inputs_file == "wes-inputs-2.json"


def test_a_plan_is_read_as_it_was_written() -> None:
    engine = {
        "parallel": True,
        "on_error": "continue",
        "preserve_environment": ["TZ"],
        "container": "podman",
        "relax_path_checks": True,
    }
    plan = replace(make_plan(submission(engine=engine)), fetch_timeout=timedelta(seconds=2.5))

    assert Plan.from_object(plan.as_object()) == plan


def test_engine_parameters_may_be_text_as_in_wes() -> None:
    engine = {"parallel": "true", "preserve_environment": "TZ, LC_ALL", "on_error": "continue", "container": "none"}

    parameters = read_engine_parameters(engine)

    assert (parameters.parallel, list(parameters.preserve_environment)) == (True, ["TZ", "LC_ALL"])
    assert parameters.container is ContainerEngine.NONE


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"paralel": True}, "paralel: the local provider supports only container, on_error, parallel, preserve_env"),
        ({"parallel": 1}, "parallel must be true or false, but is 1"),
        ({"on_error": "--debug"}, "on_error must be stop or continue"),
        ({"container": "--no-container"}, "container must be one of docker, podman"),
        ({"relax_path_checks": "yes"}, "relax_path_checks must be true or false, but is 'yes'"),
        ({"container": ["docker"]}, "container must be one of"),
        ({"preserve_environment": {"TZ": 1}}, "must be a list of names"),
        ({"preserve_environment": [1]}, "must be a list of names"),
        ({"preserve_environment": ["DATABASE_URI"]}, "DATABASE_URI: the daemon passes on only harmless"),
        ({"preserve_environment": ["TZ --leave-tmpdir"]}, "passes on only harmless"),
    ],
)
def test_unknown_and_invalid_engine_parameters_are_rejected_by_name(given: dict[str, object], message: str) -> None:
    with pytest.raises(Rejected, match=message):
        read_engine_parameters(given)


def test_null_means_the_default() -> None:
    assert read_engine_parameters({"parallel": None, "container": None}) == read_engine_parameters({})


def test_no_value_of_the_request_becomes_an_option_of_cwltool() -> None:
    hostile = submission("--version", attachments=("--version",), engine={"preserve_environment": ["TZ"]})

    arguments = cwltool_arguments(make_plan(hostile), RUN)

    assert arguments[-3:] == [
        "--",
        "file:///work/wes-1/attachments/--version",
        "file:///work/wes-1/attachments/wes-inputs-0.json",
    ]
    assert "--preserve-environment=TZ" in arguments
    assert "--no-container" in arguments
