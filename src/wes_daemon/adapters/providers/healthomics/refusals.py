"""Whose fault a refusal of StartRun is: this run's, the set-up's, or not said.

The service's errors have no members beside their message. A message is read only where AWS documents its form, and only
from its beginning: the values of a run, which it may repeat, stand behind.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from wes_daemon.adapters.providers.healthomics.client import Refusal
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.errors import SEE_PERMISSIONS
from wes_daemon.adapters.providers.healthomics.start_request import KEY_TAG, RUN_ID_TAG
from wes_daemon.application.ports.errors import AmbiguousRefusal, Misconfigured, ProviderError, Rejected

# Source: the IAM User Guide, "Troubleshoot access denied error messages".
_NOT_AUTHORIZED = re.compile(
    r"User: \S+ is not authorized to perform: (?P<action>[a-z0-9\-]+:[A-Za-z]+)"
    r"(?: on resource: \"?(?P<resource>[^\s\"]+?)\"?)?(?=\.?$| because | with an explicit deny )",
    re.ASCII,
)
# Source: the messages of AWS' request validation, as in https://github.com/aws-samples/aws-healthomics-tutorials/issues/62.
_INVALID_MEMBER = re.compile(
    r"\d+ validation errors? detected: Value (?:'.*' )?at '(?P<member>\w+)' failed to satisfy constraint: ",
    re.ASCII | re.DOTALL,
)
# Source: messages of HealthOmics quoted in https://github.com/awslabs/mcp/pull/4486.
_BAD_ROLE = re.compile(r"IAM role is invalid or inaccessible\b")
_BAD_BUCKET = re.compile(r"S3 bucket not located in [a-z0-9\-]+ region\b", re.ASCII)

_SETTINGS = {"roleArn": "AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN", "outputUri": "AWS_HEALTHOMICS_OUTPUT_URI"}
_PASSING_ON = "iam:PassRole"
_START = ("omics:StartRun", "omics:TagResource")
_ANY_RUN = re.compile(r"\*|arn:aws[a-z\-]*:omics:[a-z0-9\-]*:[0-9]*:run/\S+", re.ASCII)


def refusal_error(refusal: Refusal, request: Mapping[str, Any], config: HealthOmicsConfig) -> ProviderError:
    """Return `Rejected` if a refusal of StartRun concerns this run alone, `Misconfigured` if it concerns all runs.

    A denial that names a resource concerns this run if the run has chosen the resource itself: otherwise one run with a
    role that the daemon may not pass on would stop all others. A denial that names nothing is an `AmbiguousRefusal`.
    Every other refusal concerns this run, unless a documented message is about a value from the settings.
    """
    if refusal.code == "AccessDeniedException":
        return _denial(refusal, request, config)
    if refusal.code == "ResourceNotFoundException":
        return Rejected(f"AWS HealthOmics refused the run: {refusal}{_where_searched(request, config)}")
    if (member := _invalid_member(refusal.text)) and member in _from_settings(request, config):
        return AmbiguousRefusal(f"{_SETTINGS[member]}, or another value of this run: {refusal}")
    return Rejected(f"AWS HealthOmics refused the run: {refusal}")


def _denial(refusal: Refusal, request: Mapping[str, Any], config: HealthOmicsConfig) -> ProviderError:
    denial = _NOT_AUTHORIZED.match(refusal.text)
    action, resource = (denial["action"], denial["resource"]) if denial else (None, None)
    text = f"AWS does not allow StartRun: {refusal}; {SEE_PERMISSIONS}"
    if action == _PASSING_ON and resource in (None, request["roleArn"]):
        is_configured = "roleArn" in _from_settings(request, config)
        return Misconfigured(text) if is_configured else _denied_own(request["roleArn"], refusal)
    if action in _START and resource and _ANY_RUN.fullmatch(resource):
        # A policy can require or forbid tags, by the condition keys aws:RequestTag and aws:TagKeys.
        return AmbiguousRefusal(text) if _has_own_tags(request) else Misconfigured(text)
    own = next((own for own in _own_resources(request) if _is_resource(resource, own)), None)
    return _denied_own(own, refusal) if own else AmbiguousRefusal(text)


def _denied_own(resource: str, refusal: Refusal) -> Rejected:
    return Rejected(f"AWS does not allow {resource}, which this run names itself: {refusal}")


def _own_resources(request: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ends of the ARNs of what a run chooses besides its role and a workflow of the own account.

    Every run names a workflow: denied access to one of the own account may be a missing permission.
    """
    if "workflowOwnerId" in request:
        yield f"{request['workflowOwnerId']}:workflow/{request['workflowId']}"
    for member, kind in (("runGroupId", "runGroup"), ("cacheId", "runCache"), ("configurationName", "configuration")):
        if member in request:
            yield f"{kind}/{request[member]}"


def _has_own_tags(request: Mapping[str, Any]) -> bool:
    return bool(set(request.get("tags", ())) - {RUN_ID_TAG, KEY_TAG})


def _is_resource(arn: str | None, end: str) -> bool:
    return arn is not None and arn.partition("/version/")[0].endswith(f":{end}")


def _invalid_member(text: str) -> str | None:
    """Return the member of the request that a message in a documented form is about."""
    if invalid := _INVALID_MEMBER.match(text):
        return invalid["member"]
    if _BAD_ROLE.match(text):
        return "roleArn"
    return "outputUri" if _BAD_BUCKET.match(text) else None


def _from_settings(request: Mapping[str, Any], config: HealthOmicsConfig) -> frozenset[str]:
    configured = {"roleArn": config.role_arn, "outputUri": config.output_uri}
    return frozenset(member for member, value in configured.items() if value and request.get(member) == value)


def _where_searched(request: Mapping[str, Any], config: HealthOmicsConfig) -> str:
    """Return where the workflow was searched, and how to name one elsewhere: the service says neither."""
    workflow = request.get("workflowId")
    kind, owner = request.get("workflowType", "PRIVATE"), request.get("workflowOwnerId")
    searched = f"; workflow {workflow} was searched in {config.region} as {kind}"
    searched += f" of account {owner}" if owner else ""
    if kind == "READY2RUN":
        return f"{searched}: a workflow that you registered is PRIVATE; one of another region needs AWS_REGION"
    return (
        f"{searched}: a Ready2Run workflow needs workflowType READY2RUN, or workflow_url "
        f"arn:aws:omics:{config.region}::workflow/{workflow}; a shared one needs its owner's account "
        "(workflowOwnerId, or its ARN); one of another region needs AWS_REGION"
    )
