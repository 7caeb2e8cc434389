"""Waits until runs have ended and shows their progress: a live table on a terminal, one line per change elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from wes_daemon.application.ports.errors import StorageUnavailable
from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.domain.runs import RunId
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.console import TextConsole, duration, plain, state_text
from wes_daemon.entrypoints.cli.errors import many_lines, one_line

if TYPE_CHECKING:
    from wes_daemon.bootstrap.application import Application

Names = Mapping[RunId, str]
"""The runs to wait for, in the order in which they are shown, with the names under which they are shown."""

_SHORTEST_WAIT = timedelta(seconds=0.5)
_LONGEST_WAIT = timedelta(seconds=5)


class Progress(AbstractContextManager["Progress"], Protocol):
    """Shows the progress of runs."""

    def show(self, records: Sequence[RunRecord]) -> None:
        """Show the current state of the runs."""

    def note(self, text: str) -> None:
        """Show a message that is not about a run."""


def wait_for_runs(application: "Application", names: Names, *, timeout: timedelta | None = None) -> Sequence[RunRecord]:
    """Wait until all runs have ended or `timeout` has passed, and return them as they are then.

    Continues to wait during an outage of the database. Ctrl-C ends the waiting, but no run.
    """
    clock, wakeup = application.clock, application.wakeup
    began = clock.now()
    with _progress(names, clock.now) as progress:
        while True:
            records = _read(application, names, progress)
            elapsed = clock.now() - began
            is_over = timeout is not None and elapsed >= timeout
            if records is not None and (is_over or all(record.run.state.has_ended for record in records)):
                return records
            wakeup.wait(_wait_after(elapsed, timeout))


class PlainProgress:
    """Prints a line for each change."""

    def __init__(self, console: TextConsole, names: Names, now: Callable[[], datetime]) -> None:
        self._console = console
        self._names = names
        self._now = now
        self._began = now()
        self._printed: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, records: Sequence[RunRecord]) -> None:
        """Print each run whose line has changed."""
        for record in records:
            self._print(self._names[record.run.id], _status(record))

    def note(self, text: str) -> None:
        """Print the message, unless it is the same as the last one."""
        self._print("", one_line(text))

    def _print(self, name: str, text: str) -> None:
        if self._printed.get(name) != text:
            self._printed[name] = text
            after = duration(self._now() - self._began)
            self._console.print(" ".join(filter(None, (f"{after:>6}", name, text))), soft_wrap=True)


class LiveProgress:
    """Draws a table several times a second."""

    def __init__(self, console: TextConsole, names: Names, now: Callable[[], datetime]) -> None:
        self._names = names
        self._now = now
        self._began = now()
        self._records: Sequence[RunRecord] = ()
        self._note = ""
        self._spinner = Spinner("dots")
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=5)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, records: Sequence[RunRecord]) -> None:
        """Draw these runs from now on."""
        self._records = records
        self._note = ""

    def note(self, text: str) -> None:
        """Draw the message until the runs are read again."""
        self._note = text

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for record in self._records:
            table.add_row(
                " " if record.run.state.has_ended else self._spinner,
                plain(self._names[record.run.id]),
                state_text(record.run.state),
                plain(self._elapsed(record)),
                Text(many_lines(_detail(record))),
            )
        if self._note:
            table.add_row("", Text(many_lines(self._note)))
        return table

    def _elapsed(self, record: RunRecord) -> str:
        run = record.run
        return duration((run.end_time or self._now()) - (run.start_time or record.queued_at or self._began))


def _progress(names: Names, now: Callable[[], datetime]) -> Progress:
    console = TextConsole(stderr=True)
    return LiveProgress(console, names, now) if console.is_terminal else PlainProgress(console, names, now)


def _read(application: "Application", names: Names, progress: Progress) -> Sequence[RunRecord] | None:
    try:
        records = [application.get_run(run_id) for run_id in names]
    except StorageUnavailable as error:
        progress.note(str(error))
        return None
    progress.show(records)
    return records


def _wait_after(elapsed: timedelta, timeout: timedelta | None) -> timedelta:
    """Return a tenth of the time so far, within bounds: the longer a run takes, the less a delay matters."""
    wait = min(max(elapsed / 10, _SHORTEST_WAIT), _LONGEST_WAIT)
    return wait if timeout is None else max(min(wait, timeout - elapsed), timedelta(milliseconds=1))


def _status(record: RunRecord) -> str:
    detail = one_line(_detail(record))
    return f"{record.run.state}{f': {detail}' if detail else ''}"


def _reason(record: RunRecord) -> str | None:
    return record.last_reason if record.run.state is RunState.QUEUED else record.provider_status


def _detail(record: RunRecord) -> str:
    """Return the reason for the run's state, as it was recorded."""
    state = record.run.state
    found = record.run.error or record.unserved or _reason(record) or ""
    return "" if found.casefold() == state.casefold() else found
