"""Creates the tables of a WES service if they do not exist. Existing tables only get indexes.

The service continues to write rows as before, without the daemon's columns.
"""

import sqlalchemy as sa
from alembic import op

from wes_daemon.adapters.persistence.migrations.service_tables import create_index, create_missing

revision = "0001"
down_revision = None


def upgrade() -> None:
    # If the tables belong to a service they exist, and `db upgrade --sql` must not create them either.
    if op.get_context().opts["creates_service_tables"]:
        metadata = sa.MetaData()
        create_missing(_workflow_runs(metadata), _task_logs(metadata))
    _index_workflow_runs("queued", "state = 'QUEUED'")
    _index_workflow_runs("active", "state IN ('INITIALIZING', 'RUNNING', 'PAUSED')")
    _index_workflow_runs("cancelled", "state IN ('CANCELING', 'CANCELED')")
    create_index("wes_daemon_task_logs_run", "task_logs", ["run_id"])


def _workflow_runs(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        "workflow_runs",
        metadata,
        sa.Column("run_id", sa.String(36), primary_key=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("workflow_params", sa.JSON),
        sa.Column("workflow_type", sa.String(50), nullable=False),
        sa.Column("workflow_type_version", sa.String(20), nullable=False),
        sa.Column("workflow_engine", sa.String(50)),
        sa.Column("workflow_engine_version", sa.String(20)),
        sa.Column("workflow_url", sa.String(500), nullable=False),
        sa.Column("tags", sa.JSON),
        sa.Column("start_time", sa.DateTime),
        sa.Column("end_time", sa.DateTime),
    )


def _task_logs(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        "task_logs",
        metadata,
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("run_id", sa.String(36)),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("cmd", sa.JSON),
        sa.Column("start_time", sa.DateTime),
        sa.Column("end_time", sa.DateTime),
        sa.Column("stdout", sa.String(500)),
        sa.Column("stderr", sa.String(500)),
        sa.Column("exit_code", sa.Integer),
        sa.Column("system_logs", sa.JSON),
    )


def _index_workflow_runs(name: str, condition: str) -> None:
    # The queries write the same states in the same order: SQLite compares the conditions as text.
    create_index(f"wes_daemon_runs_{name}", "workflow_runs", ["run_id"], condition)
