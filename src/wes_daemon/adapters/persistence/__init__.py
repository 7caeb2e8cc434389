"""Persistence in a SQL database: PostgreSQL, or SQLite on a single machine."""
