"""Indexes on tables that a WES service may own."""

import sqlalchemy as sa
from alembic import op

# A view has no indexes of its own: the daemon relies on those of the tables below it.
_UNLESS_VIEW = """
DO $index$
BEGIN
    {statement};
EXCEPTION WHEN wrong_object_type THEN
    NULL;
END
$index$
"""


def create_index(name: str, table: str, column: str, condition: str | None = None) -> None:
    """Create an index unless it exists, or the table is a view."""
    where = None if condition is None else sa.text(condition)
    if op.get_context().dialect.name != "postgresql":
        op.create_index(name, table, [column], sqlite_where=where, if_not_exists=True)
        return
    matching = "" if condition is None else f" WHERE {condition}"
    statement = f"CREATE INDEX IF NOT EXISTS {name} ON {table} ({column}){matching}"
    op.execute(_UNLESS_VIEW.format(statement=statement))
