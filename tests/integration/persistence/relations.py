"""What a WES service may have in place of tables, on PostgreSQL: partitioned tables, and views with triggers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine, text

from tests.integration.conftest import PostgreSQL, as_text
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.transactions import writing

_RUN_COLUMNS = """
    run_id VARCHAR(36) NOT NULL, state VARCHAR(20) NOT NULL, workflow_params JSON, workflow_type VARCHAR(50) NOT NULL,
    workflow_type_version VARCHAR(20) NOT NULL, workflow_engine VARCHAR(50), workflow_engine_version VARCHAR(20),
    workflow_url VARCHAR(500) NOT NULL, tags JSON, start_time TIMESTAMP, end_time TIMESTAMP,
    submitted_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
"""
_TASK_COLUMNS = """
    id VARCHAR(36) NOT NULL, run_id VARCHAR(36), name VARCHAR(200) NOT NULL, cmd JSON, start_time TIMESTAMP,
    end_time TIMESTAMP, stdout VARCHAR(500), stderr VARCHAR(500), exit_code INTEGER, system_logs JSON,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
"""

_BY_TIME = f"""
CREATE TABLE workflow_runs ({_RUN_COLUMNS}, PRIMARY KEY (run_id, submitted_at)) PARTITION BY RANGE (submitted_at);
CREATE TABLE runs_of_the_past PARTITION OF workflow_runs FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE runs_of_today PARTITION OF workflow_runs FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
CREATE TABLE task_logs ({_TASK_COLUMNS}, PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
CREATE TABLE all_task_logs PARTITION OF task_logs DEFAULT
"""

_BY_STATE = f"""
CREATE TABLE workflow_runs ({_RUN_COLUMNS}, PRIMARY KEY (run_id, state)) PARTITION BY LIST (state);
CREATE TABLE runs_queued PARTITION OF workflow_runs FOR VALUES IN ('QUEUED');
CREATE TABLE runs_running PARTITION OF workflow_runs FOR VALUES IN ('INITIALIZING', 'RUNNING', 'PAUSED');
CREATE TABLE runs_to_cancel PARTITION OF workflow_runs FOR VALUES IN ('CANCELING');
CREATE TABLE other_runs PARTITION OF workflow_runs DEFAULT;
CREATE TABLE task_logs ({_TASK_COLUMNS}, PRIMARY KEY (id))
"""

# The request of a run is in a table of its own.
_JOINED = f"""
CREATE TABLE run_states (
    id VARCHAR(36) PRIMARY KEY, state VARCHAR(20) NOT NULL, tags JSON, start_time TIMESTAMP, end_time TIMESTAMP,
    number SERIAL
);
CREATE TABLE run_requests (
    id VARCHAR(36) PRIMARY KEY REFERENCES run_states (id) ON DELETE CASCADE, params JSON, type VARCHAR(50) NOT NULL,
    type_version VARCHAR(20) NOT NULL, engine VARCHAR(50), engine_version VARCHAR(20), url VARCHAR(500) NOT NULL
);
CREATE TABLE steps ({_TASK_COLUMNS}, PRIMARY KEY (id));
CREATE VIEW workflow_runs AS
    SELECT id AS run_id, state, params AS workflow_params, type AS workflow_type, type_version AS workflow_type_version,
        engine AS workflow_engine, engine_version AS workflow_engine_version, url AS workflow_url, tags, start_time,
        end_time, number AS stored_order
    FROM run_states JOIN run_requests USING (id);
CREATE VIEW task_logs AS SELECT * FROM steps;
CREATE FUNCTION write_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM run_states WHERE id = OLD.run_id;
        RETURN OLD;
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO run_states VALUES (NEW.run_id, NEW.state, NEW.tags, NEW.start_time, NEW.end_time);
        INSERT INTO run_requests VALUES (NEW.run_id, NEW.workflow_params, NEW.workflow_type, NEW.workflow_type_version,
            NEW.workflow_engine, NEW.workflow_engine_version, NEW.workflow_url);
        RETURN NEW;
    END IF;
    UPDATE run_states SET state = NEW.state, tags = NEW.tags, start_time = NEW.start_time, end_time = NEW.end_time
        WHERE id = OLD.run_id;
    UPDATE run_requests SET params = NEW.workflow_params, url = NEW.workflow_url WHERE id = OLD.run_id;
    RETURN NEW;
END
$$;
CREATE TRIGGER write_run INSTEAD OF INSERT OR UPDATE OR DELETE ON workflow_runs
    FOR EACH ROW EXECUTE FUNCTION write_run()
"""


@dataclass(frozen=True)
class Relations:
    """How `workflow_runs` and `task_logs` are made, and the tables that have their rows."""

    statements: str
    tables: str = "workflow_runs, task_logs"


BY_TIME = Relations(_BY_TIME)
BY_STATE = Relations(_BY_STATE)
JOINED = Relations(_JOINED, "run_states, run_requests, steps")


@contextmanager
def made(server: PostgreSQL, relations: Relations) -> Iterator[Engine]:
    """An engine on an up-to-date database with these relations."""
    uri = server.create()
    engine = make_engine(uri, connections=20)
    execute(engine, relations.statements)
    Schema(engine).upgrade()
    Schema(engine).check()
    yield engine
    engine.dispose()
    server.drop(uri)


def execute(engine: Engine, statements: str) -> None:
    """Execute statements in one transaction, as the service's developers do."""
    with writing(engine) as connection:
        connection.execute(text(statements.replace(":", "\\:")))
        connection.commit()


def emptied(engine: Engine, relations: Relations, server: PostgreSQL) -> SqlHarness:
    """An empty store on these relations."""
    server.empty(as_text(engine.url), relations.tables)
    return SqlHarness(engine)
