"""The published providers' contract in memory."""

import pytest

from tests.contracts.published_providers import PublishedProvidersContract
from tests.unit.adapters.test_memory_persistence import MemoryHarness
from wes_daemon.adapters.memory.published_providers import MemoryPublishedProviders


class TestMemoryPublishedProviders(PublishedProvidersContract):
    @pytest.fixture
    def store(self) -> MemoryHarness:
        return MemoryHarness()

    @pytest.fixture
    def published(self, store: MemoryHarness) -> MemoryPublishedProviders:
        return MemoryPublishedProviders(store._store)
