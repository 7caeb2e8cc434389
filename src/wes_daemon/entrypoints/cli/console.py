"""Text for people: a console, and times, durations and states as rich shows them.

On a terminal the text has colours, unless NO_COLOR is set; in a pipe it is plain, and no line is cut.
"""

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, NoReturn

from rich.console import Console, RenderableType
from rich.text import Text

from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.errors import for_reader, one_line

_UNBOUNDED = 100_000
_TRAILING_BLANKS = re.compile(r"\s+((?:\x1b\[[\d;]*m)*)$")
_STYLES_ONLY = r"\1"

_STYLES: Mapping[RunState, str] = {
    RunState.COMPLETE: "green",
    RunState.EXECUTOR_ERROR: "bold red",
    RunState.SYSTEM_ERROR: "bold red",
    RunState.PREEMPTED: "bold red",
    RunState.CANCELED: "yellow",
    RunState.CANCELING: "yellow",
    RunState.RUNNING: "cyan",
    RunState.INITIALIZING: "cyan",
}


class TextConsole(Console):
    """A console that cuts lines on terminals only."""

    def __init__(self, *, stderr: bool = False) -> None:
        # For NO_COLOR rich drops colours, but not bold and underlined text.
        colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
        super().__init__(stderr=stderr, color_system=colours, highlight=False, markup=False, emoji=False)
        if not self.is_terminal:
            self.width = _UNBOUNDED

    def print_fitted(self, content: RenderableType) -> None:
        """Print within the width of the terminal, if there is one."""
        if self.is_terminal:
            self.print(content)
        else:
            self.print_unfolded(content)

    def print_unfolded(self, content: RenderableType) -> None:
        """Print each line in one piece, so that a path can be copied from a terminal, too."""
        self.width = _UNBOUNDED
        with self.capture() as captured:
            self.print(content)
        # Without the blanks that fill the cells of a table.
        lines = captured.get().splitlines()
        self.file.writelines(f"{_TRAILING_BLANKS.sub(_STYLES_ONLY, line)}\n" for line in lines)

    def on_broken_pipe(self) -> NoReturn:
        """Raise `BrokenPipeError`, which the command line handles for all output."""
        raise BrokenPipeError


def state_text(state: RunState) -> Text:
    """Return the state in its colour."""
    return Text(state.value, _STYLES.get(state, ""))


def state_of(record: RunRecord) -> Text:
    """Return a run's state, with a mark if it needs a person's decision."""
    text = state_text(record.run.state)
    return text.append(" (review)", "bold red") if record.submission is SubmissionState.REVIEW else text


def plain(value: object | None) -> Text:
    """Return a value in one line, without interpreting markup; empty for None."""
    return Text("" if value is None else one_line(str(value)))


def message(text: str) -> Text:
    """Return a message for a person: as lines at a terminal, in one line in a pipe, where a row is a line."""
    return Text(for_reader(text))


def moment(at: datetime | None) -> str:
    """Return a time to the second, in UTC; empty for None."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def duration(taken: timedelta) -> str:
    """Return a duration in its two largest units: `12s`, `3m05s`, `2h03m`, `4d01h`."""
    seconds = max(0, int(taken.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3_600, seconds // 86_400
    if days:
        return f"{days}d{hours % 24:02d}h"
    if hours:
        return f"{hours}h{minutes % 60:02d}m"
    return f"{minutes}m{seconds % 60:02d}s" if minutes else f"{seconds}s"


def run_time(record: RunRecord, now: datetime) -> str:
    """Return how long a run took, or has taken so far; empty if it has not started."""
    run = record.run
    return duration((run.end_time or now) - run.start_time) if run.start_time else ""


def provider_of(record: RunRecord) -> str:
    """Return the provider that has the run, or that it will be sent to; empty if that is unknown."""
    return record.run.provider or record.destination or ""
