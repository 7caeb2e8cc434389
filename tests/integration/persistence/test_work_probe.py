"""The work probe's contract on SQLite files and on PostgreSQL."""

import pytest

from tests.contracts.work_probe import ProbedStore, WorkProbeContract
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.work_probe import SqlWorkProbe


class TestSqlWorkProbe(WorkProbeContract):
    @pytest.fixture
    def probed(self, store: SqlHarness) -> ProbedStore:
        return ProbedStore(store, SqlWorkProbe(store.engine))
