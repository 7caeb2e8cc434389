"""StartRun's request for a submission."""

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import a_submission
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.runs import RunIdentity
from wes_daemon.adapters.providers.healthomics.start_request import refuse_unknown_members, start_run_request
from wes_daemon.application.ports.errors import Rejected, WrongProvider

CONFIG = HealthOmicsConfig(
    region="eu-west-1", role_arn="arn:aws:iam::123456789012:role/runs", output_uri="s3://results/wes"
)


def request(
    url: str = "1234567",
    *,
    config: HealthOmicsConfig = CONFIG,
    tags: dict[str, object] | None = None,
    **changes: Any,
) -> Any:
    """StartRun's request for a submission with these changes."""
    submission = a_submission(workflow_url=url, **changes)
    return start_run_request(replace(submission, tags=tags or {}), config)


def refusal(url: str = "1234567", **changes: Any) -> str:
    """The message with which a submission with these changes is rejected."""
    with pytest.raises(Rejected) as caught:
        request(url, **changes)
    return str(caught.value)


def test_the_whole_request() -> None:
    assert request() == {
        "requestId": "wes-run-1",
        "name": "wes-run-1",
        "tags": {"WESRunId": "run-1", "WESSubmissionKey": "wes-run-1"},
        "workflowId": "1234567",
        "parameters": {"message": "hello"},
        "roleArn": "arn:aws:iam::123456789012:role/runs",
        "outputUri": "s3://results/wes",
        "storageType": "DYNAMIC",
        "retentionMode": "REMOVE",
    }


def test_the_request_is_the_same_at_every_attempt() -> None:
    parameters = {"engineSettings": {"b": 1, "a": 2}, "tags": {"Project": "x"}}

    assert request(workflow_engine_parameters=parameters) == request(workflow_engine_parameters=parameters)


class TestWorkflowUrl:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("1234567", {"workflowId": "1234567"}),
            ("omics:1234567", {"workflowId": "1234567"}),
            ("omics://workflow/1234567", {"workflowId": "1234567"}),
            ("omics://workflow/1234567/version/v1.2", {"workflowId": "1234567", "workflowVersionName": "v1.2"}),
            ("arn:aws:omics:eu-west-1:123456789012:workflow/1234567", {"workflowId": "1234567"}),
            ("omics://arn:aws:omics:eu-west-1:123456789012:workflow/1234567", {"workflowId": "1234567"}),
            ("omics:arn:aws:omics:eu-west-1:123456789012:workflow/1234567", {"workflowId": "1234567"}),
            (
                "omics://arn:aws:omics:eu-west-1:210987654321:workflow/1234567/version/v1",
                {"workflowId": "1234567", "workflowVersionName": "v1", "workflowOwnerId": "210987654321"},
            ),
            (
                "arn:aws:omics:eu-west-1:123456789012:workflow/1234567/version/v1",
                {"workflowId": "1234567", "workflowVersionName": "v1"},
            ),
            (
                "arn:aws:omics:eu-west-1:999988887777:workflow/1234567",
                {"workflowId": "1234567", "workflowOwnerId": "999988887777"},
            ),
            ("arn:aws:omics:eu-west-1::workflow/9500764", {"workflowId": "9500764", "workflowType": "READY2RUN"}),
        ],
    )
    def test_every_form_is_read(self, url: str, expected: dict[str, str]) -> None:
        found = request(url)

        assert {name: value for name, value in found.items() if name.startswith("workflow")} == expected

    @pytest.mark.parametrize(
        "url",
        [
            "https://example.org/main.wdl",
            "omics:",
            "omics:12345678901234567890",
            "omics:12a",
            "omics://workflow/12/versions/1",
            "omics:///arn:aws:omics:eu-west-1:123456789012:workflow/1",
            "omics://arn:aws:omics:eu-west-1:123456789:workflow/12345",
            "arn:aws:omics:eu-west-1:12:workflow/1",
            "arn:aws:s3:::bucket",
            "١٢٣",
            "1234567/../1",
        ],
    )
    def test_anything_else_is_refused_with_the_forms(self, url: str) -> None:
        with pytest.raises(WrongProvider, match=r"omics://workflow/1234567/version/NAME, \[omics://\]arn:aws:omics:"):
            request(url)

    def test_another_region_is_refused(self) -> None:
        assert "us-east-1, but runs are started in eu-west-1" in refusal(
            "arn:aws:omics:us-east-1:123456789012:workflow/1"
        )

    def test_two_different_versions_are_refused(self) -> None:
        message = refusal("omics://workflow/1/version/v1", workflow_engine_parameters={"workflowVersionName": "v2"})

        assert "contradict" in message

    def test_a_workflow_of_the_service_has_no_owner(self) -> None:
        found = request("9500764", workflow_engine_parameters={"workflowType": "ready2run"})

        assert (found["workflowType"], found.get("workflowOwnerId")) == ("READY2RUN", None)


class TestEngineParameters:
    @pytest.mark.parametrize(
        ("name", "value", "sent"),
        [
            ("roleArn", "arn:aws:iam::123456789012:role/mine", "arn:aws:iam::123456789012:role/mine"),
            ("outputUri", "s3://mine/here", "s3://mine/here"),
            ("runGroupId", "765", "765"),
            ("runGroupId", 765, "765"),
            ("priority", "7", 7),
            ("priority", 0, 0),
            ("storageType", "STATIC", "STATIC"),
            ("storageCapacity", 2400, 2400),
            ("cacheId", "88", "88"),
            ("cacheBehavior", "CACHE_ALWAYS", "CACHE_ALWAYS"),
            ("logLevel", "all", "ALL"),
            ("retentionMode", "RETAIN", "RETAIN"),
            ("workflowVersionName", "v2", "v2"),
            ("workflowOwnerId", "999988887777", "999988887777"),
            ("networkingMode", "VPC", "VPC"),
            ("configurationName", "net", "net"),
            ("scratchStorageMode", "LOCAL", "LOCAL"),
            ("engineSettings", {"profile": "x"}, {"profile": "x"}),
            ("engineSettings", '{"profile": "x"}', {"profile": "x"}),
            ("tags", '{"Project": "x"}', {"Project": "x", "WESRunId": "run-1", "WESSubmissionKey": "wes-run-1"}),
            ("outputUriPrefixMode", "service_defined", "SERVICE_DEFINED"),
            ("requesterPaysEnabled", True, True),
            ("requesterPaysEnabled", False, False),
            ("requesterPaysEnabled", "False", False),
        ],
    )
    def test_each_parameter_is_sent(self, name: str, value: object, sent: object) -> None:
        assert request(workflow_engine_parameters={name: value})[name] == sent

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("roleArn", "runs"),
            ("outputUri", "/tmp/out"),
            ("outputUri", 5),
            ("runGroupId", "mine"),
            ("runGroupId", True),
            ("priority", "high"),
            ("priority", 100_001),
            ("priority", -1),
            ("priority", 1.5),
            ("storageType", "HUGE"),
            ("storageCapacity", "1TB"),
            ("cacheId", ["1"]),
            ("cacheBehavior", "ALWAYS"),
            ("logLevel", "DEBUG"),
            ("retentionMode", True),
            ("workflowVersionName", "../v1"),
            ("workflowOwnerId", "12"),
            ("networkingMode", "OPEN"),
            ("engineSettings", "x"),
            ("engineSettings", [1]),
            ("tags", {"a": 1}),
            ("outputUriPrefixMode", "NONE"),
            ("requesterPaysEnabled", "yes"),
            ("requesterPaysEnabled", 1),
            ("parametersUri", "s3://bucket"),
            ("parametersUri", "https://bucket/key"),
            ("parametersUri", 5),
            ("parametersUri", f"s3://bucket/{'x' * 1082}"),
        ],
    )
    def test_each_parameter_is_checked_by_its_type(self, name: str, value: object) -> None:
        assert f"workflow_engine_parameters.{name} must be" in refusal(workflow_engine_parameters={name: value})

    def test_an_unknown_parameter_is_refused_and_the_supported_ones_are_named(self) -> None:
        message = refusal(workflow_engine_parameters={"accelerators": "GPU"})

        assert "workflow_engine_parameters.accelerators" in message
        assert "storageCapacity" in message

    def test_snake_case_is_read_as_well(self) -> None:
        assert request(workflow_engine_parameters={"run_group_id": "7"})["runGroupId"] == "7"

    def test_the_same_parameter_in_two_spellings_is_refused(self) -> None:
        assert "give it once" in refusal(workflow_engine_parameters={"run_group_id": "7", "runGroupId": "8"})

    def test_a_tag_is_the_fallback_for_a_parameter(self) -> None:
        found = request(tags={"provider_run_group_id": "7", "provider_type": "healthomics", "project": "x"})

        assert found["runGroupId"] == "7"

    @pytest.mark.parametrize("absent", ["", " ", "\n", None])
    @pytest.mark.parametrize(
        "name", ["tags", "engineSettings", "outputUri", "roleArn", "storageCapacity", "parametersUri", "priority"]
    )
    def test_empty_text_means_absent(self, name: str, absent: object) -> None:
        """B5."""
        assert request(workflow_engine_parameters={name: absent}) == request()

    @pytest.mark.parametrize("name", ["parametersUri", "parameters_uri"])
    def test_the_address_of_parameters_is_in_no_message(self, name: str) -> None:
        """B8."""
        for value in ("https://private/parameters", ["s3://private/parameters"]):
            assert "private" not in refusal(workflow_engine_parameters={name: value}, workflow_params=None)

    @pytest.mark.parametrize(("given", "sent"), [("8", "8"), ("", "7"), (None, "7")])
    def test_a_parameter_has_precedence_over_its_tag(self, given: object, sent: str) -> None:
        found = request(tags={"provider_runGroupId": "7"}, workflow_engine_parameters={"runGroupId": given})

        assert found["runGroupId"] == sent

    def test_an_unknown_provider_tag_is_refused_by_name(self) -> None:
        assert "tags.provider_outptuUri" in refusal(tags={"provider_outptuUri": "s3://mine"})

    def test_a_capacity_implies_static_storage(self) -> None:
        assert request(workflow_engine_parameters={"storageCapacity": "1200"})["storageType"] == "STATIC"
        assert "requires storageType STATIC" in refusal(
            workflow_engine_parameters={"storageCapacity": 1200, "storageType": "DYNAMIC"}
        )

    def test_tags_of_the_run_are_added_to_the_daemons_tags(self) -> None:
        found = request(workflow_engine_parameters={"tags": {"Project": "x"}})

        assert found["tags"] == {"Project": "x", "WESRunId": "run-1", "WESSubmissionKey": "wes-run-1"}

    def test_the_daemons_tags_cannot_be_given(self) -> None:
        assert "reserved for the daemon" in refusal(workflow_engine_parameters={"tags": {"WESSubmissionKey": "x"}})

    def test_too_many_tags_are_refused(self) -> None:
        assert "48 are allowed" in refusal(workflow_engine_parameters={"tags": {str(n): "" for n in range(49)}})

    def test_a_member_that_the_installed_boto3_does_not_support_is_refused(self) -> None:
        with pytest.raises(Rejected, match="engineSettings: not supported by the installed boto3"):
            refuse_unknown_members(request(workflow_engine_parameters={"engineSettings": {}}), set(request()))


class TestReady2Run:
    """B7: the service refuses a storage type for its own workflows."""

    URL = "arn:aws:omics:eu-west-1::workflow/9500764"

    @pytest.mark.parametrize(
        ("url", "parameters"),
        [(URL, {}), (URL, {"storageType": "DYNAMIC"}), ("9500764", {"workflowType": "READY2RUN"})],
    )
    def test_no_storage_is_sent(self, url: str, parameters: dict[str, object]) -> None:
        found = request(url, workflow_engine_parameters=parameters)

        assert not {"storageType", "storageCapacity", "scratchStorageMode"} & {*found}

    @pytest.mark.parametrize(
        ("name", "value"), [("storageType", "STATIC"), ("storageCapacity", 1200), ("scratchStorageMode", "LOCAL")]
    )
    def test_another_storage_is_refused_by_name(self, name: str, value: object) -> None:
        message = refusal(self.URL, workflow_engine_parameters={name: value})

        assert f"workflow_engine_parameters: {name}: a Ready2Run workflow has storage of its own" in message


class TestRoleAndOutput:
    def test_without_role_and_output_the_variables_and_the_parameters_are_named(self) -> None:
        message = refusal(config=HealthOmicsConfig(region="eu-west-1"))

        for name in (
            "AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN",
            "AWS_HEALTHOMICS_OUTPUT_URI",
            "engine parameter roleArn",
            "engine parameter outputUri",
        ):
            assert name in message

    def test_only_what_is_missing_is_named(self) -> None:
        message = refusal(config=replace(CONFIG, output_uri=None))

        assert "AWS_HEALTHOMICS_OUTPUT_URI" in message
        assert "ROLE" not in message

    def test_a_run_may_name_its_own_role_and_output(self) -> None:
        own = {"roleArn": "arn:aws:iam::123456789012:role/mine", "outputUri": "s3://mine"}

        found = request(config=HealthOmicsConfig(region="eu-west-1"), workflow_engine_parameters=own)

        assert found | own == found


class TestParameters:
    def test_fifty_thousand_bytes_are_accepted_and_one_more_is_not(self) -> None:
        envelope = len('{"a":""}')

        assert request(workflow_params={"a": "x" * (50_000 - envelope)})["parameters"]
        message = refusal(workflow_params={"a": "x" * (50_001 - envelope)})

        assert "50,001 bytes" in message
        assert "parametersUri" in message

    def test_parameters_in_a_file_replace_those_of_the_request(self) -> None:
        found = request(
            workflow_params={}, workflow_engine_parameters={"parametersUri": "s3://private/parameters.json"}
        )

        assert "parameters" not in found
        assert found["parametersUri"] == "s3://private/parameters.json"

    def test_bytes_are_counted_not_characters(self) -> None:
        assert "accepts 50,000" in refusal(workflow_params={"a": "ä" * 25_001})

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
    def test_parameters_that_are_not_json_are_refused(self, value: object) -> None:
        assert "cannot be sent as JSON" in refusal(workflow_params={"a": value})

    def test_no_parameters_are_an_empty_object(self) -> None:
        assert request(workflow_params=None)["parameters"] == {}

    @pytest.mark.parametrize("key", ["k" * 129, "wes-\n"])
    def test_a_key_that_the_service_does_not_accept_is_refused(self, key: str) -> None:
        with pytest.raises(Rejected, match="1 to 128"):
            start_run_request(a_submission(key, workflow_url="1"), CONFIG)


class TestIdentity:
    @pytest.mark.parametrize("text", ["1234567", "1234567/5a0f-11", "1"])
    def test_an_id_is_parsed_and_written_unchanged(self, text: str) -> None:
        run = RunIdentity.parse(text)

        assert run is not None
        assert run.provider_run_id == text

    @pytest.mark.parametrize("text", ["", "../..", "12345678901234567890", "1/", "1/a/b", "a b", "١٢", "1\n"])
    def test_anything_else_names_no_run(self, text: str) -> None:
        assert RunIdentity.parse(text) is None

    def test_a_run_with_the_same_id_and_another_uuid_is_another_run(self) -> None:
        assert not RunIdentity("1", "a").is_of({"id": "1", "uuid": "b"})
        assert RunIdentity("1", "a").is_of({"id": "1", "uuid": "a"})
        assert RunIdentity("1").is_of({"id": "1", "uuid": "b"})


def test_no_secret_is_in_the_configurations_repr() -> None:
    config = replace(CONFIG, access_key_id="testing-id", secret_access_key="testing-secret", session_token="testing-t")

    assert "testing" not in repr(config)
