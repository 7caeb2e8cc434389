"""Runs are watched until they have ended: live on a terminal, line by line elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from wes_daemon.application.ports.errors import StorageUnavailable
from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.domain.runs import RunId
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.escaping import one_line
from wes_daemon.entrypoints.cli.rendering import PersonsConsole
from wes_daemon.entrypoints.cli.wording import duration, plain, state

if TYPE_CHECKING:
    from wes_daemon.bootstrap.container import Container

Names = Mapping[RunId, str]
"""What each run is called here: the runs that are watched, in the order in which they are shown."""

_SHORTEST_WAIT = timedelta(seconds=0.5)
_LONGEST_WAIT = timedelta(seconds=5)


class Progress(AbstractContextManager["Progress"], Protocol):
    """Shows how far runs have come."""

    def show(self, records: Sequence[RunRecord]) -> None:
        """The runs as they are now."""

    def note(self, text: str) -> None:
        """Something else that the person should know."""


def follow(container: "Container", names: Names, *, timeout: timedelta | None = None) -> Sequence[RunRecord]:
    """Watch until all have ended or `timeout` has passed, and return them as they are then.

    A database that is away meanwhile is waited for. Ctrl-C ends the watching, never a run.
    """
    clock, wakeup = container.clock(), container.wakeup()
    began = clock.now()
    with _progress(names, clock.now) as progress:
        while True:
            records = _look(container, names, progress)
            elapsed = clock.now() - began
            over = timeout is not None and elapsed >= timeout
            if records is not None and (over or all(record.run.state.has_ended for record in records)):
                return records
            wakeup.wait(_wait_after(elapsed, timeout))


def _look(container: "Container", names: Names, progress: Progress) -> Sequence[RunRecord] | None:
    try:
        records = [container.get_run()(run_id) for run_id in names]
    except StorageUnavailable as error:
        progress.note(str(error))
        return None
    progress.show(records)
    return records


def _wait_after(elapsed: timedelta, timeout: timedelta | None) -> timedelta:
    """The longer it has taken the less it matters to know at once."""
    wait = min(max(elapsed / 10, _SHORTEST_WAIT), _LONGEST_WAIT)
    return wait if timeout is None else max(min(wait, timeout - elapsed), timedelta(milliseconds=1))


def _progress(names: Names, now: Callable[[], datetime]) -> Progress:
    console = PersonsConsole(stderr=True)
    return LiveProgress(console, names, now) if console.is_terminal else PlainProgress(console, names, now)


class PlainProgress:
    """A line for each change."""

    def __init__(self, console: PersonsConsole, names: Names, now: Callable[[], datetime]) -> None:
        self._console = console
        self._names = names
        self._now = now
        self._began = now()
        self._said: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, records: Sequence[RunRecord]) -> None:
        """Say of each run what was not said before."""
        for record in records:
            self._say(self._names[record.run.id], _words(record))

    def note(self, text: str) -> None:
        """Say it, but not twice in a row."""
        self._say("", one_line(text))

    def _say(self, name: str, words: str) -> None:
        if self._said.get(name) != words:
            self._said[name] = words
            after = duration(self._now() - self._began)
            self._console.print(" ".join(filter(None, (f"{after:>6}", name, words))), soft_wrap=True)


class LiveProgress:
    """A table that is drawn again and again."""

    def __init__(self, console: PersonsConsole, names: Names, now: Callable[[], datetime]) -> None:
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
        """Show them from now on."""
        self._records = records
        self._note = ""

    def note(self, text: str) -> None:
        """Show it until there is news of the runs."""
        self._note = text

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for record in self._records:
            ended = record.run.state.has_ended
            table.add_row(
                " " if ended else self._spinner,
                plain(self._names[record.run.id]),
                state(record.run.state),
                plain(self._elapsed(record)),
                plain(_detail(record)),
            )
        if self._note:
            table.add_row("", plain(self._note))
        return table

    def _elapsed(self, record: RunRecord) -> str:
        run = record.run
        return duration((run.end_time or self._now()) - (run.start_time or record.queued_at or self._began))


def _words(record: RunRecord) -> str:
    detail = _detail(record)
    return f"{record.run.state}{f': {detail}' if detail else ''}"


def _detail(record: RunRecord) -> str:
    """Why it is where it is, in one line."""
    state = record.run.state
    found = record.run.error or (record.last_reason if state is RunState.QUEUED else record.provider_status) or ""
    return "" if found.casefold() == state.casefold() else one_line(found)
