"""Runs for people: the table of `list`, and everything about one run for `show`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.addresses import public_url, public_values
from wes_daemon.domain.runs import ERROR_TAG, PROVIDER_ID_TAG, PROVIDER_TYPE_TAG, TaskLog, Unreadable
from wes_daemon.entrypoints.cli.console import (
    TextConsole,
    duration,
    moment,
    plain,
    provider_of,
    run_time,
    state_of,
    state_text,
)
from wes_daemon.entrypoints.cli.documents import json_text, queued_at
from wes_daemon.entrypoints.cli.errors import many_lines, one_line

_GAP = 2
_SHORTEST_WORKFLOW = 16

LIMIT = 100
"""How many lines of one value, tasks, or timeline entries are shown of one run, unless all are requested."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table of runs.

    Attributes:
        drop_order: if the terminal is too narrow, columns are dropped in this order; those with 0 stay.
    """

    title: str
    cell: Callable[[RunRecord, datetime], Text]
    drop_order: int = 0


_Cells = Mapping[_Column, Sequence[Text]]

_WORKFLOW = _Column("WORKFLOW", lambda record, _: plain(public_url(record.run.request.workflow_url)))
_COLUMNS = (
    _Column("RUN", lambda record, _: plain(record.run.id)),
    _Column("STATE", lambda record, _: state_of(record)),
    _Column("PROVIDER", lambda record, _: plain(provider_of(record)), drop_order=5),
    _Column("PROVIDER ID", lambda record, _: plain(record.run.provider_run_id), drop_order=1),
    _WORKFLOW,
    _Column("QUEUED", lambda record, _: plain(moment(record.queued_at)), drop_order=3),
    _Column("STARTED", lambda record, _: plain(moment(record.run.start_time)), drop_order=2),
    _Column("ENDED", lambda record, _: plain(moment(record.run.end_time)), drop_order=4),
    _Column("TOOK", lambda record, now: plain(run_time(record, now))),
)


def print_runs(records: Sequence[RunRecord], now: datetime) -> None:
    """Print the runs in a table as wide as the terminal."""
    console = TextConsole()
    console.print_fitted(runs_table(records, now, console.width))


def print_run(record: RunRecord, now: datetime, *, limit: int | None = LIMIT) -> None:
    """Print everything about one run; of long values and lists only the first `limit` lines, or all for None."""
    TextConsole().print_unfolded(run_report(record, now, limit=limit))


def print_timeline(timeline: Sequence[TimelineEntry], *, limit: int | None = LIMIT) -> None:
    """Print the timeline of a run whose row was deleted."""
    TextConsole().print_unfolded(_timeline(timeline, limit))


def print_tasks(record: RunRecord) -> None:
    """Print the tasks on standard error, apart from the outputs, which programs read."""
    if record.tasks:
        TextConsole(stderr=True).print_unfolded(tasks_table(record, limit=LIMIT))


def runs_table(records: Sequence[RunRecord], now: datetime, width: int) -> Table:
    """Return the runs in as many columns as fit into `width`; ids are never cut."""
    cells = {column: [column.cell(record, now) for record in records] for column in _COLUMNS}
    return _table(_fitted(cells, width))


def run_report(record: RunRecord, now: datetime, *, limit: int | None = None) -> RenderableType:
    """Return the facts about a run, its tasks, and its timeline."""
    parts: list[RenderableType] = [_facts(record, now, limit)]
    if record.tasks:
        parts += [_title("Tasks"), tasks_table(record, limit=limit)]
    if record.timeline:
        parts += [_title("Timeline"), _timeline(record.timeline, limit)]
    return Group(*parts)


def tasks_table(record: RunRecord, *, limit: int | None = None) -> Table:
    """Return the run's tasks with their results and logs; if not all are shown, those that have not succeeded first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("TASK", "RESULT", "STARTED", "TOOK"):
        table.add_column(title, no_wrap=True)
    table.add_column("LOGS")
    shown = _most_important(record.tasks, limit)
    for task in shown:
        logs = _lines("\n".join([*filter(None, (task.stdout, task.stderr)), *task.system_logs]))
        cells = (plain(task.name), _task_result(task), plain(moment(task.start_time)), _task_time(task))
        _add_rows(table, cells, _limited(logs, limit))
    if hidden := len(record.tasks) - len(shown):
        table.add_row(_more(hidden, "tasks"))
    return table


def _fitted(cells: _Cells, width: int) -> _Cells:
    """Drop columns until the workflows fit, and shorten their URLs from the left, because their ends say most."""
    cells = dict(cells)
    for column in sorted((column for column in cells if column.drop_order), key=lambda column: column.drop_order):
        if _workflow_width(cells, width) >= min(_SHORTEST_WORKFLOW, _width(_WORKFLOW, cells)):
            break
        del cells[column]
    left = max(_SHORTEST_WORKFLOW, _workflow_width(cells, width))
    return {**cells, _WORKFLOW: [_shortened(text, left) for text in cells[_WORKFLOW]]}


def _workflow_width(cells: _Cells, width: int) -> int:
    others = [column for column in cells if column is not _WORKFLOW]
    return width - sum(_width(column, cells) + _GAP for column in others)


def _width(column: _Column, cells: _Cells) -> int:
    return max(text.cell_len for text in (Text(column.title), *cells[column]))


def _shortened(text: Text, width: int) -> Text:
    return text if text.cell_len <= width else Text(f"…{text.plain[1 - width :]}")


def _table(cells: _Cells) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for column in cells:
        table.add_column(column.title, no_wrap=True, min_width=0 if column is _WORKFLOW else _width(column, cells))
    for row in zip(*cells.values(), strict=True):
        table.add_row(*row)
    return table


@dataclass(frozen=True, slots=True)
class _Facts:
    """Names and values, each line in one piece; rich's own tables take a third of a millisecond for a line."""

    rows: Sequence[tuple[str, Sequence[Text]]]

    def __rich_console__(self, console: Console, _options: ConsoleOptions) -> RenderResult:
        width, bold = max(len(name) for name, _ in self.rows) + _GAP, console.get_style("bold")
        for name, lines in self.rows:
            for number, line in enumerate(lines):
                yield Segment("" if number else name, bold)
                yield Segment(" " * (width if number else width - len(name)))
                yield from line.render(console, end="\n")


def _facts(record: RunRecord, now: datetime, limit: int | None) -> _Facts:
    facts = (*_request(record), *_progress(record, now), *_result(record))
    shown = [(name, value if isinstance(value, Text) else plain(value)) for name, value in facts if value]
    return _Facts([(name, _limited(value, limit)) for name, value in shown])


def _add_rows(table: Table, cells: Sequence[str | Text], lines: Sequence[Text]) -> None:
    """Add one row for each line, the first with the cells: the time for one cell grows with the square of its lines."""
    first, *others = lines
    table.add_row(*cells, first)
    for line in others:
        table.add_row(*([""] * len(cells)), line)


def _limited(text: Text, limit: int | None) -> Sequence[Text]:
    """Return the first lines of a text, with a line that says how many follow."""
    if "\n" not in text.plain:
        return [text]
    lines = text.plain.split("\n")
    shown = [Text(line, text.style) for line in lines[:limit]]
    return shown if len(shown) == len(lines) else [*shown, _more(len(lines) - len(shown), "lines")]


def _most_important(tasks: Sequence[TaskLog], limit: int | None) -> Sequence[TaskLog]:
    """Return the tasks in their order; if there are too many, without some of those that have succeeded."""
    if limit is None or len(tasks) <= limit:
        return tasks
    by_importance = sorted(range(len(tasks)), key=lambda number: tasks[number].exit_code == 0)
    return [tasks[number] for number in sorted(by_importance[:limit])]


def _more(count: int, what: str) -> Text:
    return Text(f"… {count:,} more {what}: --all shows them", "dim")


def _request(record: RunRecord) -> Iterator[tuple[str, str | Text | None]]:
    request = record.run.request
    engine = " ".join(filter(None, (request.workflow_engine, request.workflow_engine_version)))
    yield "run", record.run.id
    yield "workflow", public_url(request.workflow_url)
    yield "type", f"{request.workflow_type} {request.workflow_type_version}"
    yield "parameters", _values(request.workflow_params)
    yield "engine", engine
    yield "engine parameters", _values(public_values(request.workflow_engine_parameters))
    yield "tags", _values(public_values(_own_tags(record.run.tags)))
    yield "attachments", _lines("\n".join(one_line(name) for name in record.attachments))


def _progress(record: RunRecord, now: datetime) -> Iterator[tuple[str, str | Text | None]]:
    run = record.run
    message = "" if record.provider_message == run.error else record.provider_message
    status = ": ".join(filter(None, (record.provider_status, message)))
    yield "state", state_of(record)
    if record.row_behind:
        yield "row is behind", _lines(record.row_behind, "red")
    yield "provider", " as ".join(filter(None, (provider_of(record), run.provider_run_id)))
    yield "provider status", _lines(status)
    yield "error", _lines(run.error or "", "red")
    if record.submission is SubmissionState.REVIEW:
        yield "needs review", _lines(record.last_reason or "", "red")
        yield "decide by", f"wes-daemon resolve {run.id} --adopt ID | --send-again | --fail"
    elif _is_waiting(record):
        yield "deferred", _times(record.attempts)
        yield "waits because", _lines(record.unserved or record.last_reason or "")
    elif record.unserved:
        yield "not served", _lines(record.unserved, "red")
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
    """Return whether no provider has accepted the run yet, but one still may."""
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


def _timeline(timeline: Sequence[TimelineEntry], limit: int | None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("WHEN", "STATE", "BY"):
        table.add_column(title, no_wrap=True)
    table.add_column("WHY")
    hidden = 0 if limit is None else max(len(timeline) - limit, 0)
    if hidden:
        # The end of a timeline says more than its beginning.
        table.add_row(_more(hidden, "entries before these"))
    for entry in timeline[hidden:]:
        cells = (plain(moment(entry.at)), _new_state(entry), plain(entry.by))
        _add_rows(table, cells, _limited(_lines(entry.why), limit))
    return table


def _new_state(entry: TimelineEntry) -> Text:
    return state_text(entry.after) if entry.before is not entry.after else Text("")


def _own_tags(tags: object) -> object:
    """Return the tags without those that are shown elsewhere."""
    if not isinstance(tags, Mapping):
        return tags
    return {name: value for name, value in tags.items() if name not in (PROVIDER_TYPE_TAG, PROVIDER_ID_TAG, ERROR_TAG)}


def _values(value: object) -> Text | None:
    """Return the names and values of an object as JSON; None if it is empty."""
    if isinstance(value, Unreadable):
        return _lines(f"not JSON: {value.text}")
    if not value:
        return None
    return Text(json_text(dict(value) if isinstance(value, Mapping) else value))


def _lines(text: str, style: str = "") -> Text:
    return Text(many_lines(text), style)


def _title(text: str) -> Text:
    return Text(f"\n{text}", "bold underline")
