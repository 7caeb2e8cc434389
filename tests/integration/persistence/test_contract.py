"""The persistence contract on SQLite files and on PostgreSQL."""

from tests.contracts.persistence import PersistenceContract


class TestSqlPersistence(PersistenceContract):
    """The fixture `store` is in `conftest`."""
