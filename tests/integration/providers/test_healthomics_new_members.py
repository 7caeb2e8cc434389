"""Members of StartRun that newer SDKs can send, and the address of parameters, which is shown nowhere (B8)."""

import logging
import traceback
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from botocore.loaders import Loader

from tests.integration.providers.healthomics_harness import a_healthomics_submission, bare_provider, run_id, simulated
from tests.simulators.healthomics import faults, server
from tests.simulators.healthomics.faults import Fault
from tests.simulators.healthomics.model import OmicsModel
from tests.simulators.healthomics.server import HealthOmicsSimulator
from wes_daemon.application.ports.errors import ProviderError, Rejected
from wes_daemon.application.ports.providers import Submission

ADDRESS = "s3://private/parameters.json?X-Amz-Signature=not-a-real-signature"
NEW = {
    "outputUriPrefixMode": {"shape": "String"},
    "parametersUri": {"shape": "String"},
    "requesterPaysEnabled": {"shape": "Boolean"},
}
LONG = f"{'x' * 480} {ADDRESS}"


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthOmicsSimulator]:
    """A service and an SDK that know the new members, whichever SDK is installed."""
    load = Loader.load_service_model

    def with_new_members(loader: Loader, service: str, type: str, *rest: Any, **more: Any) -> Any:
        model = load(loader, service, type, *rest, **more)
        if (service, type) != ("omics", "service-2"):
            return model
        newer = deepcopy(model)
        newer["shapes"].setdefault("Boolean", {"type": "boolean"})
        newer["shapes"]["StartRunRequest"]["members"] |= NEW
        return newer

    monkeypatch.setattr(Loader, "load_service_model", with_new_members)
    monkeypatch.setattr(server, "_MODEL", OmicsModel())
    with simulated(monkeypatch) as simulator:
        yield simulator


def a_submission_by_address(**more: object) -> Submission:
    return a_healthomics_submission(workflow_params={}, workflow_engine_parameters={"parametersUri": ADDRESS, **more})


def test_they_are_sent(simulator: HealthOmicsSimulator) -> None:
    more = {"requesterPaysEnabled": "true", "outputUriPrefixMode": "none_with_overwrite"}

    id = bare_provider().submit(a_submission_by_address(**more)).id

    sent = simulator.service.run(run_id(id)).request
    assert sent["parametersUri"] == ADDRESS
    assert sent["requesterPaysEnabled"] is True
    assert sent["outputUriPrefixMode"] == "NONE_WITH_OVERWRITE"
    assert "parameters" not in sent


@pytest.mark.parametrize(
    "fault",
    [
        faults.error(400, "ValidationException", f"Value '{ADDRESS}' at 'parametersUri' failed"),
        faults.error(400, "ValidationException", LONG),
        faults.error(404, "ResourceNotFoundException", f"{ADDRESS} not found"),
        faults.error(403, "AccessDeniedException", f"no access to {ADDRESS}"),
        faults.error(409, "ConflictException", f"{ADDRESS} is in use"),
        faults.error(402, "ServiceQuotaExceededException", f"{ADDRESS} is too large"),
        faults.error(500, "InternalServerException", f"{ADDRESS} cannot be read"),
        faults.error(418, "SomethingNew", ADDRESS),
        faults.answer_with(f"<html>{ADDRESS}</html>".encode(), status=502),
        faults.cut(after_acting=False),
    ],
    ids=lambda fault: f"{fault.status} {fault.headers.get('x-amzn-ErrorType', '')} {len(fault.body)}",
)
def test_neither_message_nor_traceback_nor_log_contains_the_address(
    simulator: HealthOmicsSimulator, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    caplog.set_level(logging.DEBUG)
    simulator.faults.put("StartRun", fault)

    with pytest.raises(ProviderError) as caught:
        bare_provider().submit(a_submission_by_address())

    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "not-a-real-signature" not in shown
    assert "private" not in shown
    assert simulator.operations["StartRun"] == 1


def test_an_address_beside_parameters_is_refused_without_it(simulator: HealthOmicsSimulator) -> None:
    with pytest.raises(Rejected, match="are both given") as caught:
        bare_provider().submit(a_healthomics_submission(workflow_engine_parameters={"parametersUri": ADDRESS}))

    assert "private" not in str(caught.value)
    assert simulator.operations["StartRun"] == 0
