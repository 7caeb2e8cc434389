"""Adapts the daemon's tables to the tables of any WES service."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# A row that changes its partition fires the row triggers for DELETE and INSERT, and no trigger for UPDATE.
_ANNOUNCE_MOVED_RUNS = """
DO $moved$
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'workflow_runs'::regclass) = 'p' THEN
        DROP TRIGGER IF EXISTS wes_daemon_moved ON workflow_runs;
        CREATE TRIGGER wes_daemon_moved AFTER INSERT ON workflow_runs
            FOR EACH ROW WHEN (NEW.state::text IN ('QUEUED', 'CANCELING', 'CANCELED'))
            EXECUTE FUNCTION wes_daemon_announce();
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING USING MESSAGE = 'wes-daemon is not told of runs that change their partition: ' || SQLERRM;
END
$moved$
"""

_TABLES_ABOUT_RUNS = ("submissions", "polls", "run_details", "run_attachments", "run_events")


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        _lengthen_run_ids()
        op.execute(_ANNOUNCE_MOVED_RUNS)


def _lengthen_run_ids() -> None:
    # SQLite does not enforce lengths. `Schema.upgrade` then gives the columns the type that a service's ids have.
    for table in _TABLES_ABOUT_RUNS:
        op.alter_column(table, "run_id", type_=sa.Text)
