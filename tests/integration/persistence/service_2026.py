"""The WES service of February 2026 on PostgreSQL: its tables, what it writes and what it reads."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, make_url, text

from tests.integration.conftest import PostgreSQL, as_text
from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.relations import execute
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.service_views import service_views_sql
from wes_daemon.adapters.persistence.tables import daemon_metadata

PAGE = Path(__file__).parents[3] / "docs" / "service-2026.md"

_PASSWORD = "chosen-by-the-test"
_numbers = count(1)

# Neither a NOT NULL column for which only the service's program has a value nor a foreign key is left out.
_TABLES = """
CREATE TYPE workflowstate AS ENUM ('UNKNOWN', 'QUEUED', 'INITIALIZING', 'RUNNING', 'PAUSED', 'COMPLETE',
    'EXECUTOR_ERROR', 'SYSTEM_ERROR', 'CANCELED', 'CANCELING', 'PREEMPTED');
CREATE TABLE workflow_runs (
    id VARCHAR(36) PRIMARY KEY, state workflowstate NOT NULL, workflow_type VARCHAR(50) NOT NULL,
    workflow_type_version VARCHAR(50) NOT NULL, workflow_url TEXT NOT NULL, workflow_params JSON,
    workflow_engine VARCHAR(50), workflow_engine_version VARCHAR(50), workflow_engine_parameters JSON,
    tags JSON NOT NULL, start_time TIMESTAMP, end_time TIMESTAMP, stdout_url TEXT, stderr_url TEXT, exit_code INTEGER,
    system_logs JSON NOT NULL, outputs JSON, user_id VARCHAR(255), created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
CREATE INDEX ix_workflow_runs_state ON workflow_runs (state);
CREATE TABLE task_logs (
    id VARCHAR(36) PRIMARY KEY, run_id VARCHAR(36) NOT NULL REFERENCES workflow_runs (id) ON DELETE CASCADE,
    name VARCHAR(255) NOT NULL, cmd JSON, start_time TIMESTAMP, end_time TIMESTAMP, stdout_url TEXT, stderr_url TEXT,
    exit_code INTEGER, system_logs JSON NOT NULL, tes_uri TEXT, created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
CREATE INDEX ix_task_logs_run_id ON task_logs (run_id);
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
INSERT INTO alembic_version VALUES ('001')
"""

_INSERT = text(
    "INSERT INTO workflow_runs (id, state, workflow_type, workflow_type_version, workflow_url, workflow_params,"
    " workflow_engine_parameters, tags, system_logs, outputs, user_id, created_at, updated_at)"
    " VALUES (:id, :state, 'CWL', 'v1.2', :url, :params, :engine_parameters, :tags, :system_logs, :outputs, 'ann',"
    " :created_at, :created_at)"
)


class Service2026:
    """The service at work on its own tables, which it knows by their own names."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def queue(
        self,
        id: str,
        *,
        state: str = "QUEUED",
        url: str = "file:///echo.cwl",
        created_at: str = "2026-02-01 12:00:00",
        outputs: object = None,
        **json_values: object,
    ) -> None:
        """Insert a run, as the service does: with all that its program fills."""
        given = {"params": {}, "engine_parameters": {}, "tags": {}, "system_logs": [], **json_values}
        row: dict[str, str | None] = {name: json.dumps(value) for name, value in given.items()}
        row["outputs"] = None if outputs is None else json.dumps(outputs)
        self._execute(_INSERT, id=id, state=state, url=url, created_at=created_at, **row)

    def set_state(self, id: str, state: str) -> None:
        """Change the state, such as to cancel a run."""
        self._execute(text("UPDATE workflow_runs SET state = :state WHERE id = :id"), id=id, state=state)

    def delete(self, id: str) -> None:
        """Delete the run with its task logs."""
        self._execute(text("DELETE FROM workflow_runs WHERE id = :id"), id=id)

    def run(self, id: str) -> Mapping[str, Any]:
        """All that the service reads of a run."""
        with self.engine.connect() as connection:
            found = connection.execute(text("SELECT * FROM workflow_runs WHERE id = :id"), {"id": id})
            return dict(found.mappings().one())

    def tasks(self, id: str) -> Sequence[Mapping[str, Any]]:
        """The task logs of a run, in the order in which the service lists them."""
        select = text("SELECT * FROM task_logs WHERE run_id = :id ORDER BY created_at")
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(select, {"id": id}).mappings()]

    def states(self) -> Mapping[str, str]:
        """The state of each run."""
        with self.engine.connect() as connection:
            return {row.id: row.state for row in connection.execute(text("SELECT id, state FROM workflow_runs"))}

    def _execute(self, statement: Any, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(statement, values)


@dataclass(frozen=True)
class Installation:
    """The service's database, in which the daemon has a role and a schema of its own."""

    service: Service2026
    daemon_uri: URL

    def empty(self) -> None:
        """Delete all rows, of whatever table."""
        deletions = "; ".join(f"DELETE FROM daemon.{table.name}" for table in daemon_metadata.sorted_tables)
        execute(self.service.engine, f"TRUNCATE workflow_runs, task_logs; {deletions}")


@contextmanager
def installed(server: PostgreSQL) -> Iterator[Installation]:
    """The service and the daemon, set up as the page in `docs` says."""
    with service_and_role(server) as installation, disposed(engine_of(installation)) as engine:
        Schema(engine).upgrade()
        install_views(engine)
        yield installation


@contextmanager
def service_and_role(server: PostgreSQL) -> Iterator[Installation]:
    """The service, and the role and the schema of the daemon, in which is nothing."""
    uri, role = server.create(), f"wes_daemon_{os.getpid()}_{next(_numbers)}"
    with disposed(make_engine(uri, connections=5)) as engine:
        execute(engine, _TABLES)
        execute(engine, _first_step(role))
        yield Installation(Service2026(engine), make_url(uri).set(username=role, password=_PASSWORD))
        execute(engine, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
    server.drop(uri)


def engine_of(installation: Installation) -> Engine:
    """The daemon's engine."""
    return make_engine(as_text(installation.daemon_uri), connections=20)


def install_views(engine: Engine) -> None:
    """Execute the statements that `wes-daemon db service-views` prints, as psql does."""
    with closing(engine.raw_connection()) as driver:
        # Not as a statement of SQLAlchemy: the engine would begin a transaction, and the statements begin their own.
        driver.cursor().execute(service_views_sql())
        driver.commit()


def _first_step(role: str) -> str:
    [statements] = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(statements).replace("a password of your own", _PASSWORD).replace("wes_daemon", role)
