"""Adapts the daemon's tables to the tables of any WES service, and reports runs that a service ends or deletes."""

import sqlalchemy as sa
from alembic import op

from wes_daemon.adapters.persistence.migrations.service_tables import create_index

revision = "0005"
down_revision = "0004"

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES_ABOUT_RUNS = ("submissions", "polls", "run_details", "run_attachments", "run_events")

# As in `wes_daemon.adapters.persistence.service_objects`, repeated here: a migration never changes.
# The triggers read no table, so that no statement of a service can fail because of them.
# A row that changes its partition fires the row triggers for DELETE and INSERT, and no trigger for UPDATE.
# The role that upgrades may lack the privilege for a table that a service owns. Then the daemon relies on polling.
_INTERRUPTIONS = """
DO $interruptions$
BEGIN
    CREATE TRIGGER wes_daemon_ended AFTER UPDATE OF state ON workflow_runs
        FOR EACH ROW WHEN (
            NEW.state::text IN ('CANCELED', 'COMPLETE', 'EXECUTOR_ERROR', 'PREEMPTED', 'SYSTEM_ERROR')
            AND coalesce(OLD.state::text, '')
                NOT IN ('CANCELED', 'COMPLETE', 'EXECUTOR_ERROR', 'PREEMPTED', 'SYSTEM_ERROR')
            AND current_setting('wes_daemon.writes', true) IS DISTINCT FROM 'on'
        )
        EXECUTE FUNCTION wes_daemon_announce();
    CREATE TRIGGER wes_daemon_deleted AFTER DELETE ON workflow_runs
        FOR EACH ROW WHEN (
            coalesce(OLD.state::text, '')
                NOT IN ('CANCELED', 'COMPLETE', 'EXECUTOR_ERROR', 'PREEMPTED', 'SYSTEM_ERROR')
        )
        EXECUTE FUNCTION wes_daemon_announce();
    IF (SELECT relkind FROM pg_class WHERE oid = 'workflow_runs'::regclass) = 'p' THEN
        CREATE TRIGGER wes_daemon_moved AFTER INSERT ON workflow_runs
            FOR EACH ROW WHEN (NEW.state::text IN ('QUEUED', 'CANCELING', 'CANCELED'))
            EXECUTE FUNCTION wes_daemon_announce();
    END IF;
EXCEPTION WHEN insufficient_privilege OR wrong_object_type OR undefined_function THEN
    RAISE WARNING USING MESSAGE = 'wes-daemon is not told of runs that were ended or deleted: ' || SQLERRM;
END
$interruptions$
"""


def upgrade() -> None:
    """Daemons of the previous version may run meanwhile: they do not use the new column."""
    _remember_missing_rows()
    _create_late_updates()
    _index_left_runs()
    if op.get_context().dialect.name == "postgresql":
        _lengthen_run_ids()
        op.execute(_INTERRUPTIONS)


def _remember_missing_rows() -> None:
    op.add_column("polls", sa.Column("row_missing_since", _MOMENT))
    missing = sa.text("row_missing_since IS NOT NULL")
    op.create_index("polls_row_missing", "polls", ["run_id"], postgresql_where=missing, sqlite_where=missing)


def _lengthen_run_ids() -> None:
    # SQLite does not enforce lengths. `Schema.upgrade` then gives the columns the type that a service's ids have.
    for table in _TABLES_ABOUT_RUNS:
        op.alter_column(table, "run_id", type_=sa.Text)


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
    )
    op.create_index("late_updates_run", "late_updates", ["run_id", "seq"])
    op.create_index("late_updates_due", "late_updates", ["not_before"])


def _index_left_runs() -> None:
    """Index the runs that another daemon has left. Daemons of the previous version use the other indexes."""
    inherited = sa.text("state = 'INHERITED'")
    op.create_index(
        "submissions_inherited",
        "submissions",
        ["run_id"],
        postgresql_where=inherited,
        sqlite_where=inherited,
    )
    create_index("wes_daemon_runs_unknown", "workflow_runs", ["run_id"], "state = 'UNKNOWN'")
