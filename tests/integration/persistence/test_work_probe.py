"""The work probe's contract on SQLite files and on PostgreSQL."""

import pytest

from tests.contracts.work_probe import ProbedStore, WorkProbeContract
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.work_probe import SqlWorkProbe


class TestSqlWorkProbe(WorkProbeContract):
    @pytest.fixture
    def probed(self, store: SqlHarness) -> ProbedStore:
        return ProbedStore(store, SqlWorkProbe(store.engine))

    # On PostgreSQL a busy day takes half a minute; every single case of the contract runs there, too.
    @pytest.mark.parametrize(
        "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)], indirect=True
    )
    def test_whatever_passes_would_find_on_a_busy_day_is_on_it(self, probed: ProbedStore) -> None:
        super().test_whatever_passes_would_find_on_a_busy_day_is_on_it(probed)
