"""The work probe's contract in memory."""

import pytest

from tests.contracts.work_probe import ProbedStore, WorkProbeContract
from tests.unit.adapters.test_memory_persistence import MemoryHarness


class TestMemoryWorkProbe(WorkProbeContract):
    @pytest.fixture
    def probed(self) -> ProbedStore:
        store = MemoryHarness()
        return ProbedStore(store, store.work_probe)
