"""The agenda's contract on SQLite files and on PostgreSQL."""

import pytest

from tests.contracts.work_probe import Book, WorkProbeContract
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.work_probe import SqlWorkProbe


class TestSqlAgenda(WorkProbeContract):
    @pytest.fixture
    def book(self, store: SqlHarness) -> Book:
        return Book(store, SqlWorkProbe(store.engine))
