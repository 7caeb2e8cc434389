"""The agenda's contract in memory."""

import pytest

from tests.contracts.work_probe import Book, WorkProbeContract
from tests.unit.adapters.test_memory_persistence import MemoryHarness


class TestMemoryAgenda(WorkProbeContract):
    @pytest.fixture
    def book(self) -> Book:
        store = MemoryHarness()
        return Book(store, store.work_probe)
