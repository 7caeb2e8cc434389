"""The watermarks' contract on the databases."""

import pytest

from tests.contracts.watermarks import WatermarksContract
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.watermarks import SqlWatermarks


class TestSqlWatermarks(WatermarksContract):
    @pytest.fixture
    def watermarks(self, store: SqlHarness) -> SqlWatermarks:
        return SqlWatermarks(store.engine)
