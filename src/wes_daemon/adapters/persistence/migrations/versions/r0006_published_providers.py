"""Adds what each daemon publishes: the providers that it knows, and which of them it serves."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Daemons of the previous version may run meanwhile: they leave the new column empty."""
    op.add_column("daemons", sa.Column("providers", sa.Text))
