"""The watermarks' contract in memory."""

import pytest

from tests.contracts.persistence_harness import PersistenceHarness
from tests.contracts.watermarks import WatermarksContract
from tests.memory.watermarks import MemoryWatermarks
from tests.unit.adapters.test_memory_persistence import MemoryHarness


class TestMemoryWatermarks(WatermarksContract):
    @pytest.fixture
    def store(self) -> PersistenceHarness:
        return MemoryHarness()

    @pytest.fixture
    def watermarks(self, store: MemoryHarness) -> MemoryWatermarks:
        return store.watermarks
