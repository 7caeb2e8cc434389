"""Everything about one run, for a person."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.addresses import public_url
from wes_daemon.domain.runs import ERROR_TAG, PROVIDER_ID_TAG, PROVIDER_TYPE_TAG, TaskLog, Unreadable
from wes_daemon.entrypoints.cli.documents import as_text, queued_at
from wes_daemon.entrypoints.cli.escaping import many_lines
from wes_daemon.entrypoints.cli.wording import duration, moment, plain, provider, run_time, state, state_of


def report(record: RunRecord, now: datetime) -> RenderableType:
    """The run's own facts, then its tasks, then what happened to it."""
    parts: list[RenderableType] = [_facts(record, now)]
    if record.tasks:
        parts += [_title("Tasks"), tasks_table(record)]
    if record.timeline:
        parts += [_title("What happened"), _timeline(record)]
    return Group(*parts)


def tasks_table(record: RunRecord) -> Table:
    """The run's tasks and what became of each."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("TASK", "RESULT", "STARTED", "TOOK"):
        table.add_column(title, no_wrap=True)
    table.add_column("LOGS")
    for task in record.tasks:
        logs = [*filter(None, (task.stdout, task.stderr)), *task.system_logs]
        table.add_row(
            plain(task.name),
            _task_result(task),
            plain(moment(task.start_time)),
            _task_time(task),
            _lines("\n".join(logs)),
        )
    return table


def _facts(record: RunRecord, now: datetime) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for name, value in (*_request(record), *_course(record, now), *_result(record)):
        if value:
            grid.add_row(name, value if isinstance(value, Text) else plain(value))
    return grid


def _request(record: RunRecord) -> Iterator[tuple[str, str | Text | None]]:
    request = record.run.request
    engine = " ".join(filter(None, (request.workflow_engine, request.workflow_engine_version)))
    yield "run", record.run.id
    yield "workflow", public_url(request.workflow_url)
    yield "type", f"{request.workflow_type} {request.workflow_type_version}"
    yield "parameters", _values(request.workflow_params)
    yield "engine", engine
    yield "engine parameters", _values(request.workflow_engine_parameters)
    yield "tags", _values(_own_tags(record.run.tags))
    yield "attachments", ", ".join(record.attachments)


def _course(record: RunRecord, now: datetime) -> Iterator[tuple[str, str | Text | None]]:
    run = record.run
    message = "" if record.provider_message == run.error else record.provider_message
    words = ": ".join(filter(None, (record.provider_status, message)))
    yield "state", state_of(record)
    yield "provider", " as ".join(filter(None, (provider(record), run.provider_run_id)))
    yield "provider says", _lines(words)
    yield "error", _lines(run.error or "", "red")
    if record.submission is SubmissionState.REVIEW:
        yield "needs review", _lines(record.last_reason or "", "red")
        yield "decide by", f"wes-daemon resolve {run.id} --adopt ID | --send-again | --fail"
    elif _is_waiting(record):
        yield "put off", _times(record.attempts)
        yield "waits because", _lines(record.last_reason or "")
    yield "queued", moment(queued_at(record))
    yield "started", moment(run.start_time)
    yield "ended", moment(run.end_time)
    yield "took", run_time(record, now)


def _result(record: RunRecord) -> Iterator[tuple[str, str | Text | None]]:
    details = record.details
    yield "exit code", None if details.exit_code is None else str(details.exit_code)
    yield "stdout", details.stdout
    yield "stderr", details.stderr
    yield "system logs", _lines("\n".join(line for line in details.system_logs if line != record.run.error))
    yield "outputs", _values(details.outputs)


def _is_waiting(record: RunRecord) -> bool:
    """Whether nobody has accepted it yet and somebody still may."""
    accepted = record.submission is SubmissionState.ACCEPTED or record.run.provider_run_id is not None
    return not (accepted or record.run.state.has_ended)


def _times(count: int) -> str:
    return f"{count} time{'' if count == 1 else 's'}" if count else ""


def _task_result(task: TaskLog) -> Text:
    if task.exit_code is None:
        return Text("ended" if task.end_time else "running" if task.start_time else "waiting")
    return Text("done", "green") if task.exit_code == 0 else Text(f"failed: exit {task.exit_code}", "bold red")


def _task_time(task: TaskLog) -> Text:
    return plain(duration(task.end_time - task.start_time) if task.start_time and task.end_time else None)


def _timeline(record: RunRecord) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("WHEN", "STATE", "BY"):
        table.add_column(title, no_wrap=True)
    table.add_column("WHY")
    for entry in record.timeline:
        table.add_row(plain(moment(entry.at)), _step(entry), plain(entry.by), _lines(entry.why))
    return table


def _step(entry: TimelineEntry) -> Text:
    return state(entry.after) if entry.before is not entry.after else Text("")


def _own_tags(tags: object) -> object:
    """The tags without those that are shown elsewhere."""
    if not isinstance(tags, Mapping):
        return tags
    return {name: value for name, value in tags.items() if name not in (PROVIDER_TYPE_TAG, PROVIDER_ID_TAG, ERROR_TAG)}


def _values(found: object) -> Text | None:
    """An object's names and values as JSON; nothing where it is empty."""
    if isinstance(found, Unreadable):
        return _lines(f"no JSON: {found.text}")
    if not found:
        return None
    return Text(as_text(dict(found) if isinstance(found, Mapping) else found))


def _lines(text: str, style: str = "") -> Text:
    return Text(many_lines(text), style)


def _title(text: str) -> Text:
    return Text(f"\n{text}", "bold underline")
