"""The agenda's contract on SQLite files and on PostgreSQL."""

import pytest

from tests.contracts.agenda import AgendaContract, Book
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.agenda import SqlAgenda


class TestSqlAgenda(AgendaContract):
    @pytest.fixture
    def book(self, store: SqlHarness) -> Book:
        return Book(store, SqlAgenda(store.engine))
