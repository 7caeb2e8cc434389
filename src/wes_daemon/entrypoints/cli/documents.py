"""The JSON documents of `--json`: the names of WES 1.1.0 where it has them, and an object `daemon` for the rest.

Source: schemas `RunLog`, `RunSummary`, `RunRequest` and `TaskLog` of WES 1.1.0. Unknown values are left out.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.domain.addresses import public_values
from wes_daemon.domain.runs import RunId, TaskLog, Unreadable, WorkflowRequest

Document = dict[str, Any]

QUEUED = "queued"
"""The reason in the first timeline entry of a run that this package queued."""


def run_summary(record: RunRecord) -> Document:
    """Return the document of one run in a list."""
    run = record.run
    return _known(
        run_id=run.id,
        state=run.state.value,
        start_time=instant(run.start_time),
        end_time=instant(run.end_time),
        tags=public_values(_stored(run.tags)),
        request=_request(run.request),
        daemon=_daemon(record),
    )


def run_log(record: RunRecord) -> Document:
    """Return the document of everything about one run."""
    run, details = record.run, record.details
    return _known(
        run_id=run.id,
        request={**_request(run.request), **_parameters(run.request), **_known(tags=public_values(_stored(run.tags)))},
        state=run.state.value,
        run_log=_known(
            start_time=instant(run.start_time),
            end_time=instant(run.end_time),
            stdout=details.stdout,
            stderr=details.stderr,
            exit_code=details.exit_code,
            system_logs=list(details.system_logs) or None,
        ),
        task_logs=[task_log(task) for task in record.tasks],
        outputs=dict(details.outputs),
        daemon={
            **_daemon(record),
            "attachments": list(record.attachments),
            "timeline": [_entry(entry) for entry in record.timeline],
        },
    )


def deleted_run(run_id: RunId, timeline: Sequence[TimelineEntry]) -> Document:
    """Return the document of a run whose row was deleted: what is left of it."""
    return {"run_id": run_id, "daemon": {"row_deleted": True, "timeline": [_entry(entry) for entry in timeline]}}


def task_log(task: TaskLog) -> Document:
    """Return the document of one task."""
    return _known(
        id=task.id,
        name=task.name,
        cmd=list(task.cmd) or None,
        start_time=instant(task.start_time),
        end_time=instant(task.end_time),
        stdout=task.stdout,
        stderr=task.stderr,
        exit_code=task.exit_code,
        system_logs=list(task.system_logs) or None,
    )


def instant(at: datetime | None, *, timespec: str = "seconds") -> str | None:
    """Return a time as WES writes it: in UTC, with a Z."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def queued_at(record: RunRecord) -> datetime | None:
    """Return the time at which the run was queued, from its timeline, or else when the daemon first read it."""
    return next((entry.at for entry in record.timeline if entry.why == QUEUED), record.queued_at)


def json_text(document: object) -> str:
    """Return the document as JSON; letters stay as they are, and control characters are escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def _request(request: WorkflowRequest) -> Document:
    return _known(
        workflow_url=request.workflow_url,
        workflow_type=request.workflow_type,
        workflow_type_version=request.workflow_type_version,
        workflow_engine=request.workflow_engine,
        workflow_engine_version=request.workflow_engine_version,
    )


def _parameters(request: WorkflowRequest) -> Document:
    return _known(
        workflow_params=_stored(request.workflow_params),
        workflow_engine_parameters=public_values(_stored(request.workflow_engine_parameters)) or None,
    )


def _daemon(record: RunRecord) -> Document:
    run = record.run
    return _known(
        provider=run.provider or record.destination,
        provider_id=run.provider_run_id,
        provider_status=record.provider_status,
        provider_message=record.provider_message or None,
        error=run.error,
        queued_at=instant(queued_at(record)),
        submission=record.submission,
        attempts=record.attempts or None,
        last_reason=record.last_reason,
        unserved=record.unserved,
        row_behind=record.row_behind,
    )


def _entry(entry: TimelineEntry) -> Document:
    return _known(
        at=instant(entry.at, timespec="milliseconds"),
        before=entry.before,
        after=entry.after,
        by=entry.by,
        why=entry.why,
        provider_status=entry.provider_status,
    )


def _stored(value: object) -> object:
    """Return the value of a JSON column; a text that is not JSON is returned as it is."""
    if isinstance(value, Unreadable):
        return value.text
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _known(**values: object) -> Document:
    return {name: value for name, value in values.items() if value is not None}
