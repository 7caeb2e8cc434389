"""Adds fair share, the first submitted request, the time of the first failure, and the state `REVIEW`."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    # Daemons of the previous version may run meanwhile: they do not use these columns, which all have defaults.
    op.add_column("submissions", sa.Column("share", sa.Text, nullable=False, server_default=""))
    op.add_column("submissions", sa.Column("request", sa.JSON))
    op.add_column("submissions", sa.Column("intent_at", _MOMENT))
    op.add_column("submissions", sa.Column("failing_since", _MOMENT))
    op.drop_index("submissions_counted", "submissions")
    op.drop_index("submissions_ready", "submissions")
    _index_submissions("counted", ["provider", "share"], "state IN ('INTENT', 'PREPARED', 'REVIEW', 'ACCEPTED')")
    _index_submissions("ready", ["provider", "share", "seq"], "state = 'READY'")
    _index_submissions("review", ["seq"], "state = 'REVIEW'")


def _index_submissions(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(f"submissions_{name}", "submissions", columns, postgresql_where=where, sqlite_where=where)
