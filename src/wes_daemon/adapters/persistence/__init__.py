"""The runs, the queue and the poll schedule in a SQL database: PostgreSQL, or SQLite for a single machine."""
