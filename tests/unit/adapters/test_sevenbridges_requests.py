"""The reading of a request, before the first call to Seven Bridges."""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import timedelta
from typing import cast

import pytest

from tests.builders import a_submission
from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.engine_parameters import EngineParameters, read_engine_parameters
from wes_daemon.adapters.providers.sevenbridges.files import Reference
from wes_daemon.adapters.providers.sevenbridges.imports import Imports
from wes_daemon.adapters.providers.sevenbridges.inputs import (
    InputFiles,
    file_ports,
    replace_paths,
    string_ports,
    strings_as_files,
)
from wes_daemon.adapters.providers.sevenbridges.task_request import (
    TaskRequest,
    read_app,
    read_task_request,
    task_body,
)
from wes_daemon.application.ports.errors import Misconfigured, Rejected, WrongProvider
from wes_daemon.domain.errors import InvalidRequest

HOST = "cgc-api.sbgenomics.com"
CONFIG = SevenBridgesConfig(endpoint=f"https://{HOST}/v2", token="not-a-token", project="lab/genomes")


def task_request(params: object, **changes: object) -> TaskRequest:
    request = {"workflow_url": "lab/genomes/align", "workflow_params": params}
    return read_task_request(a_submission(**{**request, **changes}), CONFIG)  # type: ignore[arg-type]


class TestWorkflowUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "https://u:Geheim@host/v2/apps/lab/genomes/align",
            f"https://{HOST}/v2/apps/lab/genomes/align?token=Geheim",
            "sbg://u:Geheim@lab/genomes/align/extra/parts",
            "https://[u:Geheim@host/a",
        ],
    )
    def test_a_refusal_shows_no_secret_of_the_address(self, url: str) -> None:
        with pytest.raises(Rejected, match="workflow_url") as refused:
            read_app(url, api_host=HOST)

        assert "Geheim" not in str(refused.value)

    @pytest.mark.parametrize(
        ("url", "app"),
        [
            ("lab/genomes/align", "lab/genomes/align"),
            ("lab/genomes/align/3", "lab/genomes/align/3"),
            ("lab/genomes/align/0", "lab/genomes/align/0"),
            ("sbg://lab/genomes/align", "lab/genomes/align"),
            ("sbg://lab/genomes/align/12", "lab/genomes/align/12"),
            ("sbg://lab/genomes/align/", "lab/genomes/align"),
            ("sevenbridges://lab/genomes/align", "lab/genomes/align"),
            ("sevenbridges://lab/genomes/align/12", "lab/genomes/align/12"),
            ("admin/sbg-public-data/bwa-mem-0-7-17/4", "admin/sbg-public-data/bwa-mem-0-7-17/4"),
            ("lab/genomes/2024", "lab/genomes/2024"),
            (f"https://{HOST}/v2/apps/lab/genomes/align/3", "lab/genomes/align/3"),
            (f"https://{HOST}/v2/apps/lab/genomes/align/3/raw", "lab/genomes/align/3"),
        ],
    )
    def test_each_form_names_an_app(self, url: str, app: str) -> None:
        assert read_app(url, api_host=HOST) == app

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "align",
            "lab/genomes",
            "lab/genomes/align/latest",
            "lab/genomes/align/3/4",
            "lab//align",
            "lab/../align",
            "lab/genomes/al%2Fign",
            "sbg://lab/genomes/align?x=1",
            "sevenbridges://lab/genomes",
            "sevenbridges://lab/genomes/align/latest",
            "https://example.org/v2/apps/lab/genomes/align",
            f"http://{HOST}/v2/apps/lab/genomes/align",
            f"https://{HOST}/v2/tasks/lab/genomes/align",
            "https://example.org/workflow.cwl",
            "file:///workflow.cwl",
        ],
    )
    def test_anything_else_is_refused_with_the_forms(self, url: str) -> None:
        with pytest.raises(WrongProvider, match=r"owner/project/app, .*sbg://.*sevenbridges://owner/project/app"):
            read_app(url, api_host=HOST)


class TestPorts:
    @pytest.mark.parametrize(
        "inputs",
        [
            {"reads": "File", "more": "File[]?", "folder": {"type": ["null", "Directory"]}, "name": "string"},
            [
                {"id": "#reads", "type": ["null", "File"]},
                {"id": "#main/more", "type": {"type": "array", "items": "File"}},
                {"id": "folder", "type": "Directory?"},
                {"id": "name", "type": "string"},
            ],
        ],
    )
    def test_the_ports_that_take_files_are_read_from_either_form_of_a_document(self, inputs: object) -> None:
        asked: list[str] = []

        class Client:
            def get(self, operation: str, path: str) -> Mapping[str, object]:
                asked.append(f"{operation} {path}")
                return {"raw": {"inputs": inputs}}

        found = file_ports(cast("SevenBridgesClient", Client()), "lab/genomes/align/3")

        assert found == {"reads": "File", "more": "File", "folder": "Directory"}
        assert asked == ["GetApp /apps/lab/genomes/align/3"]


class TestEngineParameters:
    def test_each_is_read(self) -> None:
        given = {
            "project": "lab/others",
            "instance_type": "c4.2xlarge;ebs-gp2;2000",
            "max_parallel_instances": 3,
            "use_interruptible_instances": False,
            "use_memoization": True,
            "use_elastic_disk": "TRUE",
            "output_location": {"main_location": "/runs/"},
        }

        assert read_engine_parameters(given, {}) == EngineParameters(
            project="lab/others",
            instance_type="c4.2xlarge;ebs-gp2;2000",
            max_parallel_instances=3,
            use_interruptible_instances=False,
            use_memoization=True,
            use_elastic_disk=True,
            output_location={"main_location": "/runs/"},
        )

    def test_tags_stand_in_for_what_is_absent(self) -> None:
        tags = {
            "provider_type": "sevenbridges",
            "provider_id": "x",
            "owner": "me",
            "provider_project": "lab/tagged",
            "provider_use_memoization": "true",
        }

        read = read_engine_parameters({"project": "lab/given", "instance_type": None}, tags)

        assert read == EngineParameters(project="lab/given", use_memoization=True)

    @pytest.mark.parametrize(
        ("given", "tags", "named"),
        [
            ({"instance_typ": "x"}, {}, "workflow_engine_parameters: instance_typ: .*instance_type"),
            ({}, {"provider_run_group": "7"}, "tags: provider_run_group: .*provider_instance_type"),
            ({"project": "genomes"}, {}, "workflow_engine_parameters.project must be a project as owner/project"),
            ({"instance_type": 4}, {}, "instance_type must be a string"),
            ({"max_parallel_instances": 0}, {}, "max_parallel_instances must be a whole number"),
            ({"max_parallel_instances": True}, {}, "max_parallel_instances must be a whole number"),
            ({"max_parallel_instances": "2.5"}, {}, "max_parallel_instances must be a whole number"),
            ({"use_memoization": 1}, {}, "use_memoization must be true or false"),
            ({}, {"provider_use_elastic_disk": "yes"}, "tags.provider_use_elastic_disk must be true or false"),
            ({"output_location": {"main": "/"}}, {}, "output_location must be a location"),
            ({"output_location": {}}, {}, "output_location must be a location"),
            ({"output_location": "{}"}, {}, "output_location must be a location"),
            ({"output_location": '{"main_location": '}, {}, "output_location must be a location"),
            ({"output_location": '{"main": "/"}'}, {}, "output_location must be a location"),
            ({"output_location": {"main_location": 7}}, {}, "output_location.main_location must be a string"),
            ({"output_location": {"nodes_override": "perhaps"}}, {}, "nodes_override must be true or false"),
            ({"output_location": {"nodes_location": "here"}}, {}, "nodes_location must be an object"),
        ],
    )
    def test_what_is_wrong_is_refused_by_name(
        self, given: Mapping[str, object], tags: Mapping[str, object], named: str
    ) -> None:
        with pytest.raises(Rejected, match=named):
            read_engine_parameters(given, tags)


class TestTexts:
    """B5: WES 1.1 defines the values of engine parameters as texts, and forms send empty ones."""

    LOCATION: Mapping[str, object] = {
        "main_location": "/runs/",
        "nodes_override": True,
        "nodes_location": {"report": {"output_location": "/reports/"}},
    }

    @pytest.mark.parametrize(
        "text",
        [
            json.dumps(LOCATION),
            f"  {json.dumps(LOCATION, indent=2)}\n",
            {**LOCATION, "nodes_override": "true", "nodes_location": json.dumps(LOCATION["nodes_location"])},
        ],
    )
    def test_a_location_as_json_is_an_object(self, text: object) -> None:
        given = read_engine_parameters({"output_location": text}, {})
        tagged = read_engine_parameters({}, {"provider_output_location": text})

        assert given.task_fields() == tagged.task_fields() == {"output_location": self.LOCATION}

    @pytest.mark.parametrize("empty", ["", " ", "\n", None])
    @pytest.mark.parametrize("name", [field.name for field in fields(EngineParameters)])
    def test_an_empty_text_is_absent(self, name: str, empty: str | None) -> None:
        assert read_engine_parameters({name: empty}, {f"provider_{name}": empty}) == EngineParameters()

    def test_an_empty_text_gives_way_to_a_tag(self) -> None:
        read = read_engine_parameters({"instance_type": ""}, {"provider_instance_type": "c4.large"})

        assert read.instance_type == "c4.large"

    @pytest.mark.parametrize("location", [{"main_location": ""}, '{"main_location": " ", "nodes_location": null}'])
    def test_a_location_of_empty_texts_is_absent(self, location: object) -> None:
        assert read_engine_parameters({"output_location": location}, {}) == EngineParameters()

    def test_an_empty_text_in_a_location_is_left_out(self) -> None:
        read = read_engine_parameters({"output_location": {"main_location": "/", "main_location_alias": ""}}, {})

        assert read.output_location == {"main_location": "/"}

    def test_an_empty_text_in_the_envelope_is_absent(self) -> None:
        read = task_request({"inputs": {}, "project": "", "use_interruptible_instances": " "})

        assert read.is_configured_project
        assert read.engine == EngineParameters()


class TestParams:
    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"sample": "x"},
            {"project": "just a text"},
            {"inputs": "a text"},
            {"inputs": {"class": "File", "path": "x"}},
            {"inputs": {"a": 1}, "sample": "x"},
        ],
    )
    def test_plain_inputs_stay_inputs(self, params: Mapping[str, object]) -> None:
        assert task_request(params).inputs == params
        assert task_request(params).project == "lab/genomes"

    @pytest.mark.parametrize("params", [{"inputs": {"a": 1}}, {"project": "lab/others", "inputs": {"a": 1}}])
    def test_the_inputs_of_an_envelope_are_used(self, params: Mapping[str, object]) -> None:
        assert task_request(params).inputs == {"a": 1}
        assert task_request(params).project == params.get("project", "lab/genomes")

    def test_engine_parameters_come_before_the_envelope(self) -> None:
        params = {"project": "lab/enveloped", "inputs": {}, "use_interruptible_instances": True}
        engine = {"project": "lab/engine", "use_interruptible_instances": False}

        read = task_request(params, workflow_engine_parameters=engine)

        assert (read.project, read.engine.use_interruptible_instances) == ("lab/engine", False)

    def test_what_is_not_known_beside_project_and_inputs_is_refused_by_name(self) -> None:
        with pytest.raises(Rejected, match="workflow_params: use_interuptible"):
            task_request({"project": "lab/others", "inputs": {}, "use_interuptible": True})

    def test_the_settings_project_is_known_as_such(self) -> None:
        assert task_request({}).is_configured_project
        assert not task_request({}, workflow_engine_parameters={"project": "lab/others"}).is_configured_project

    def test_params_that_are_no_object_are_refused(self) -> None:
        with pytest.raises(InvalidRequest):
            task_request(["a"])

    def test_the_body_has_only_fields_that_the_request_sets(self) -> None:
        body = task_body(task_request({}), {"sample": "x"})

        assert body.keys() == {"name", "description", "project", "app", "inputs"}


class TestInputs:
    def test_values_that_are_no_files_are_left_alone(self) -> None:
        inputs = {"n": 4, "list": [1, None, {"x": True}], "text": "s3://bucket/prefix"}

        assert replace_paths(inputs, lambda _: pytest.fail("no file here")) == inputs

    def test_a_message_can_name_the_place(self) -> None:
        places: list[str] = []
        inputs = {"a": [{"class": "File", "path": "x", "secondaryFiles": [{"class": "File", "path": "y"}]}]}

        def visit(reference: Reference) -> str:
            places.append(reference.at)
            return "id"

        replace_paths(inputs, visit)

        assert places == ["a[0].secondaryFiles[0]", "a[0]"]

    def test_a_string_that_may_be_a_file_is_distinguished_from_other_strings(self) -> None:
        inputs = {"a": "0" * 24, "b": ["s3://x/y"], "c": "NA12878", "d": 3, "e": "0" * 23}

        assert string_ports(inputs) == {"a", "b"}
        assert strings_as_files(inputs, {"b": "File"})["b"] == [{"class": "File", "path": "s3://x/y"}]


class TestConfig:
    def test_the_token_is_not_shown(self) -> None:
        assert "not-a-token" not in repr(CONFIG)

    @pytest.mark.parametrize("token", ["", "two words", "line\n", "schlüssel"])
    def test_a_token_that_cannot_be_sent_is_refused(self, token: str) -> None:
        with pytest.raises(Misconfigured, match="Developer"):
            replace(CONFIG, token=token)

    def test_the_drs_host_is_known_where_it_is_documented(self) -> None:
        assert CONFIG.known_drs_host == "cgc-ga4gh-api.sbgenomics.com"
        assert replace(CONFIG, endpoint="https://api.sbgenomics.com/v2").known_drs_host is None
        assert replace(CONFIG, drs_host="ga4gh.invalid").known_drs_host == "ga4gh.invalid"

    def test_every_call_has_a_timeout(self) -> None:
        assert CONFIG.read_timeout <= timedelta(minutes=1)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("https://u:Geheim@host/reads.fastq?sig=Geheim", "https://***@host/reads.fastq?sig=***"),
        ("s3://bucket/reads.fastq", "s3://bucket/reads.fastq"),
        ("reads/a?b#c d.fastq", "reads/a?b#c d.fastq"),
    ],
)
def test_a_file_is_named_in_messages_without_what_is_secret_in_its_address(path: str, shown: str) -> None:
    assert str(Reference("File", path, "reads")) == shown


@pytest.mark.parametrize("path", ["https://u:Geheim@host/reads.fastq?sig=Geheim", "s3://[u:Geheim@host/reads.fastq"])
def test_a_file_that_cannot_be_had_shows_no_secret_of_its_address(path: str) -> None:
    files = InputFiles(cast(SevenBridgesClient, None), CONFIG, imports=cast(Imports, None))

    with pytest.raises(Rejected, match="input reads") as refused:
        files.file_id(Reference("File", path, "reads"), project="lab/genomes", attachments=())

    assert "Geheim" not in str(refused.value)
