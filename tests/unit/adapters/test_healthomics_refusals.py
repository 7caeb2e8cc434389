"""Whose fault a refusal of StartRun is (B1, B7)."""

from typing import Any

import pytest

from wes_daemon.adapters.providers.healthomics.client import Refusal
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.refusals import refusal_error
from wes_daemon.application.ports.errors import AmbiguousRefusal, Misconfigured, ProviderError, Rejected

ROLE, OWN_ROLE = "arn:aws:iam::123456789012:role/runs", "arn:aws:iam::123456789012:role/mine"
CONFIG = HealthOmicsConfig(region="eu-west-1", role_arn=ROLE, output_uri="s3://bucket/wes")
OMICS = "arn:aws:omics:eu-west-1:123456789012"
SHARED = "arn:aws:omics:eu-west-1:999988887777"


def judged(code: str, text: str, **changes: Any) -> ProviderError:
    request: dict[str, Any] = {"roleArn": ROLE, "outputUri": "s3://bucket/wes", "workflowId": "7", **changes}
    return refusal_error(Refusal(code, f"{code} {text}", text), request, CONFIG)


def denied(action: str, resource: str | None = None, end: str = "") -> str:
    """A message in the form that IAM documents."""
    on = f" on resource: {resource}" if resource else ""
    return f"User: arn:aws:iam::123456789012:user/wes is not authorized to perform: {action}{on}{end}"


BECAUSE = " because no identity-based policy allows the action"


class TestDenials:
    @pytest.mark.parametrize(
        ("message", "changes", "expected"),
        [
            (denied("omics:StartRun", f"{OMICS}:run/*"), {}, Misconfigured),
            (denied("omics:StartRun", f"{OMICS}:run/*", BECAUSE), {}, Misconfigured),
            (denied("omics:StartRun", "*", " with an explicit deny in a service control policy"), {}, Misconfigured),
            (denied("omics:TagResource", f"{OMICS}:run/*"), {}, Misconfigured),
            (denied("iam:PassRole", ROLE, BECAUSE), {}, Misconfigured),
            (denied("iam:PassRole"), {}, Misconfigured),
            (denied("iam:PassRole", f'"{ROLE}"'), {}, Misconfigured),
        ],
    )
    def test_a_denial_of_what_every_run_needs_concerns_all_runs(
        self, message: str, changes: dict[str, str], expected: type[ProviderError]
    ) -> None:
        assert type(judged("AccessDeniedException", message, **changes)) is expected

    @pytest.mark.parametrize(
        ("message", "changes"),
        [
            (denied("iam:PassRole", OWN_ROLE, BECAUSE), {"roleArn": OWN_ROLE}),
            (denied("iam:PassRole"), {"roleArn": OWN_ROLE}),
            (denied("omics:StartRun", f"{SHARED}:workflow/7"), {"workflowOwnerId": "999988887777"}),
            (denied("omics:StartRun", f"{SHARED}:workflow/7/version/v1"), {"workflowOwnerId": "999988887777"}),
            (denied("omics:StartRun", f"{OMICS}:runGroup/5", BECAUSE), {"runGroupId": "5"}),
            (denied("omics:StartRun", f"{OMICS}:runCache/5"), {"cacheId": "5"}),
            (denied("omics:StartRun", f"{OMICS}:configuration/net"), {"configurationName": "net"}),
        ],
    )
    def test_a_denial_of_what_the_run_names_itself_concerns_this_run(
        self, message: str, changes: dict[str, str]
    ) -> None:
        assert type(judged("AccessDeniedException", message, **changes)) is Rejected

    @pytest.mark.parametrize(
        ("message", "changes"),
        [
            ("", {}),
            ("Access denied", {}),
            (denied("omics:StartRun"), {}),
            # A policy may allow some of the account's workflows, or the permission may be missing.
            (denied("omics:StartRun", f"{OMICS}:workflow/7"), {}),
            (denied("omics:StartRun", f"{OMICS}:runGroup/55"), {"runGroupId": "5"}),
            (denied("iam:PassRole", OWN_ROLE), {}),
            (denied("s3:GetObject", "arn:aws:s3:::bucket/reads.fq"), {}),
            # Not from its beginning: a value of the run stands before it.
            (f"reads: {denied('iam:PassRole', ROLE)}", {}),
            (f"no access to {OMICS}:runGroup/5", {"runGroupId": "5"}),
        ],
    )
    def test_a_denial_that_does_not_say_so_is_ambiguous(self, message: str, changes: dict[str, str]) -> None:
        assert type(judged("AccessDeniedException", message, **changes)) is AmbiguousRefusal

    def test_a_run_with_tags_of_its_own_may_be_denied_for_them(self) -> None:
        message = denied("omics:StartRun", f"{OMICS}:run/*", BECAUSE)
        own = {"WESRunId": "1", "WESSubmissionKey": "wes-1"}

        assert type(judged("AccessDeniedException", message, tags=own)) is Misconfigured
        assert type(judged("AccessDeniedException", message, tags=own | {"Project": "x"})) is AmbiguousRefusal


class TestInvalidRequests:
    @pytest.mark.parametrize(
        "message",
        [
            "Parameter reads is missing",
            "Request ID is not in the workflow's template",
            "The requestId was used by another request",
            "Parameter bucket_size is not in the workflow's template",
            "Input s3://bucket/reads.fq does not exist",
            f"Parameter {ROLE} is not in the workflow's template",
            "reads: IAM role is invalid or inaccessible",
            "1 validation error detected: Value 'x' at 'tags' failed to satisfy constraint: Member must not be null",
        ],
    )
    def test_an_invalid_request_concerns_the_run_whatever_names_its_message_contains(self, message: str) -> None:
        assert type(judged("ValidationException", message)) is Rejected

    @pytest.mark.parametrize(
        ("message", "setting"),
        [
            ("IAM role is invalid or inaccessible", "AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN"),
            ("S3 bucket not located in eu-west-1 region", "AWS_HEALTHOMICS_OUTPUT_URI"),
            (
                "1 validation error detected: Value 's3://bucket/wes' at 'outputUri' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern: s3://.+",
                "AWS_HEALTHOMICS_OUTPUT_URI",
            ),
            (
                "1 validation error detected: Value at 'roleArn' failed to satisfy constraint: Member must have length",
                "AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN",
            ),
        ],
    )
    def test_a_documented_message_about_a_value_from_the_settings_is_ambiguous(
        self, message: str, setting: str
    ) -> None:
        error = judged("ValidationException", message)

        assert type(error) is AmbiguousRefusal
        assert setting in str(error)

    @pytest.mark.parametrize(
        ("message", "changes"),
        [
            ("IAM role is invalid or inaccessible", {"roleArn": OWN_ROLE}),
            ("S3 bucket not located in eu-west-1 region", {"outputUri": "s3://mine"}),
        ],
    )
    def test_the_same_message_about_a_value_of_the_run_concerns_the_run(
        self, message: str, changes: dict[str, str]
    ) -> None:
        assert type(judged("ValidationException", message, **changes)) is Rejected


class TestUnknownWorkflows:
    NOT_FOUND = "Workflow 7 not found"

    def test_the_message_says_where_the_workflow_was_searched_and_how_to_name_it_elsewhere(self) -> None:
        error = judged("ResourceNotFoundException", self.NOT_FOUND)

        assert type(error) is Rejected
        for hint in ("READY2RUN", "arn:aws:omics:eu-west-1::workflow/7", "workflowOwnerId", "AWS_REGION"):
            assert hint in str(error)

    def test_the_message_for_a_ready2run_workflow_does_not_advise_what_was_done(self) -> None:
        message = str(judged("ResourceNotFoundException", self.NOT_FOUND, workflowType="READY2RUN"))

        assert "as READY2RUN" in message
        assert "needs workflowType READY2RUN" not in message

    def test_the_owner_of_a_shared_workflow_is_named(self) -> None:
        error = judged("ResourceNotFoundException", self.NOT_FOUND, workflowOwnerId="999988887777")

        assert "of account 999988887777" in str(error)
