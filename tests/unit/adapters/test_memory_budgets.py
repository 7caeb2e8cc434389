"""The contract of shared budgets on the memory adapter."""

import pytest

from tests.contracts.budgets import Shared, SharedBudgetsContract
from wes_daemon.adapters.memory.budgets import MemoryBudgets
from wes_daemon.adapters.memory.environment import ManualClock


class TestMemoryBudgets(SharedBudgetsContract):
    @pytest.fixture
    def shared(self) -> Shared:
        clock = ManualClock()
        return Shared(MemoryBudgets(clock), clock.advance)
