"""Maps rows to domain objects and back. Reading raises no errors: invalid values become a default or are left out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Null, Row, Select, Text, cast, false, func, null, select

from wes_daemon.adapters.persistence.expressions import by_key, is_one_of, of_same_run
from wes_daemon.adapters.persistence.tables import run_details, submissions, unserved_providers, workflow_runs
from wes_daemon.adapters.persistence.types import object_in_text, read_json_object
from wes_daemon.application.ports.leases import DaemonInfo, Publication, SessionId
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import (
    ProviderRunId,
    ProviderType,
    Run,
    RunId,
    RunSummary,
    TaskId,
    TaskLog,
    WorkflowRequest,
)
from wes_daemon.domain.states import RunState

STATES: Mapping[str, RunState] = {state.value: state for state in RunState}

_NO_TIME = timedelta(0)
_REQUEST_MEMBERS = tuple(member.name for member in fields(WorkflowRequest))
_OBJECTS = ("tags", "workflow_params", "workflow_engine_parameters")

_SUBMISSION_OF_RUN = submissions.c.run_id == workflow_runs.c.run_id
_DETAILS_OF_RUN = run_details.c.run_id == workflow_runs.c.run_id


def select_runs() -> Select[Any]:
    """Rows for `run_from`: the runs as the service stored them, with the daemon's data about them."""
    tables = workflow_runs.outerjoin(submissions, _SUBMISSION_OF_RUN).outerjoin(run_details, _DETAILS_OF_RUN)
    return _select(workflow_runs.c.run_id).select_from(tables)


def select_submitted_runs() -> Select[Any]:
    """As `select_runs`, for each submission; if the run's row was deleted, `is_gone` is true and the rest is null."""
    run = by_key(workflow_runs.c.run_id, submissions.c.run_id)
    details = by_key(run_details.c.run_id, workflow_runs.c.run_id)
    tables = submissions.outerjoin(workflow_runs, run).outerjoin(run_details, details)
    is_gone = workflow_runs.c.run_id.is_(None).label("is_gone")
    return _select(submissions.c.run_id).add_columns(is_gone).select_from(tables)


def _select(run_id: ColumnElement[str]) -> Select[Any]:
    return select(
        run_id,
        *(column for column in workflow_runs.c if column is not workflow_runs.c.run_id),
        submissions.c.provider,
        submissions.c.provider_run_id,
        run_details.c.workflow_engine_parameters,
    )


def select_run_summaries() -> Select[Any]:
    """Rows for `run_summary_from`: the columns that may change, without those that may be large."""
    tables = workflow_runs.outerjoin(submissions, by_key(submissions.c.run_id, workflow_runs.c.run_id))
    return _select_summary(submissions.c.provider, submissions.c.provider_run_id).select_from(tables)


def select_inherited_runs() -> Select[Any]:
    """As `select_run_summaries`, for the runs that another daemon may have submitted, which have no provider yet."""
    tables = submissions.join(workflow_runs, by_key(workflow_runs.c.run_id, submissions.c.run_id))
    inherited = is_one_of(submissions.c.state, SubmissionState.INHERITED)
    return _select_summary(null(), null()).select_from(tables).where(inherited)


def select_new_runs() -> Select[Any]:
    """As `select_run_summaries`, for the runs without a submission, which have no provider yet."""
    submission = of_same_run(submissions.c.run_id, workflow_runs.c.run_id)
    # SQLite permits NULL in a text primary key; such a row cannot be addressed.
    return _select_summary(null(), null()).where(submission.is_(None), workflow_runs.c.run_id.is_not(None))


def _select_summary(provider: ColumnElement[str] | Null, provider_run_id: ColumnElement[str] | Null) -> Select[Any]:
    return select(
        workflow_runs.c.run_id,
        workflow_runs.c.state,
        cast(workflow_runs.c.tags, Text).label("tags"),
        workflow_runs.c.workflow_engine,
        workflow_runs.c.start_time,
        workflow_runs.c.end_time,
        provider.label("provider"),
        provider_run_id.label("provider_run_id"),
    )


def may_have_tag(name: str) -> ColumnElement[bool]:
    """Whether the tags may have a member of this name: a coarse filter that works on any type of column.

    In a JSON string with the text of an object, backslashes precede the quotes.
    """
    text = func.replace(cast(workflow_runs.c.tags, Text), "\\", "", type_=Text)
    return func.coalesce(text.contains(f'"{name}"'), false())


def run_summary_from(row: Sequence[Any]) -> RunSummary:
    run_id, state, tags, workflow_engine, start_time, end_time, provider, provider_run_id = row
    parsed_tags = None if tags is None else read_json_object(tags)
    return RunSummary(
        id=RunId(run_id),
        state=state_from(state),
        tags={} if parsed_tags is None else parsed_tags,
        workflow_engine=_text_from(workflow_engine),
        provider=None if provider_run_id is None else provider_from(provider),
        provider_run_id=None if provider_run_id is None else ProviderRunId(provider_run_id),
        start_time=start_time,
        end_time=end_time,
    )


def run_from(row: Row[Any]) -> Run:
    """The run. Its provider comes from the daemon's tables and not from its tags, which users copy between runs."""
    is_accepted = row.provider_run_id is not None
    return Run(
        id=RunId(row.run_id),
        request=_request_from(row),
        state=state_from(row.state),
        tags={} if row.tags is None else row.tags,
        provider=provider_from(row.provider) if is_accepted else None,
        provider_run_id=ProviderRunId(row.provider_run_id) if is_accepted else None,
        start_time=row.start_time,
        end_time=row.end_time,
    )


def _request_from(row: Row[Any]) -> WorkflowRequest:
    parameters = row.workflow_engine_parameters
    return WorkflowRequest(
        workflow_url=row.workflow_url or "",
        workflow_type=row.workflow_type or "",
        workflow_type_version=row.workflow_type_version or "",
        workflow_params={} if row.workflow_params is None else row.workflow_params,
        workflow_engine=_text_from(row.workflow_engine),
        workflow_engine_version=row.workflow_engine_version,
        workflow_engine_parameters={} if parameters is None else parameters,
    )


def request_values(run: Run) -> dict[str, object]:
    """The parts of the run that are sent to a provider, for a JSON column."""
    request = run.request
    return {"tags": run.tags, **{name: getattr(request, name) for name in _REQUEST_MEMBERS}}


def with_request_values(run: Run, values: object) -> Run:
    """The run with stored `request_values`; unchanged if none were stored."""
    if not isinstance(values, Mapping):
        return run
    # Earlier versions stored texts of objects as they found them.
    stored: dict[str, Any] = {
        name: object_in_text(value) if name in _OBJECTS else value for name, value in values.items()
    }
    request = WorkflowRequest(**{name: stored[name] for name in _REQUEST_MEMBERS})
    return replace(run, request=request, tags=stored["tags"])


def state_from(value: str | None) -> RunState:
    """The state, or `UNKNOWN` for a value that is not a state."""
    # A column of type CHAR(n) pads its values with blanks; SQLite may return bytes.
    return STATES.get(value.rstrip(" "), RunState.UNKNOWN) if isinstance(value, str) else RunState.UNKNOWN


@lru_cache
def provider_from(value: str | None) -> ProviderType | None:
    """The provider, or None for a value that is no provider's name."""
    try:
        return ProviderType(value or "")
    except ValueError:
        return None


def task_from(row: Row[Any]) -> TaskLog:
    return TaskLog(
        id=TaskId(row.id),
        name=row.name or "",
        cmd=_texts_from(row.cmd),
        start_time=row.start_time,
        end_time=row.end_time,
        stdout=row.stdout,
        stderr=row.stderr,
        exit_code=row.exit_code,
        system_logs=_texts_from(row.system_logs),
    )


def task_values(run_id: RunId, task: TaskLog) -> dict[str, object]:
    return {
        "id": task.id,
        "run_id": run_id,
        "name": task.name,
        "cmd": task.cmd,
        "start_time": task.start_time,
        "end_time": task.end_time,
        "stdout": task.stdout,
        "stderr": task.stderr,
        "exit_code": task.exit_code,
        "system_logs": task.system_logs,
    }


def details_from(row: Row[Any] | None) -> RunDetails:
    """The details of the run, without its tasks, which are in another table."""
    if row is None:
        return RunDetails()
    return RunDetails(
        outputs=row.outputs if isinstance(row.outputs, Mapping) else {},
        stdout=row.stdout,
        stderr=row.stderr,
        exit_code=row.exit_code,
        system_logs=_texts_from(row.system_logs),
    )


def entry_from(row: Row[Any]) -> TimelineEntry:
    return TimelineEntry(
        at=row.at,
        before=None if row.from_state is None else state_from(row.from_state),
        after=state_from(row.to_state),
        by=row.by,
        why=row.why,
        provider_status=row.provider_status,
    )


def entry_values(run_id: RunId, entry: TimelineEntry) -> dict[str, object]:
    return {
        "run_id": run_id,
        "at": entry.at,
        "from_state": entry.before,
        "to_state": entry.after,
        "by": entry.by,
        "why": entry.why,
        "provider_status": entry.provider_status,
    }


def daemon_from(row: Row[Any]) -> DaemonInfo:
    return DaemonInfo(
        id=SessionId(row.id),
        host=row.host,
        pid=row.pid,
        version=row.version,
        started_at=row.started_at,
        lease_left=row.lease_until - row.now,
        providers=publication_from(row.providers),
    )


def unserved_from(connection: Connection) -> Mapping[ProviderType, str]:
    """The providers in use that no live daemon serves, each with the reason."""
    rows = connection.execute(select(unserved_providers.c.name, unserved_providers.c.reason))
    named = ((provider_from(name), reason) for name, reason in rows)
    return {name: reason for name, reason in named if name is not None}


def publication_text(publication: Publication | None) -> str | None:
    """Return what `publication_from` reads."""
    return None if publication is None else json.dumps(dict(publication))


def publication_from(text: str | None) -> Publication | None:
    """Return what a daemon has published; None for nothing, and for what this version cannot read."""
    try:
        content = json.loads(text) if text else None
    except ValueError:
        return None
    if not isinstance(content, Mapping):
        return None
    named = ((provider_from(name), problem) for name, problem in content.items())
    return {name: str(problem) for name, problem in named if name is not None}


def duration_from(seconds: float | None) -> timedelta:
    """The time since an event: zero if there was none, and zero instead of negative if a clock was set back."""
    return timedelta(seconds=seconds) if seconds and seconds > 0 else _NO_TIME


def _text_from(value: object) -> str | None:
    """The text of a column that SQLite lets a program fill with a number or with bytes."""
    return value if value is None or isinstance(value, str) else str(value)


def _texts_from(value: object) -> Sequence[str]:
    match value:
        case None:
            return ()
        case list():
            return tuple(item if isinstance(item, str) else str(item) for item in value)
        case _:
            return (str(value),)
