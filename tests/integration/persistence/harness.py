"""The persistence contract's harness for a SQL database."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, Engine, Table, Text, TextClause, text, update
from sqlalchemy import delete as sql_delete

from tests.contracts.persistence_harness import PersistenceHarness, ServiceRow
from wes_daemon.adapters.persistence.checks import SqlChecks
from wes_daemon.adapters.persistence.queries import SqlRunQueries
from wes_daemon.adapters.persistence.tables import daemon_metadata, daemons
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.adapters.persistence.types import UtcTime
from wes_daemon.adapters.persistence.unit_of_work import SqlUnitsOfWork
from wes_daemon.application.ports.leases import SessionId

_INSERT = text(
    "INSERT INTO workflow_runs (run_id, state, tags, workflow_params, workflow_url, workflow_type,"
    " workflow_type_version, start_time, end_time)"
    " VALUES (:run_id, :state, :tags, :workflow_params, :workflow_url, 'CWL', 'v1.2', :start_time, :end_time)"
)
_UPDATE = text(
    "UPDATE workflow_runs SET state = :state, tags = :tags, workflow_params = :workflow_params,"
    " workflow_url = :workflow_url, start_time = :start_time, end_time = :end_time WHERE run_id = :run_id"
)
_SELECT = text(
    "SELECT run_id, state, CAST(tags AS TEXT) AS tags, CAST(workflow_params AS TEXT) AS workflow_params,"
    " workflow_url, start_time, end_time FROM workflow_runs WHERE run_id = :run_id"
).columns(start_time=DateTime, end_time=DateTime, tags=Text, workflow_params=Text)


class SqlHarness(PersistenceHarness):
    """Time passes by setting back what the daemon's own tables hold; the events of the past stay where they are."""

    def __init__(self, engine: Engine, *, json_is_text: bool = False) -> None:
        self.engine = engine
        self.holds_any_text = json_is_text or engine.dialect.name == "sqlite"

    @property
    def units(self) -> SqlUnitsOfWork:
        return SqlUnitsOfWork(self.engine)

    @property
    def queries(self) -> SqlRunQueries:
        return SqlRunQueries(self.engine)

    @property
    def checks(self) -> SqlChecks:
        """The checks of `verify` on the same store."""
        return SqlChecks(self.engine)

    def tamper(self, table: str, run_id: str, **values: object) -> None:
        held = daemon_metadata.tables[table]
        with writing(self.engine) as connection:
            connection.execute(update(held).where(held.c.run_id == run_id).values(**values))
            connection.commit()

    def delete(self, table: str, run_id: str) -> None:
        """Delete a row of `submissions` or `polls`, as a person might by hand."""
        held = daemon_metadata.tables[table]
        with writing(self.engine) as connection:
            connection.execute(sql_delete(held).where(held.c.run_id == run_id))
            connection.commit()

    def strike_out(self, daemon: SessionId) -> None:
        with writing(self.engine) as connection:
            connection.execute(sql_delete(daemons).where(daemons.c.id == daemon))
            connection.commit()

    def let_pass(self, time: timedelta) -> None:
        with writing(self.engine) as connection:
            for table in daemon_metadata.sorted_tables:
                for column in table.columns:
                    if isinstance(column.type, UtcTime) and column.name not in ("at", "started_at"):
                        connection.execute(self._set_back(table, column.name), {"by": time.total_seconds()})
            connection.commit()

    def put(self, row: ServiceRow) -> None:
        values = self._values(row)
        with writing(self.engine) as connection:
            if connection.execute(_UPDATE, values).rowcount == 0:
                connection.execute(_INSERT, values)
            connection.commit()

    def row(self, run_id: str) -> ServiceRow:
        with self.engine.connect() as connection:
            found = connection.execute(_SELECT, {"run_id": run_id}).mappings().first()
        if found is None:
            raise KeyError(run_id)
        times = {name: _aware(found[name]) for name in ("start_time", "end_time")}
        return ServiceRow(**{**found, **times})

    def remove(self, run_id: str) -> None:
        with writing(self.engine) as connection:
            for table in ("task_logs", "workflow_runs"):
                connection.execute(text(f"DELETE FROM {table} WHERE run_id = :run_id"), {"run_id": run_id})
            connection.commit()

    def _set_back(self, held: Table, column: str) -> TextClause:
        table = self.engine.dialect.identifier_preparer.format_table(held)
        if self.engine.dialect.name == "postgresql":
            return text(f"UPDATE {table} SET {column} = {column} - make_interval(secs => :by)")
        earlier = f"strftime('%Y-%m-%dT%H:%M:%f', {column}, '-' || :by || ' seconds') || '000+00:00'"
        return text(f"UPDATE {table} SET {column} = {earlier}")

    def _values(self, row: ServiceRow) -> Mapping[str, Any]:
        return {**vars(row), "start_time": self._written(row.start_time), "end_time": self._written(row.end_time)}

    def _written(self, moment: datetime | None) -> Any:
        if moment is None:
            return None
        text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        return f"{text}+00:00" if self.engine.dialect.name == "postgresql" else text


def _aware(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
