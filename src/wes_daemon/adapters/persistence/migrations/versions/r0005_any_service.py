"""Adapts the daemon's tables to the tables of any WES service."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")

# As in `wes_daemon.adapters.persistence.service_objects`, repeated here: a migration never changes.
# The triggers read no table, so that no statement of a service can fail because of them.
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
EXCEPTION WHEN insufficient_privilege OR wrong_object_type OR undefined_function THEN
    RAISE WARNING USING MESSAGE = 'wes-daemon is not told of runs that were ended or deleted: ' || SQLERRM;
END
$interruptions$
"""


def upgrade() -> None:
    """Daemons of the previous version may run meanwhile: they do not use the new column."""
    _remember_missing_rows()
    _report_interruptions()


def _remember_missing_rows() -> None:
    op.add_column("polls", sa.Column("row_missing_since", _MOMENT))
    missing = sa.text("row_missing_since IS NOT NULL")
    op.create_index("polls_row_missing", "polls", ["run_id"], postgresql_where=missing, sqlite_where=missing)


def _report_interruptions() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(_INTERRUPTIONS)
