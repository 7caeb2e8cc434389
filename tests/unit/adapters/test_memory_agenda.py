"""The agenda's contract in memory."""

import pytest

from tests.contracts.agenda import AgendaContract, Book
from tests.unit.adapters.test_memory_persistence import MemoryHarness


class TestMemoryAgenda(AgendaContract):
    @pytest.fixture
    def book(self) -> Book:
        store = MemoryHarness()
        return Book(store, store.agenda)
