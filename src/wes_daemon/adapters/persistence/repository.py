"""The runs as a WES service reads them, with the daemon's data about them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Select, Update, func, insert, select, update

from wes_daemon.adapters.persistence.bulk import insert_all, put, rows_of_table, table_rows, values_from
from wes_daemon.adapters.persistence.expressions import by_key, in_list, in_list_parameter
from wes_daemon.adapters.persistence.mapping import (
    entry_values,
    run_from,
    run_summary_from,
    select_run_summaries,
    select_runs,
    state_from,
    task_values,
)
from wes_daemon.adapters.persistence.tables import (
    run_attachments,
    run_details,
    run_events,
    task_logs,
    workflow_runs,
)
from wes_daemon.application.ports.errors import ConcurrentUpdate, Locked, RunLocked, RunNotFound, StorageRefused
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.domain.runs import Attachment, Run, RunId, RunSummary

_IDS = "run_ids"
# A daemon or a service that works keeps a row locked for milliseconds.
_ROW_LOCK_TIMEOUT_MS = 3_000
_SAVED = ("state", "tags", "start_time", "end_time")
"""The columns of a run that may change. Its provider is stored with its submission."""

_saved = attrgetter(*_SAVED)


class SqlRunRepository:
    """`RunRepository` in `workflow_runs`, `task_logs` and the daemon's tables about runs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, run: Run, *, attachments: Sequence[Attachment], entry: TimelineEntry) -> None:
        insert_all(self._connection, workflow_runs, [_row_of(run)])
        parameters = run.request.workflow_engine_parameters
        details = [{"run_id": run.id, "workflow_engine_parameters": parameters}]
        put(self._connection, run_details, details, key="run_id")
        for attachment in attachments:
            self._connection.execute(
                insert(run_attachments).values(run_id=run.id, name=attachment.name, content=attachment.content)
            )
        self._add_entry(run.id, entry)

    def get(self, run_id: RunId) -> Run:
        self._lock(run_id)
        # A second statement: a statement that waited for the lock sees the current row, but the joined tables as they
        # were before the wait.
        row = self._connection.execute(select_runs().where(workflow_runs.c.run_id == run_id).limit(1)).one()
        return run_from(row)

    def get_summaries(self, run_ids: Collection[RunId]) -> Mapping[RunId, RunSummary]:
        return self._summaries(_locked_summaries(), run_ids)

    def read_summaries(self, run_ids: Collection[RunId]) -> Mapping[RunId, RunSummary]:
        return self._summaries(_summaries(), run_ids)

    def write(self, updates: Collection[RunUpdate]) -> None:
        for rows in _by_columns({"run_id": each.before.id, **_changes(each.before, each.after)} for each in updates):
            self._update(rows)
        for rows in _by_columns(_details_row(each) for each in updates):
            put(self._connection, run_details, rows, key="run_id")
        tasks = [task_values(each.before.id, task) for each in updates for task in each.tasks]
        put(self._connection, task_logs, tasks, key="id")
        entries = [entry_values(each.before.id, each.entry) for each in updates if each.entry is not None]
        insert_all(self._connection, run_events, entries)

    def note_deleted(self, reasons: Mapping[RunId, str], *, at: datetime, by: str) -> None:
        states = {row.run_id: row.to_state for row in self._connection.execute(_last_entries(list(reasons)))}
        entries = []
        for run_id, why in reasons.items():
            state = state_from(states.get(run_id))
            entry = TimelineEntry(at=at, before=state, after=state, by=by, why=why)
            entries.append(entry_values(run_id, entry))
        insert_all(self._connection, run_events, entries)

    def is_empty(self) -> bool:
        return self._connection.execute(select(workflow_runs.c.run_id).limit(1)).first() is None

    def attachments(self, run_id: RunId) -> Sequence[Attachment]:
        rows = self._connection.execute(
            select(run_attachments).where(run_attachments.c.run_id == run_id).order_by(run_attachments.c.name)
        )
        return [Attachment(name=row.name, content=row.content) for row in rows]

    def _summaries(self, statement: Select[Any], run_ids: Collection[RunId]) -> Mapping[RunId, RunSummary]:
        rows = self._connection.execute(statement, {_IDS: list(run_ids)}).all()
        return {run.id: run for run in map(run_summary_from, rows)}

    def _update(self, rows: Sequence[Mapping[str, object]]) -> None:
        dialect = self._connection.dialect.name
        statement = _update_statement(dialect, tuple(rows[0]))
        updated = self._connection.execute(
            statement, table_rows(self._connection.dialect, workflow_runs, rows)
        ).rowcount
        # More rows are updated if a partitioned table contains several rows with one run id.
        if updated < len(rows):
            raise self._unchanged([str(row["run_id"]) for row in rows], len(rows) - updated)

    def _unchanged(self, run_ids: Sequence[str], count: int) -> ConcurrentUpdate | StorageRefused:
        """The error for rows that an update has not changed although it raised no error."""
        present = self._connection.execute(_summaries(), {_IDS: run_ids}).all()
        if len({row.run_id for row in present}) < len(run_ids):
            return ConcurrentUpdate(f"{count} of {len(run_ids)} runs have no row any more")
        return StorageRefused(
            f"table workflow_runs: a trigger, a rule or a policy keeps {count} of {len(run_ids)} rows unchanged"
        )

    def _lock(self, run_id: RunId) -> None:
        if self._connection.dialect.name == "postgresql":
            self._connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_ROW_LOCK_TIMEOUT_MS}")
        locked = select(workflow_runs.c.run_id).where(workflow_runs.c.run_id == run_id).with_for_update(key_share=True)
        try:
            found = self._connection.execute(locked).first()
        except Locked as error:
            raise RunLocked(
                f"run {run_id}: another session keeps its row locked, such as an open transaction in psql: "
                "end that transaction and try again"
            ) from error
        if found is None:
            raise RunNotFound(f"run {run_id}: there is no such run")

    def _add_entry(self, run_id: RunId, entry: TimelineEntry) -> None:
        self._connection.execute(insert(run_events).values(entry_values(run_id, entry)))


# These statements are built once, because building one takes longer than sending it.


@cache
def _summaries() -> Select[Any]:
    return select_run_summaries().where(in_list_parameter(workflow_runs.c.run_id, _IDS))


@cache
def _locked_summaries() -> Select[Any]:
    # A service may keep a row locked for any time, and the other rows must not wait for it. The weaker of the two locks
    # for an update is not in the way of a foreign key that refers to the row.
    return _summaries().with_for_update(of=workflow_runs, skip_locked=True, key_share=True)


@cache
def _update_statement(dialect: str, names: tuple[str, ...]) -> Update:
    rows = rows_of_table(dialect, workflow_runs, names)
    return (
        update(workflow_runs)
        .where(by_key(workflow_runs.c.run_id, rows.c.run_id))
        .values(values_from(rows, workflow_runs, [name for name in names if name != "run_id"]))
    )


def _last_entries(run_ids: Sequence[str]) -> Select[Any]:
    of_runs = in_list(run_events.c.run_id, run_ids)
    last = select(func.max(run_events.c.id)).where(of_runs).group_by(run_events.c.run_id)
    return select(run_events.c.run_id, run_events.c.to_state).where(run_events.c.id.in_(last))


def _changes(before: RunSummary, after: RunSummary) -> dict[str, object]:
    columns = zip(_SAVED, _saved(before), _saved(after), strict=True)
    return {name: new for name, old, new in columns if new != old}


def _by_columns(rows: Iterable[Mapping[str, object]]) -> Iterable[Sequence[Mapping[str, object]]]:
    """Group rows by their columns; rows without any column but `run_id` are left out."""
    groups: dict[tuple[str, ...], list[Mapping[str, object]]] = defaultdict(list)
    for row in rows:
        if len(row) > 1:
            groups[tuple(row)].append(row)
    return groups.values()


def _details_row(update: RunUpdate) -> Mapping[str, object]:
    status = {"provider_status": update.provider_status, "provider_message": update.provider_message}
    details = {} if update.details is None else _details_values(update.details)
    return {"run_id": update.before.id, **({} if update.provider_status is None else status), **details}


def _row_of(run: Run) -> dict[str, object]:
    request = run.request
    return {
        "run_id": run.id,
        "state": run.state,
        "workflow_params": request.workflow_params,
        "workflow_type": request.workflow_type,
        "workflow_type_version": request.workflow_type_version,
        "workflow_engine": request.workflow_engine,
        "workflow_engine_version": request.workflow_engine_version,
        "workflow_url": request.workflow_url,
        "tags": run.tags,
        "start_time": run.start_time,
        "end_time": run.end_time,
    }


def _details_values(details: RunDetails) -> Mapping[str, object]:
    return {
        "outputs": details.outputs,
        "stdout": details.stdout,
        "stderr": details.stderr,
        "exit_code": details.exit_code,
        "system_logs": details.system_logs,
    }
