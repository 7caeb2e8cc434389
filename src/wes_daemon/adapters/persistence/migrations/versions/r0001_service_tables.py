"""Creates the tables of a WES service if they do not exist. Existing tables only get indexes.

The service continues to write rows as before, without the daemon's columns.
"""

import sqlalchemy as sa
from alembic import op

from wes_daemon.adapters.persistence.migrations.service_indexes import create_index

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_workflow_runs()
    _create_task_logs()
    _index_workflow_runs("queued", "state = 'QUEUED'")
    _index_workflow_runs("active", "state IN ('INITIALIZING', 'RUNNING', 'PAUSED')")
    _index_workflow_runs("cancelled", "state IN ('CANCELING', 'CANCELED')")
    create_index("wes_daemon_task_logs_run", "task_logs", "run_id")


def _create_workflow_runs() -> None:
    op.create_table(
        "workflow_runs",
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
        if_not_exists=True,
    )


def _create_task_logs() -> None:
    op.create_table(
        "task_logs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("run_id", sa.String(36), sa.ForeignKey("workflow_runs.run_id")),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("cmd", sa.JSON),
        sa.Column("start_time", sa.DateTime),
        sa.Column("end_time", sa.DateTime),
        sa.Column("stdout", sa.String(500)),
        sa.Column("stderr", sa.String(500)),
        sa.Column("exit_code", sa.Integer),
        sa.Column("system_logs", sa.JSON),
        if_not_exists=True,
    )


def _index_workflow_runs(name: str, condition: str) -> None:
    # The queries write the same states in the same order: SQLite compares the conditions as text.
    create_index(f"wes_daemon_runs_{name}", "workflow_runs", "run_id", condition)
