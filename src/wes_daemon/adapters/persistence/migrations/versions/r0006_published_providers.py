"""Adds what each daemon publishes, and the providers in use that no live daemon serves."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Daemons of the previous version may run meanwhile: they leave the new column empty."""
    op.add_column("daemons", sa.Column("providers", sa.Text))
    op.create_table(
        "unserved_providers",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("since", _MOMENT, nullable=False),
        sa.Column("seen_at", _MOMENT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
