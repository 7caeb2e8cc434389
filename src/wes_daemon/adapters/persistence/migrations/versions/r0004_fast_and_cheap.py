"""Adds notifications about queued and cancelled runs, shared quotas, watermarks, and the age of polled runs."""

import sqlalchemy as sa
from alembic import op

from wes_daemon.adapters.persistence.migrations.service_tables import create_index

revision = "0004"
down_revision = "0003"

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")

# The channel is that of `wes_daemon.adapters.persistence.change_feed`, repeated here: a migration never changes.
_ANNOUNCE = """
CREATE FUNCTION wes_daemon_announce() RETURNS trigger LANGUAGE plpgsql AS $announce$
BEGIN
    NOTIFY wes_daemon_runs;
    RETURN NULL;
END
$announce$
"""

# A statement that inserts many rows sends one notification. An update sends one only if it queues or cancels a run.
# The role that upgrades may lack the privilege for a table that a service owns. Then the daemon relies on polling.
_LISTENERS = """
DO $listeners$
BEGIN
    CREATE TRIGGER wes_daemon_inserted AFTER INSERT ON workflow_runs
        FOR EACH STATEMENT EXECUTE FUNCTION wes_daemon_announce();
    CREATE TRIGGER wes_daemon_changed AFTER UPDATE OF state ON workflow_runs
        FOR EACH ROW WHEN (NEW.state::text IN ('QUEUED', 'CANCELING') AND OLD.state IS DISTINCT FROM NEW.state)
        EXECUTE FUNCTION wes_daemon_announce();
EXCEPTION WHEN insufficient_privilege OR wrong_object_type THEN
    RAISE WARNING USING MESSAGE = 'wes-daemon is not told of new runs: ' || SQLERRM;
END
$listeners$
"""


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(_ANNOUNCE)
        op.execute(_LISTENERS)
    create_index("wes_daemon_runs_cancelling", "workflow_runs", ["run_id"], "state = 'CANCELING'")
    # Existing rows have no age, and are polled as rarely as old runs.
    op.add_column("polls", sa.Column("followed_since", _MOMENT))
    op.create_index("polls_due", "polls", ["provider", "next_check_at"])
    op.drop_index("polls_next_check_at", "polls")
    op.create_table(
        "provider_budgets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("tokens", sa.Float, nullable=False),
        sa.Column("kept", sa.Float, nullable=False),
        sa.Column("counted_at", _MOMENT, nullable=False),
        sa.Column("peak", sa.Float),
        sa.Column("throttled_at", _MOMENT),
        sa.Column("held_until", _MOMENT),
    )
    op.create_table(
        "provider_looks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("seen_until", _MOMENT, nullable=False),
        sa.Column("begun_at", _MOMENT, nullable=False),
    )
