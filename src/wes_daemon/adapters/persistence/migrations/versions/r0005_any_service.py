"""Adapts the daemon's tables to the tables of any WES service."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    _index_left_runs()


def _index_left_runs() -> None:
    """Index the runs that another daemon has left. Daemons of the previous version use the other indexes."""
    inherited = sa.text("state = 'INHERITED'")
    op.create_index(
        "submissions_inherited",
        "submissions",
        ["run_id"],
        postgresql_where=inherited,
        sqlite_where=inherited,
        if_not_exists=True,
    )
    unknown = sa.text("state = 'UNKNOWN'")
    op.create_index(
        "wes_daemon_runs_unknown",
        "workflow_runs",
        ["run_id"],
        postgresql_where=unknown,
        sqlite_where=unknown,
        if_not_exists=True,
    )
