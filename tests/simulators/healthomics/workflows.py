"""The workflows that the simulated service knows, and what it checks of a request to run one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ACCOUNT = "123456789012"
OTHER_ACCOUNT = "999988887777"
PARAMETERS_LIMIT = 50_000


class ServiceError(Exception):
    """One of the service's modelled errors."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Workflow:
    """A registered workflow.

    Attributes:
        parameters: names that are allowed, each with whether it is needed; None allows anything.
        account: None for one of the service's own (Ready2Run).
        engine: WDL, CWL or NEXTFLOW; decides what a run leaves behind.
    """

    id: str
    account: str | None
    engine: str = "WDL"
    versions: Sequence[str] = ("v1",)
    parameters: Mapping[str, bool] | None = None


WORKFLOWS: Mapping[str, Workflow] = {
    workflow.id: workflow
    for workflow in (
        Workflow("1234567", ACCOUNT),
        Workflow("2345678", ACCOUNT, engine="CWL", parameters={"reads": True, "depth": False}),
        Workflow("3456789", ACCOUNT, engine="NEXTFLOW"),
        Workflow("4567890", OTHER_ACCOUNT),
        Workflow("9500764", None),
    )
}


def asked_for(request: Mapping[str, Any], known: Mapping[str, Workflow]) -> Workflow:
    """The workflow that a StartRun asks for, when it may run like that; raises `ServiceError`."""
    workflow = known.get(request.get("workflowId", ""))
    kind = request.get("workflowType", "PRIVATE")
    owner = None if kind == "READY2RUN" else request.get("workflowOwnerId", ACCOUNT)
    if workflow is None or workflow.account != owner:
        raise ServiceError("ResourceNotFoundException", f"Workflow {request.get('workflowId')} was not found")
    version = request.get("workflowVersionName")
    if version is not None and version not in workflow.versions:
        raise ServiceError("ResourceNotFoundException", f"Version {version} was not found")
    if kind == "READY2RUN" and (request.get("storageType") or request.get("storageCapacity") is not None):
        raise ServiceError("ValidationException", "storage is not allowed for a Ready2Run workflow")
    if request.get("storageCapacity") is not None and request.get("storageType") == "DYNAMIC":
        raise ServiceError("ValidationException", "storageCapacity is not allowed with DYNAMIC storage")
    _check_parameters(workflow, request.get("parameters", {}))
    return workflow


def _check_parameters(workflow: Workflow, parameters: Mapping[str, Any]) -> None:
    if len(json.dumps(parameters, separators=(",", ":")).encode()) > PARAMETERS_LIMIT:
        raise ServiceError("ValidationException", f"parameters are larger than {PARAMETERS_LIMIT} bytes")
    if workflow.parameters is None:
        return
    for name in parameters:
        if name not in workflow.parameters:
            raise ServiceError("ValidationException", f"Parameter {name} is not in the workflow's template")
    for name, is_needed in workflow.parameters.items():
        if is_needed and name not in parameters:
            raise ServiceError("ValidationException", f"Parameter {name} is missing")
