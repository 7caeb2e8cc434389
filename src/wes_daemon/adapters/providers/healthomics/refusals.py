"""Whose matter it is when StartRun is refused: the run's own, or the set-up's, which every other run shares."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.errors import SEE_PERMISSIONS
from wes_daemon.application.ports.errors import Misconfigured, ProviderError, Rejected

_REPETITION = re.compile(r"request.?id|idempoten|duplicate (run|request)", re.IGNORECASE)


def speaks_of_repetition(words: str) -> bool:
    """Whether a refusal may be about a request id that was used before."""
    return _REPETITION.search(words) is not None


def judge_denial(words: str, request: Mapping[str, Any], config: HealthOmicsConfig) -> ProviderError:
    """Permissions are everybody's matter, unless what was denied is something that this run alone has chosen.

    Otherwise one run that names a role of its own, which the daemon may not pass on, would stop all the others.
    """
    if chosen := [what for what in _chosen_by_the_run(request, config) if what in words]:
        return Rejected(f"AWS does not allow {' and '.join(chosen)}, which this run asks for: {words}")
    return Misconfigured(f"AWS does not allow StartRun: {words}; {SEE_PERMISSIONS}")


def judge_validation(words: str, request: Mapping[str, Any], config: HealthOmicsConfig) -> ProviderError:
    """An invalid request is this run's matter, unless what is invalid comes from the settings."""
    if config.role_arn and request["roleArn"] == config.role_arn and config.role_arn in words:
        return Misconfigured(f"AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN: {words}")
    if config.output_uri and request["outputUri"] == config.output_uri and _bucket(config.output_uri) in words:
        return Misconfigured(f"AWS_HEALTHOMICS_OUTPUT_URI: {words}")
    return Rejected(f"AWS HealthOmics refused the run: {words}")


def _chosen_by_the_run(request: Mapping[str, Any], config: HealthOmicsConfig) -> Iterator[str]:
    if request["roleArn"] != config.role_arn:
        yield request["roleArn"]
    if "workflowOwnerId" in request:
        yield f":{request['workflowOwnerId']}:workflow/{request['workflowId']}"
    for member, kind in (("runGroupId", "runGroup"), ("cacheId", "runCache"), ("configurationName", "configuration")):
        if member in request:
            yield f"{kind}/{request[member]}"


def _bucket(uri: str) -> str:
    return urlsplit(uri).netloc
