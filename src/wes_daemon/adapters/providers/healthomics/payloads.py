"""StartRun's request: a function of the submission and the settings, so that every attempt sends the same."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.engine_parameters import read_engine_parameters
from wes_daemon.adapters.providers.healthomics.workflow_urls import WorkflowName, parse_workflow_url
from wes_daemon.application.ports.errors import Rejected
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.addresses import public_url
from wes_daemon.domain.runs import IdempotencyKey

RUN_ID_TAG = "WESRunId"
KEY_TAG = "WESSubmissionKey"

PARAMETERS_LIMIT = 50_000
"""Bytes; a fixed quota of the service."""

_TAGS_LIMIT = 50
_KEY_LIMIT = 128
_READY2RUN = "READY2RUN"

# Sent always, since the service's own pages contradict each other on what it takes when they are left out.
# Dynamic storage needs no guess of a size. REMOVE keeps the account from running full of ended runs' records,
# which would stop every new run; logs and outputs outlive the record.
_DEFAULTS: Mapping[str, Any] = {"storageType": "DYNAMIC", "retentionMode": "REMOVE"}


def start_run_request(submission: Submission, config: HealthOmicsConfig) -> Mapping[str, Any]:
    """The members of StartRun's request.

    Raises:
        Rejected: the request can never work; the message says what would mend it.
    """
    given = dict(read_engine_parameters(submission.request.engine_parameters, submission.tags))
    placed = {**_placing(given, config), **given}
    return {
        **_DEFAULTS,
        **_storage(given),
        **placed,
        **_workflow(submission.request.workflow_url, placed, config),
        "parameters": _parameters(submission.request.params),
        "name": run_name(submission.key),
        "requestId": submission.key,
        "tags": _tags(submission, given.get("tags", {})),
    }


def run_name(key: IdempotencyKey) -> str:
    """What the run of this key is named: the name is all that runs can be searched for by."""
    if not 0 < len(key) <= _KEY_LIMIT or not key.isprintable():
        raise Rejected(f"submission key {key!r}: AWS HealthOmics takes 1 to {_KEY_LIMIT} printable characters")
    return key


def refuse_unknown_members(request: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse what the installed boto3 could not send; newer engine parameters need a newer one."""
    if unknown := sorted(request.keys() - set(known)):
        raise Rejected(
            f"workflow_engine_parameters: {', '.join(unknown)}: not known to the boto3 that is installed here; "
            "a newer one is needed"
        )


def _placing(given: Mapping[str, Any], config: HealthOmicsConfig) -> Mapping[str, Any]:
    role, output = given.get("roleArn") or config.role_arn, given.get("outputUri") or config.output_uri
    missing = [
        f"{what}: set {variable} or the engine parameter {name}"
        for what, value, variable, name in (
            ("no role", role, "AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN", "roleArn"),
            ("no output location", output, "AWS_HEALTHOMICS_OUTPUT_URI", "outputUri"),
        )
        if not value
    ]
    if missing:
        raise Rejected(f"AWS HealthOmics cannot start this run: {'; '.join(missing)}")
    return {"roleArn": role, "outputUri": output}


def _storage(given: Mapping[str, Any]) -> Mapping[str, Any]:
    if "storageCapacity" not in given:
        return {}
    if given.get("storageType", "STATIC") != "STATIC":
        raise Rejected("workflow_engine_parameters.storageCapacity goes with storageType STATIC only; leave one out")
    return {"storageType": "STATIC"}


def _workflow(url: str, placed: Mapping[str, Any], config: HealthOmicsConfig) -> Mapping[str, Any]:
    named = parse_workflow_url(url, region=config.region)
    found = {
        "workflowId": named.id,
        "workflowVersionName": _agreed(url, "workflowVersionName", named.version, placed),
        "workflowOwnerId": _agreed(url, "workflowOwnerId", _owner(named, placed), placed),
        "workflowType": _agreed(url, "workflowType", _READY2RUN if named.is_ready2run else None, placed),
    }
    if found["workflowType"] == _READY2RUN:
        found["workflowOwnerId"] = None
    return {name: value for name, value in found.items() if value is not None}


def _owner(named: WorkflowName, placed: Mapping[str, Any]) -> str | None:
    """The owner where it is somebody else; a role that HealthOmics may assume is always of one's own account."""
    own = str(placed["roleArn"]).split(":")[4:5]
    return named.owner if named.owner and [named.owner] != own else None


def _agreed(url: str, name: str, from_url: str | None, placed: Mapping[str, Any]) -> str | None:
    given = placed.get(name)
    if from_url and given and from_url != given:
        raise Rejected(
            f"workflow_url {public_url(url)!r} and workflow_engine_parameters.{name} {given!r} contradict each other"
        )
    return from_url or given


def _parameters(params: Mapping[str, object]) -> Mapping[str, Any]:
    try:
        text = json.dumps(params, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        size = len(text.encode())
    except (ValueError, TypeError) as error:
        raise Rejected(f"workflow_params cannot be sent as JSON: {error}") from error
    if size > PARAMETERS_LIMIT:
        raise Rejected(
            f"workflow_params are {size:,} bytes of JSON, AWS HealthOmics takes {PARAMETERS_LIMIT:,}: "
            "put long lists into a file and give its S3 address"
        )
    return dict(params)


def _tags(submission: Submission, given: Mapping[str, str]) -> Mapping[str, str]:
    ours = {RUN_ID_TAG: str(submission.run_id), KEY_TAG: str(submission.key)}
    if taken := sorted(ours.keys() & given.keys()):
        raise Rejected(f"workflow_engine_parameters.tags: {', '.join(taken)}: these names are the daemon's own")
    if len(given) + len(ours) > _TAGS_LIMIT:
        raise Rejected(f"workflow_engine_parameters.tags: {len(given)} tags, {_TAGS_LIMIT - len(ours)} are allowed")
    return {**given, **ours}
