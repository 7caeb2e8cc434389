"""The contract of a provider, kept by the Seven Bridges one with the real SDK against the simulated service."""

import pytest

from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import SevenBridgesHarness
from wes_daemon.testing import ProviderContract

__all__ = ["authority", "harness", "trusted"]


class TestSevenBridgesProvider(ProviderContract):
    @pytest.fixture
    def harness(self, harness: SevenBridgesHarness) -> SevenBridgesHarness:
        return harness
