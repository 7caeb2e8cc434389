"""The locks that keep daemons apart beyond single rows.

On PostgreSQL they are advisory, belong to the transaction and go with it, so that a pooler in transaction mode
does no harm. On SQLite the write lock of the transaction itself is all of them.
"""

from sqlalchemy import Connection

CLAIMING = 0x7765735F636C61
"""Whoever claims runs: what is counted for the cap stays true until the claim is committed."""

UPGRADING = 0x7765735F757067
"""Whoever changes the schema."""

OPENING_A_BUDGET = 0x7765735F627564
"""Whoever finds no row for a budget and makes it."""


def take(connection: Connection, lock: int) -> None:
    """Wait for the lock; it is given back when the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock})")
