"""The provider contract for HealthOmics on the real SDK, without and with the decorators."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.integration.providers.healthomics_harness import HealthOmicsHarness, simulated
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.simulators.healthomics.service import Repeats
from wes_daemon.adapters.memory.telemetry import MemoryTelemetry
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.adapters.system import SystemClock
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.domain.runs import ProviderType
from wes_daemon.testing import ProviderContract


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthOmicsSimulator]:
    with simulated(monkeypatch) as simulator:
        yield simulator


def _with_decorators(provider: WorkflowProvider) -> WorkflowProvider:
    def no_sleep(_: timedelta) -> None:
        pass

    return decorated(
        provider, ProviderType.HEALTHOMICS, telemetry=MemoryTelemetry(), clock=SystemClock(), sleep=no_sleep
    )


class TestHealthOmicsProvider(ProviderContract):
    @pytest.fixture
    def harness(self, simulator: HealthOmicsSimulator) -> HealthOmicsHarness:
        return HealthOmicsHarness(simulator, decorate=lambda provider: provider)


class TestDecoratedHealthOmicsProvider(ProviderContract):
    @pytest.fixture
    def harness(self, simulator: HealthOmicsSimulator) -> HealthOmicsHarness:
        return HealthOmicsHarness(simulator, decorate=_with_decorators)


class TestWhereRepeatedRequestsAreConflicts(ProviderContract):
    @pytest.fixture
    def harness(self, simulator: HealthOmicsSimulator) -> HealthOmicsHarness:
        simulator.service.repeats = Repeats.CONFLICT
        simulator.service.refusal_of_late_cancels = "ValidationException"
        return HealthOmicsHarness(simulator, decorate=lambda provider: provider)


class TestWhereRepeatedRequestsAreInvalid(ProviderContract):
    @pytest.fixture
    def harness(self, simulator: HealthOmicsSimulator) -> HealthOmicsHarness:
        simulator.service.repeats = Repeats.INVALID
        simulator.service.name_filter_is_exact = False
        simulator.service.deleted_is_told = True
        return HealthOmicsHarness(simulator, decorate=lambda provider: provider)
