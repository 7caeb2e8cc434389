"""Adapts the daemon's tables to the tables of any WES service."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Change nothing yet."""
