"""The ledger's contract on the memory adapters."""

import pytest

from tests.contracts.ledger import Books, LedgerContract
from tests.unit.adapters.test_memory_persistence import MemoryHarness
from wes_daemon.adapters.memory.ledger import MemoryLedger, MemoryMendings


class _Harness(MemoryHarness):
    """A store with books."""

    def books(self) -> Books:
        return Books(self, MemoryLedger(self._store), MemoryMendings(self._store))


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def books(self) -> Books:
        return _Harness().books()
