"""From rows to domain objects. Whatever a row holds, it becomes an object or is left out; nothing raises."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Text, cast, null, select

from wes_daemon.adapters.persistence.expressions import by_key, of_same_run
from wes_daemon.adapters.persistence.tables import run_details, submissions, workflow_runs
from wes_daemon.adapters.persistence.types import read_json
from wes_daemon.application.ports.leases import DaemonInfo, SessionId
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.domain.runs import (
    PROVIDER_TYPE_TAG,
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
PROVIDERS: Mapping[str, ProviderType] = {provider.value: provider for provider in ProviderType}

_NO_TIME = timedelta(0)
_REQUEST_MEMBERS = tuple(member.name for member in fields(WorkflowRequest))


_KNOWN = submissions.c.run_id == workflow_runs.c.run_id
_DESCRIBED = run_details.c.run_id == workflow_runs.c.run_id


def select_runs() -> Select[Any]:
    """Rows for `run_from`: the run as the service stored it, with what the daemon knows of it."""
    found = workflow_runs.outerjoin(submissions, _KNOWN).outerjoin(run_details, _DESCRIBED)
    return _select(workflow_runs.c.run_id).select_from(found)


def select_submitted_runs() -> Select[Any]:
    """As `select_runs`, for submissions; of a run that has no row any more `is_gone` is true, and all else empty."""
    row = by_key(workflow_runs.c.run_id, submissions.c.run_id)
    described = by_key(run_details.c.run_id, workflow_runs.c.run_id)
    found = submissions.outerjoin(workflow_runs, row).outerjoin(run_details, described)
    is_gone = workflow_runs.c.run_id.is_(None).label("is_gone")
    return _select(submissions.c.run_id).add_columns(is_gone).select_from(found)


def _select(run_id: ColumnElement[str]) -> Select[Any]:
    return select(
        run_id,
        *(column for column in workflow_runs.c if column is not workflow_runs.c.run_id),
        submissions.c.provider,
        submissions.c.provider_run_id,
        run_details.c.workflow_engine_parameters,
    )


def select_run_summaries() -> Select[Any]:
    """Rows for `run_summary_from`: what may change in a run, and nothing of what may be large."""
    found = workflow_runs.outerjoin(submissions, by_key(submissions.c.run_id, workflow_runs.c.run_id))
    return _select_summary(submissions.c.provider, submissions.c.provider_run_id).select_from(found)


def select_new_runs() -> Select[Any]:
    """As `select_run_summaries`, for those of which the queue knows nothing, so that it is not asked who holds them."""
    known = of_same_run(submissions.c.run_id, workflow_runs.c.run_id)
    # SQLite lets a text primary key be NULL; such a row cannot be spoken of.
    return _select_summary(null(), null()).where(known.is_(None), workflow_runs.c.run_id.is_not(None))


def _select_summary(provider: ColumnElement[Any], provider_run_id: ColumnElement[Any]) -> Select[Any]:
    return select(
        workflow_runs.c.run_id,
        workflow_runs.c.state,
        cast(workflow_runs.c.tags, Text).label("tags"),
        workflow_runs.c.start_time,
        workflow_runs.c.end_time,
        provider.label("provider"),
        provider_run_id.label("provider_run_id"),
    )


def run_summary_from(row: Row[Any]) -> RunSummary:
    run_id, state, tags, start_time, end_time, provider, provider_run_id = tuple[Any, ...](row)
    read = None if tags is None else read_json(tags)
    return RunSummary(
        id=RunId(run_id),
        state=state_from(state),
        tags={} if read is None else read,
        provider=None if provider_run_id is None else provider_from(provider),
        provider_run_id=None if provider_run_id is None else ProviderRunId(provider_run_id),
        start_time=start_time,
        end_time=end_time,
    )


def run_from(row: Row[Any]) -> Run:
    """The run; who holds it is told by the daemon's own tables alone, for tags are copied from run to run."""
    held = row.provider_run_id is not None
    return Run(
        id=RunId(row.run_id),
        request=_request_from(row),
        state=state_from(row.state),
        tags={} if row.tags is None else row.tags,
        provider=provider_from(row.provider) if held else None,
        provider_run_id=ProviderRunId(row.provider_run_id) if held else None,
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
        workflow_engine=row.workflow_engine,
        workflow_engine_version=row.workflow_engine_version,
        workflow_engine_parameters={} if parameters is None else parameters,
    )


def request_values(run: Run) -> dict[str, object]:
    """What of the run is sent to a provider, as JSON."""
    request = run.request
    return {"tags": run.tags, **{name: getattr(request, name) for name in _REQUEST_MEMBERS}}


def as_first_sent(run: Run, values: object) -> Run:
    """The run with what `request_values` has kept of it; as it is where nothing was kept."""
    if not isinstance(values, Mapping):
        return run
    request = WorkflowRequest(**{name: values[name] for name in _REQUEST_MEMBERS})
    return replace(run, request=request, tags=values["tags"])


def state_from(word: str | None) -> RunState:
    """The state, or `UNKNOWN` for a word that is none."""
    return STATES.get(word or "", RunState.UNKNOWN)


def provider_from(word: str | None) -> ProviderType | None:
    """The provider, or None for a word that is none here: a newer version may know more of them."""
    return PROVIDERS.get(word or "")


def named_provider(tags: object) -> ProviderType | None:
    """The provider that the tags name, if they name one that exists."""
    named = tags.get(PROVIDER_TYPE_TAG) if isinstance(tags, Mapping) else None
    return provider_from(str(named).strip().lower())


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
    """What a provider told of the run as a whole; the tasks are in a table of their own."""
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
    )


def span(seconds: float | None) -> timedelta:
    """How long ago something was; never negative, though a clock was set back, and zero where it never was."""
    return timedelta(seconds=seconds) if seconds and seconds > 0 else _NO_TIME


def _texts_from(value: object) -> Sequence[str]:
    match value:
        case None:
            return ()
        case list():
            return tuple(held if isinstance(held, str) else str(held) for held in value)
        case _:
            return (str(value),)
