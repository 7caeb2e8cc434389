"""The runs as a WES service reads them."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, insert, select, update

from wes_daemon.adapters.persistence.expressions import among, insert_into, rows_like
from wes_daemon.adapters.persistence.mapping import entry_values, run_from, select_runs, task_values
from wes_daemon.adapters.persistence.tables import (
    run_attachments,
    run_details,
    run_events,
    task_logs,
    workflow_runs,
)
from wes_daemon.adapters.persistence.types import storable_json
from wes_daemon.application.ports.errors import ConcurrentUpdate, RunNotFound
from wes_daemon.application.ports.persistence import News, TimelineEntry
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.domain.runs import Attachment, Run, RunId, TaskLog
from wes_daemon.domain.states import RunState

_SAVED = ("state", "tags", "start_time", "end_time")
"""What may change in a run after it was stored; who holds it is written with its submission."""


class SqlRunRepository:
    """`RunRepository` in `workflow_runs` and the tables beside it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, run: Run, *, attachments: Sequence[Attachment], entry: TimelineEntry) -> None:
        self._connection.execute(insert(workflow_runs).values(_row_of(run)))
        parameters = run.request.workflow_engine_parameters
        self._put(run_details, [{"run_id": run.id, "workflow_engine_parameters": parameters}], key="run_id")
        for attachment in attachments:
            self._connection.execute(
                insert(run_attachments).values(run_id=run.id, name=attachment.name, content=attachment.content)
            )
        self._note(run.id, entry)

    def get(self, run_id: RunId) -> Run:
        self._lock(run_id)
        # A second statement: one that waited for the lock would see the row as it is now, and what the daemon
        # knows of it as it was before.
        row = self._connection.execute(select_runs().where(workflow_runs.c.run_id == run_id)).one()
        return run_from(row)

    def get_many(self, run_ids: Collection[RunId]) -> Mapping[RunId, Run]:
        wanted = among(workflow_runs.c.run_id, run_ids)
        # In one order, so that two who lock the same rows wait for each other and not for ever.
        held = select(workflow_runs.c.run_id).where(wanted).order_by(workflow_runs.c.run_id).with_for_update()
        locked = self._connection.execute(held).scalars().all()
        rows = self._connection.execute(select_runs().where(among(workflow_runs.c.run_id, locked)))
        return {run.id: run for run in map(run_from, rows)}

    def write(self, news: Collection[News]) -> None:
        by_columns: dict[tuple[str, ...], list[News]] = defaultdict(list)
        for each in news:
            by_columns[tuple(_changes(each.before, each.after))].append(each)
        for columns, changed in by_columns.items():
            if columns:
                self._update(columns, changed)
        self._put(run_details, [_words(each) for each in news if each.provider_status is not None], key="run_id")
        detailed = [(each.before.id, each.details, each.tasks) for each in news if each.details is not None]
        self._put(run_details, [_details_values(id, details) for id, details, _ in detailed], key="run_id")
        self._put(task_logs, [task_values(id, task) for id, _, tasks in detailed for task in tasks], key="id")
        if entries := [entry_values(each.before.id, each.entry) for each in news if each.entry is not None]:
            self._connection.execute(insert(run_events), entries)

    def _update(self, columns: Sequence[str], changed: Sequence[News]) -> None:
        rows = [{"run_id": each.before.id, **_written(each.after, columns)} for each in changed]
        sent = rows_like(self._connection, workflow_runs, rows, ["run_id", *columns])
        done = self._connection.execute(
            update(workflow_runs)
            .where(workflow_runs.c.run_id == sent.c.run_id)
            .values({name: sent.c[name] for name in columns})
        )
        if done.rowcount != len(changed):
            raise ConcurrentUpdate(f"{len(changed) - done.rowcount} of {len(changed)} rows have gone")

    def attachments(self, run_id: RunId) -> Sequence[Attachment]:
        rows = self._connection.execute(
            select(run_attachments).where(run_attachments.c.run_id == run_id).order_by(run_attachments.c.name)
        )
        return [Attachment(name=row.name, content=row.content) for row in rows]

    def save(self, before: Run, after: Run, entry: TimelineEntry) -> None:
        changes = _changes(before, after)
        unmoved = (workflow_runs.c.run_id == before.id, _is_still(before.state))
        if changes:
            written = self._connection.execute(update(workflow_runs).where(*unmoved).values(changes)).rowcount
        else:
            held = select(workflow_runs.c.run_id).where(*unmoved).with_for_update()
            written = len(self._connection.execute(held).all())
        if written == 0:
            self._lock(before.id)
            raise ConcurrentUpdate(f"run {before.id}: it is no longer {before.state}")
        self._note(before.id, entry)

    def _lock(self, run_id: RunId) -> None:
        held = select(workflow_runs.c.run_id).where(workflow_runs.c.run_id == run_id).with_for_update()
        if self._connection.execute(held).first() is None:
            raise RunNotFound(f"run {run_id}: there is no such run")

    def _put(self, table: Table, rows: Sequence[Mapping[str, Any]], *, key: str) -> None:
        """Insert the rows, or update those columns that they name where the key is known."""
        if not rows:
            return
        statement = insert_into(self._connection, table)
        named = {column: statement.excluded[column] for column in rows[0] if column != key}
        written = statement.on_conflict_do_update(index_elements=[key], set_=named)
        # With something to return many rows go in one statement; without it the driver sends one after the other.
        self._connection.execute(written.returning(table.c[key]), list(rows)).close()

    def _note(self, run_id: RunId, entry: TimelineEntry) -> None:
        self._connection.execute(insert(run_events).values(entry_values(run_id, entry)))


def _is_still(state: RunState) -> ColumnElement[bool]:
    """Whether the row is in this state; one whose word is none of ours is read as `UNKNOWN`."""
    if state is RunState.UNKNOWN:
        return workflow_runs.c.state.not_in([word.value for word in RunState if word is not RunState.UNKNOWN])
    return workflow_runs.c.state == state


def _changes(before: Run, after: Run) -> dict[str, object]:
    return {name: getattr(after, name) for name in _SAVED if getattr(after, name) != getattr(before, name)}


def _written(run: Run, columns: Sequence[str]) -> dict[str, object]:
    values = {name: getattr(run, name) for name in columns}
    return values | ({"tags": storable_json(run.tags)} if "tags" in columns else {})


def _words(news: News) -> dict[str, object]:
    words = {"provider_status": news.provider_status, "provider_message": news.provider_message}
    return {"run_id": news.before.id, **words}


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


def _details_values(run_id: RunId, details: RunDetails) -> dict[str, object]:
    return {
        "run_id": run_id,
        "outputs": details.outputs,
        "stdout": details.stdout,
        "stderr": details.stderr,
        "exit_code": details.exit_code,
        "system_logs": details.system_logs,
    }
