"""The contract of `SharedQuotas` on the memory adapter."""

import pytest

from tests.contracts.quotas import Shared, SharedQuotasContract
from tests.memory.quotas import MemoryQuotas
from wes_daemon.adapters.memory.environment import ManualClock


class TestMemoryQuotas(SharedQuotasContract):
    @pytest.fixture
    def shared(self) -> Shared:
        clock = ManualClock()
        return Shared(MemoryQuotas(clock), clock.advance)
