"""The ledger's contract on SQLite files and on PostgreSQL."""

import pytest

from tests.contracts.ledger import Books, LedgerContract
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.ledger import SqlLedger, SqlMendings


class TestSqlLedger(LedgerContract):
    @pytest.fixture
    def books(self, store: SqlHarness) -> Books:
        return Books(store, SqlLedger(store.engine), SqlMendings(store.engine))
