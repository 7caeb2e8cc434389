"""A WES service's own tables, as its developers may have made them, and what the service goes on doing with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from tests.integration.conftest import Database


@dataclass(frozen=True)
class ColumnTypes:
    """What a service declares its columns as."""

    json: str = "JSON"
    time: str = "TIMESTAMP"
    run_id: str = "VARCHAR(36)"
    state: str = "VARCHAR(20)"


def create_tables(connection: Connection, types: ColumnTypes | None = None) -> None:
    """Tables with columns that the daemon knows nothing of, and an Alembic revision of the service's own."""
    types = types or ColumnTypes()
    connection.execute(
        text(
            f"CREATE TABLE workflow_runs (id_of_owner INTEGER, run_id {types.run_id} PRIMARY KEY,"
            f" state {types.state} NOT NULL, workflow_params {types.json}, workflow_type VARCHAR(50) NOT NULL,"
            " workflow_type_version VARCHAR(20) NOT NULL, workflow_engine VARCHAR(50),"
            " workflow_engine_version VARCHAR(20), workflow_url VARCHAR(500) NOT NULL,"
            f" tags {types.json}, start_time {types.time}, end_time {types.time}, note TEXT DEFAULT 'ours')"
        )
    )
    connection.execute(
        text(
            "CREATE TABLE task_logs (id VARCHAR(36) PRIMARY KEY,"
            f" run_id {types.run_id} REFERENCES workflow_runs (run_id), name VARCHAR(200) NOT NULL,"
            f" cmd {types.json}, start_time {types.time}, end_time {types.time}, stdout VARCHAR(500),"
            f" stderr VARCHAR(500), exit_code INTEGER, system_logs {types.json}, note TEXT)"
        )
    )
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
    connection.execute(text("INSERT INTO alembic_version VALUES ('of-the-service')"))


def queue_runs(connection: Connection, ids: Sequence[str], state: str = "QUEUED") -> None:
    """Insert runs, with one task log each."""
    connection.execute(
        text(
            "INSERT INTO workflow_runs (run_id, state, workflow_params, workflow_type, workflow_type_version,"
            " workflow_url, tags, start_time) VALUES (:id, :state, :params, 'CWL', 'v1.2', 'file:///echo.cwl',"
            " :tags, '2026-01-01 12:00:00')"
        ),
        [{"id": id, "state": state, "params": '{"n":  1.0}', "tags": '{"b": 1, "a":"é"}'} for id in ids],
    )
    connection.execute(
        text("INSERT INTO task_logs (id, run_id, name, cmd) VALUES (:log, :id, 'align', '[\"bwa\"]')"),
        [{"log": f"log-{id}", "id": id} for id in ids],
    )


def everything_stored(connection: Connection, database: Database) -> Mapping[str, Sequence[Any]]:
    """Every row of the service's tables as it lies there: where, written by which transaction, with which bytes."""
    tables = ("workflow_runs", "task_logs", "alembic_version")
    if database.kind == "postgresql":
        select = "SELECT ctid::text, xmin::text, t::text FROM {0} t ORDER BY ctid"
        return {table: connection.execute(text(select.format(table))).all() for table in tables}
    return {table: connection.execute(text(f"SELECT rowid, * FROM {table} ORDER BY rowid")).all() for table in tables}


def columns(connection: Connection, table: str) -> Sequence[Any]:
    """How the table's columns are declared."""
    if connection.dialect.name == "sqlite":
        return connection.execute(text(f"PRAGMA table_info({table})")).all()
    declared = "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns"
    return connection.execute(text(f"{declared} WHERE table_name = '{table}' ORDER BY ordinal_position")).all()
