"""Adapts the daemon's tables to the tables of any WES service."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_late_updates()


def _create_late_updates() -> None:
    op.create_table(
        "late_updates",
        sa.Column("seq", _SERIAL, sa.Identity(), primary_key=True),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", _MOMENT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("recorded_at", _MOMENT, nullable=False),
        # A number is never reused: a daemon removes what it has written, up to a number.
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index("late_updates_run", "late_updates", ["run_id", "seq"], if_not_exists=True)
    op.create_index("late_updates_due", "late_updates", ["not_before"], if_not_exists=True)
