"""The published providers' contract on SQLite files and on PostgreSQL."""

import pytest
from sqlalchemy import update

from tests.contracts.persistence_harness import ME
from tests.contracts.published_providers import PublishedProvidersContract
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.published_providers import SqlPublishedProviders
from wes_daemon.adapters.persistence.tables import daemons


class TestSqlPublishedProviders(PublishedProvidersContract):
    @pytest.fixture
    def published(self, store: SqlHarness) -> SqlPublishedProviders:
        return SqlPublishedProviders(store.engine)

    @pytest.mark.parametrize("text", ["", "{", "[]", "7"])
    def test_what_cannot_be_read_counts_as_nothing(
        self, store: SqlHarness, published: SqlPublishedProviders, text: str
    ) -> None:
        self.open(store, ME, {})
        with store.engine.begin() as connection:
            connection.execute(update(daemons).values(providers=text))

        assert published.live() == [None]

    def test_names_that_this_version_does_not_accept_are_left_out(
        self, store: SqlHarness, published: SqlPublishedProviders
    ) -> None:
        self.open(store, ME, {})
        with store.engine.begin() as connection:
            connection.execute(update(daemons).values(providers='{"Not A Name": "", "shell": ""}'))

        assert published.live() == [{"shell": ""}]
