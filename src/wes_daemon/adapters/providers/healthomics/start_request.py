"""StartRun's request: a function of the submission and the configuration, so that every attempt sends the same."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.engine_parameters import PARAMETERS_URI, read_engine_parameters
from wes_daemon.application.ports.errors import Rejected, WrongProvider
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.addresses import public_url
from wes_daemon.domain.runs import IdempotencyKey

RUN_ID_TAG = "WESRunId"
KEY_TAG = "WESSubmissionKey"
"""Holds the idempotency key: with the run's name it is the run ownership marker."""

WORKFLOW_URL_FORMS = (
    "1234567, omics:1234567, omics://workflow/1234567, omics://workflow/1234567/version/NAME, "
    "[omics://]arn:aws:omics:REGION:ACCOUNT:workflow/1234567[/version/NAME] "
    "(ACCOUNT left empty for a Ready2Run workflow, another account's for a shared one)"
)

PARAMETERS_LIMIT = 50_000
"""Bytes; a fixed quota of the service."""

_TAGS_LIMIT = 50
_KEY_LIMIT = 128
_READY2RUN = "READY2RUN"

# Both are always sent, since the service's own pages contradict each other on the defaults; a Ready2Run workflow has
# storage of its own. Dynamic storage needs no size. REMOVE lets the service delete the records of ended runs: an
# account that is full of records accepts no new run. Logs and outputs are kept.
_STORAGE_TYPE = "DYNAMIC"
_RETENTION_MODE = "REMOVE"
_STORAGE_MEMBERS = ("storageType", "storageCapacity", "scratchStorageMode")

_WORKFLOW = r"(?P<id>[0-9]{1,18})"
_VERSION = r"(?:/version/(?P<version>[A-Za-z0-9][A-Za-z0-9\-._]{0,63}))?"
_PLAIN = re.compile(rf"(?:omics:)?{_WORKFLOW}", re.ASCII)
_URL = re.compile(rf"omics://workflow/{_WORKFLOW}{_VERSION}", re.ASCII)
_ARN = re.compile(
    rf"(?:omics:(?://)?)?arn:aws[a-z\-]*:omics:(?P<region>[a-z0-9\-]+):(?P<account>[0-9]{{12}})?:workflow/{_WORKFLOW}{_VERSION}",
    re.ASCII,
)


def start_run_request(submission: Submission, config: HealthOmicsConfig) -> Mapping[str, Any]:
    """Return the members of StartRun's request.

    Raises:
        Rejected: the request can never work; the message names what to change.
    """
    given = read_engine_parameters(submission.request.engine_parameters, submission.tags)
    chosen = {**_role_and_output(given, config), **given}
    workflow = _workflow(submission.request.workflow_url, chosen, config)
    return {
        "retentionMode": _RETENTION_MODE,
        **{name: value for name, value in chosen.items() if name not in _STORAGE_MEMBERS},
        **workflow,
        **_storage(given, is_ready2run=_READY2RUN in (workflow.get("workflowType"), chosen.get("workflowType"))),
        **_parameters(submission.request.params, given),
        "name": run_name(submission.key),
        "requestId": submission.key,
        "tags": _tags(submission, given.get("tags", {})),
    }


def run_name(key: IdempotencyKey) -> str:
    """Return the name of the run of an idempotency key: ListRuns can search by name only."""
    if not 0 < len(key) <= _KEY_LIMIT or not key.isprintable():
        raise Rejected(f"idempotency key {key!r}: AWS HealthOmics accepts 1 to {_KEY_LIMIT} printable characters")
    return key


def refuse_unknown_members(request: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise `Rejected` for members that the installed boto3 cannot send."""
    if unknown := sorted(request.keys() - set(known)):
        raise Rejected(
            f"workflow_engine_parameters: {', '.join(unknown)}: not supported by the installed boto3; "
            "install a newer version"
        )


def parse_workflow_url(url: str, *, region: str) -> Mapping[str, str]:
    """Return the members of StartRun's request that a workflow URL names: id, version, owner, type.

    An ARN without an account names a Ready2Run workflow. Without a version the workflow's default version runs.

    Raises:
        WrongProvider: the form is not in `WORKFLOW_URL_FORMS`.
        Rejected: the workflow is in another region.
    """
    match = _PLAIN.fullmatch(url) or _URL.fullmatch(url) or _ARN.fullmatch(url)
    if match is None:
        raise WrongProvider(
            f"workflow_url {public_url(url)!r} names no HealthOmics workflow: the forms are {WORKFLOW_URL_FORMS}"
        )
    parts = match.groupdict()
    if parts.get("region", region) != region:
        raise Rejected(
            f"workflow_url {public_url(url)!r} names a workflow in {parts['region']}, "
            f"but runs are started in {region} (AWS_REGION)"
        )
    members = {
        "workflowId": parts["id"],
        "workflowVersionName": parts.get("version"),
        "workflowOwnerId": parts.get("account"),
        "workflowType": _READY2RUN if "account" in parts and not parts["account"] else None,
    }
    return {name: value for name, value in members.items() if value is not None}


def _role_and_output(given: Mapping[str, Any], config: HealthOmicsConfig) -> Mapping[str, Any]:
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
        raise WrongProvider(f"AWS HealthOmics cannot start this run: {'; '.join(missing)}")
    return {"roleArn": role, "outputUri": output}


def _storage(given: Mapping[str, Any], *, is_ready2run: bool) -> Mapping[str, Any]:
    chosen = {name: given[name] for name in _STORAGE_MEMBERS if name in given}
    if is_ready2run:
        if others := sorted(name for name, value in chosen.items() if value != _STORAGE_TYPE):
            raise Rejected(
                f"workflow_engine_parameters: {', '.join(others)}: a Ready2Run workflow has storage of its own; "
                "leave them out"
            )
        return {}
    if "storageCapacity" not in chosen:
        return {"storageType": _STORAGE_TYPE, **chosen}
    if chosen.get("storageType", "STATIC") != "STATIC":
        raise Rejected("workflow_engine_parameters.storageCapacity requires storageType STATIC; leave one of them out")
    return {**chosen, "storageType": "STATIC"}


def _workflow(url: str, chosen: Mapping[str, Any], config: HealthOmicsConfig) -> Mapping[str, Any]:
    members = dict(parse_workflow_url(url, region=config.region))
    # HealthOmics can assume only roles of the caller's account, so the role's account is the caller's own.
    own_account = str(chosen["roleArn"]).split(":")[4:5]
    if members.get("workflowOwnerId") in own_account:
        del members["workflowOwnerId"]
    for name, value in members.items():
        if chosen.get(name, value) != value:
            raise Rejected(
                f"workflow_url {public_url(url)!r} and workflow_engine_parameters.{name} {chosen[name]!r} "
                "contradict each other"
            )
    if _READY2RUN in (members.get("workflowType"), chosen.get("workflowType")):
        members.pop("workflowOwnerId", None)
    return members


def _parameters(params: Mapping[str, object], given: Mapping[str, Any]) -> Mapping[str, Any]:
    if PARAMETERS_URI in given:
        if params:
            raise Rejected(
                f"workflow_params and workflow_engine_parameters.{PARAMETERS_URI} are both given, AWS HealthOmics "
                "accepts one of them: put the parameters into the file, or leave the address out"
            )
        return {}
    try:
        text = json.dumps(params, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        size = len(text.encode())
    except (ValueError, TypeError) as error:
        raise Rejected(f"workflow_params cannot be sent as JSON: {error}") from error
    if size > PARAMETERS_LIMIT:
        raise Rejected(
            f"workflow_params are {size:,} bytes of JSON, AWS HealthOmics accepts {PARAMETERS_LIMIT:,}: put them into "
            f"a JSON file in S3, name it in the engine parameter {PARAMETERS_URI} (boto3 1.44.8 or later), and leave "
            "workflow_params empty; or put long lists into a file and give its S3 address"
        )
    return {"parameters": dict(params)}


def _tags(submission: Submission, given: Mapping[str, str]) -> Mapping[str, str]:
    own = {RUN_ID_TAG: str(submission.run_id), KEY_TAG: str(submission.key)}
    if reserved := sorted(own.keys() & given.keys()):
        raise Rejected(f"workflow_engine_parameters.tags: {', '.join(reserved)}: reserved for the daemon")
    if len(given) + len(own) > _TAGS_LIMIT:
        raise Rejected(f"workflow_engine_parameters.tags: {len(given)} tags, {_TAGS_LIMIT - len(own)} are allowed")
    return {**given, **own}
