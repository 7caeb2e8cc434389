"""The contract of `SharedQuotas` on the memory adapter."""

import pytest

from tests.contracts.quotas import Shared, SharedQuotasContract
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.quotas import MemoryQuotas


class TestMemoryQuotas(SharedQuotasContract):
    @pytest.fixture
    def shared(self) -> Shared:
        clock = ManualClock()
        return Shared(MemoryQuotas(clock), clock.advance)
