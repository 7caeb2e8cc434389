"""Adapts the daemon's tables to the tables of any WES service."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_TABLES_ABOUT_RUNS = ("submissions", "polls", "run_details", "run_attachments", "run_events")


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        _lengthen_run_ids()


def _lengthen_run_ids() -> None:
    # SQLite does not enforce lengths. `Schema.upgrade` then gives the columns the type that a service's ids have.
    for table in _TABLES_ABOUT_RUNS:
        op.alter_column(table, "run_id", type_=sa.Text)
