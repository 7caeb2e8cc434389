"""The runs as a WES service reads them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, insert, select, update

from wes_daemon.adapters.persistence.expressions import insert_into
from wes_daemon.adapters.persistence.mapping import entry_values, run_from, select_runs, task_values
from wes_daemon.adapters.persistence.tables import (
    run_attachments,
    run_details,
    run_events,
    task_logs,
    workflow_runs,
)
from wes_daemon.application.ports.errors import ConcurrentUpdate, RunNotFound
from wes_daemon.application.ports.persistence import TimelineEntry
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

    def save_details(self, run_id: RunId, details: RunDetails, tasks: Sequence[TaskLog]) -> None:
        # The row must not be deleted between its task logs and the commit.
        self._lock(run_id)
        self._put(run_details, [_details_values(run_id, details)], key="run_id")
        self._put(task_logs, [task_values(run_id, task) for task in tasks], key="id")

    def note_provider_status(self, run_id: RunId, provider_status: str, message: str) -> None:
        values = {"run_id": run_id, "provider_status": provider_status, "provider_message": message}
        self._put(run_details, [values], key="run_id")

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
        self._connection.execute(statement.on_conflict_do_update(index_elements=[key], set_=named), list(rows))

    def _note(self, run_id: RunId, entry: TimelineEntry) -> None:
        self._connection.execute(insert(run_events).values(entry_values(run_id, entry)))


def _is_still(state: RunState) -> ColumnElement[bool]:
    """Whether the row is in this state; one whose word is none of ours is read as `UNKNOWN`."""
    if state is RunState.UNKNOWN:
        return workflow_runs.c.state.not_in([word.value for word in RunState if word is not RunState.UNKNOWN])
    return workflow_runs.c.state == state


def _changes(before: Run, after: Run) -> dict[str, object]:
    return {name: getattr(after, name) for name in _SAVED if getattr(after, name) != getattr(before, name)}


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
