"""Runs in tables, for people: on a terminal coloured, unless NO_COLOR is set; in a pipe plain and never cut."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NoReturn

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.domain.addresses import public_url
from wes_daemon.entrypoints.cli.report import report, tasks_table
from wes_daemon.entrypoints.cli.wording import moment, plain, provider, run_time, state_of

_UNBOUNDED = 100_000
_BLANKS_AT_THE_END = re.compile(r"\s+((?:\x1b\[[\d;]*m)*)$")
_STYLES = r"\1"


class PersonsConsole(Console):
    """A console that does not cut what no person looks at."""

    def __init__(self, *, stderr: bool = False) -> None:
        # rich takes colours away for NO_COLOR, and leaves what is bold or underlined.
        colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
        super().__init__(stderr=stderr, color_system=colours, highlight=False, markup=False, emoji=False)
        if not self.is_terminal:
            self.width = _UNBOUNDED

    def put(self, found: RenderableType) -> None:
        """Print it within the terminal's width, where there is one."""
        if self.is_terminal:
            self.print(found)
        else:
            self.put_unfolded(found)

    def put_unfolded(self, found: RenderableType) -> None:
        """Print it with each line as long as it is, so that a path can be copied from a terminal, too."""
        self.width = _UNBOUNDED
        with self.capture() as captured:
            self.print(found)
        # Without the blanks that fill up a table's cells.
        self.file.writelines(f"{_BLANKS_AT_THE_END.sub(_STYLES, line)}\n" for line in captured.get().splitlines())

    def on_broken_pipe(self) -> NoReturn:
        """Let the command line decide how to end, as with all other output."""
        raise BrokenPipeError


@dataclass(frozen=True, slots=True)
class _Column:
    """Where the terminal is too narrow the columns go in the order of `sacrifice`; those with 0 stay."""

    title: str
    cell: Callable[[RunRecord, datetime], Text]
    sacrifice: int = 0


_WORKFLOW = _Column("WORKFLOW", lambda record, _: plain(public_url(record.run.request.workflow_url)))
_COLUMNS = (
    _Column("RUN", lambda record, _: plain(record.run.id)),
    _Column("STATE", lambda record, _: state_of(record)),
    _Column("PROVIDER", lambda record, _: plain(provider(record)), sacrifice=5),
    _Column("PROVIDER ID", lambda record, _: plain(record.run.provider_run_id), sacrifice=1),
    _WORKFLOW,
    _Column("QUEUED", lambda record, _: plain(moment(record.queued_at)), sacrifice=3),
    _Column("STARTED", lambda record, _: plain(moment(record.run.start_time)), sacrifice=2),
    _Column("ENDED", lambda record, _: plain(moment(record.run.end_time)), sacrifice=4),
    _Column("TOOK", lambda record, now: plain(run_time(record, now))),
)
_GAP = 2
_SHORTEST_WORKFLOW = 16

Cells = Mapping[_Column, Sequence[Text]]


def print_runs(records: Sequence[RunRecord], now: datetime) -> None:
    """Print the runs in a table as wide as the terminal."""
    console = PersonsConsole()
    console.put(runs_table(records, now, console.width))


def print_run(record: RunRecord, now: datetime) -> None:
    """Print everything about one run."""
    PersonsConsole().put_unfolded(report(record, now))


def print_tasks(record: RunRecord) -> None:
    """Print the tasks, where no program reads them."""
    if record.tasks:
        PersonsConsole(stderr=True).put_unfolded(tasks_table(record))


def runs_table(records: Sequence[RunRecord], now: datetime, width: int) -> Table:
    """The runs in as many columns as fit into `width`; no id is ever cut."""
    return _table(_fitting(_cells(records, now), width))


def _cells(records: Sequence[RunRecord], now: datetime) -> Cells:
    return {column: [column.cell(record, now) for record in records] for column in _COLUMNS}


def _fitting(cells: Cells, width: int) -> Cells:
    """Without what is given up first, which `show` tells, too; of a workflow's address the end says most."""
    cells = dict(cells)
    for column in sorted((column for column in cells if column.sacrifice), key=lambda column: column.sacrifice):
        if _room_for_workflow(cells, width) >= min(_SHORTEST_WORKFLOW, _width(_WORKFLOW, cells)):
            break
        del cells[column]
    room = max(_SHORTEST_WORKFLOW, _room_for_workflow(cells, width))
    return {**cells, _WORKFLOW: [_end(text, room) for text in cells[_WORKFLOW]]}


def _room_for_workflow(cells: Cells, width: int) -> int:
    others = [column for column in cells if column is not _WORKFLOW]
    return width - sum(_width(column, cells) + _GAP for column in others)


def _width(column: _Column, cells: Cells) -> int:
    return max(text.cell_len for text in (Text(column.title), *cells[column]))


def _end(text: Text, room: int) -> Text:
    return text if text.cell_len <= room else Text(f"…{text.plain[1 - room :]}")


def _table(cells: Cells) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for column in cells:
        table.add_column(column.title, no_wrap=True, min_width=0 if column is _WORKFLOW else _width(column, cells))
    for row in zip(*cells.values(), strict=True):
        table.add_row(*row)
    return table
