"""Creates the daemon's own tables, without foreign keys to `workflow_runs`: the service may delete its rows."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_submissions()
    _create_polls()
    _create_daemons()
    _create_run_details()
    _create_run_attachments()
    _create_run_events()


def _create_submissions() -> None:
    op.create_table(
        "submissions",
        sa.Column("seq", _SERIAL, sa.Identity(), primary_key=True),
        sa.Column("run_id", sa.String(36), nullable=False, unique=True),
        sa.Column("provider", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("returns_to", sa.Text, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("claim_seq", sa.Integer, nullable=False),
        sa.Column("not_before", _MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("prepared_id", sa.Text),
        sa.Column("provider_run_id", sa.Text),
        sa.Column("last_reason", sa.Text),
        sa.Column("enrolled_at", _MOMENT, nullable=False),
        # A number is never reused: `seq` is the order of enrolment.
        sqlite_autoincrement=True,
    )
    _index_submissions("ready", ["seq"], "state = 'READY'")
    _index_submissions("open", ["seq"], "state IN ('INTENT', 'PREPARED')")
    _index_submissions("counted", ["run_id"], "state IN ('INTENT', 'PREPARED', 'ACCEPTED')")
    _index_submissions("held", ["provider", "provider_run_id"], "provider_run_id IS NOT NULL", unique=True)


def _index_submissions(name: str, columns: list[str], condition: str, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(
        f"submissions_{name}", "submissions", columns, unique=unique, postgresql_where=where, sqlite_where=where
    )


def _create_polls() -> None:
    op.create_table(
        "polls",
        sa.Column("run_id", sa.String(36), primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("provider_run_id", sa.Text, nullable=False),
        sa.Column("next_check_at", _MOMENT, nullable=False),
        sa.Column("held_until", _MOMENT),
        sa.Column("poll_seq", sa.Integer, nullable=False),
        sa.Column("known_state", sa.Text, nullable=False),
        sa.Column("known_status", sa.Text),
        sa.Column("missing_since", _MOMENT),
        sa.Column("details_failures", sa.Integer, nullable=False),
        sa.Column("cancel_again_at", _MOMENT),
        sa.Column("taken_at", _MOMENT),
    )
    op.create_index("polls_next_check_at", "polls", ["next_check_at"])


def _create_daemons() -> None:
    op.create_table(
        "daemons",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("lease_until", _MOMENT, nullable=False),
    )


def _create_run_details() -> None:
    op.create_table(
        "run_details",
        sa.Column("run_id", sa.String(36), primary_key=True),
        sa.Column("workflow_engine_parameters", sa.JSON),
        sa.Column("outputs", sa.JSON),
        sa.Column("provider_status", sa.Text),
        sa.Column("provider_message", sa.Text),
        sa.Column("stdout", sa.Text),
        sa.Column("stderr", sa.Text),
        sa.Column("exit_code", sa.Integer),
        sa.Column("system_logs", sa.JSON),
    )


def _create_run_attachments() -> None:
    op.create_table(
        "run_attachments",
        sa.Column("run_id", sa.String(36), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )


def _create_run_events() -> None:
    op.create_table(
        "run_events",
        sa.Column("id", _SERIAL, sa.Identity(), primary_key=True),
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("from_state", sa.Text),
        sa.Column("to_state", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("provider_status", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("run_events_run", "run_events", ["run_id"])
