"""Writes late updates: changes whose row was locked by another session, or refused by the database."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    ConcurrentUpdate,
    StorageMisconfigured,
    StorageRefused,
    StorageUnavailable,
)
from wes_daemon.application.ports.late_updates import LateUpdate
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.application.ports.telemetry import Telemetry
from wes_daemon.application.ports.unit_of_work import UnitOfWork, UnitsOfWork
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.isolation import by_halves
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.refusals import Refusals, wait_after
from wes_daemon.domain.runs import RunId, RunSummary, TaskLog

_log = logging.getLogger(__name__)

_BATCH = 500
LOCKED_WAIT = timedelta(seconds=1)
"""The first wait for a locked row. It doubles with each attempt."""

_LONGEST_LOCKED_WAIT = timedelta(minutes=1)
# How soon the late updates are found that another process has stored.
_LONGEST_PAUSE = timedelta(minutes=1)
_LOGGED_EVERY = timedelta(hours=1)
# After so many refused task logs of one run, its other task logs are not tried.
_REFUSED_TASKS = 20
_LOCKED = "another session keeps the run's row locked, such as an open transaction in psql"


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of an update that may be refused alone.

    Attributes:
        name: for the log.
        problem: for the timeline; the reason follows.
    """

    name: str
    problem: str
    of: Callable[[RunUpdate], RunUpdate]


_ROW = _Part(
    "row",
    "recorded, but not shown in the run's row yet",
    lambda update: replace(update, provider_status=None, details=None, tasks=()),
)
_DETAILS = _Part(
    "details",
    "outputs and log addresses were not stored",
    lambda update: replace(update, after=update.before, entry=None, tasks=()),
)
_TASKS = _Part(
    "task_logs",
    "task logs were not stored",
    lambda update: replace(update, after=update.before, entry=None, provider_status=None, details=None),
)


class LateWriter:
    """Writes late updates to the rows of their runs, each as soon as its row permits it; one per process."""

    def __init__(
        self, *, units: UnitsOfWork, clock: Clock, telemetry: Telemetry, refusals: Refusals, by: Callable[[], str]
    ) -> None:
        self._units = units
        self._clock = clock
        self._telemetry = telemetry
        self._refusals = refusals
        self._by = by
        self._locked_rows = LogThrottle(clock, every=_LOGGED_EVERY)
        self._lock = threading.Lock()
        self._next_pass = timedelta(0)

    def __call__(self) -> int:
        """Make one pass over the updates that are due, if any are expected; return the number of their runs."""
        now = self._clock.monotonic()
        with self._lock:
            if now < self._next_pass:
                return 0
            self._next_pass = now + _LONGEST_PAUSE
        with self._units() as work:
            due = work.late_updates.due(limit=_BATCH)
        self._write(due)
        if len(due) == _BATCH:
            self.expect(timedelta(0))
        return len(due)

    def expect(self, wait: timedelta) -> None:
        """Make a pass after `wait` at the latest."""
        at = self._clock.monotonic() + wait
        with self._lock:
            self._next_pass = min(self._next_pass, at)

    def write_now(self, run_ids: Sequence[RunId]) -> None:
        """Write what was just stored about these runs; if the database fails meanwhile, a later pass writes it."""
        try:
            self._write(run_ids)
        except (StorageUnavailable, StorageMisconfigured):
            self.expect(LOCKED_WAIT)

    def _write(self, run_ids: Sequence[RunId]) -> None:
        by_halves(run_ids, self._write_together, refused=lambda run_id, _: self._write_parts(run_id))

    def _write_together(self, run_ids: Collection[RunId]) -> None:
        by = self._by()
        with self._units() as work:
            late = work.late_updates.get(run_ids)
            rows, locked = _rows(work, late.keys())
            updates = [self._update(late[run_id], row, by) for run_id, row in rows.items()]
            work.runs.write(updates)
            work.late_updates.remove([each for run_id, each in late.items() if run_id not in locked])
            for run_id in rows:
                if late[run_id].reason:
                    work.submissions.explain(run_id, late[run_id].why)
            waits = {run_id: self._postpone_locked(work, late[run_id]) for run_id in locked}
            work.commit()
        self._report(updates)
        self._log_locked(locked)
        self.expect(min(waits.values(), default=_LONGEST_PAUSE))
        for run_id in late.keys() - rows.keys() - locked.keys():
            log_event(_log, logging.WARNING, "run.row_vanished", run_id=run_id, instead_of=late[run_id].why)

    def _postpone_locked(self, work: UnitOfWork, late: LateUpdate) -> timedelta:
        wait = min(LOCKED_WAIT * (1 << min(late.attempts, 30)), _LONGEST_LOCKED_WAIT)
        work.late_updates.postpone(late, wait=wait, reason=_LOCKED)
        if late.reason != _LOCKED:
            work.submissions.explain(late.run_id, _LOCKED)
        return wait

    def _log_locked(self, run_ids: Collection[RunId]) -> None:
        for run_id in run_ids:
            if self._locked_rows.allows(run_id):
                log_event(_log, logging.WARNING, "run.locked", run_id=run_id, reason=_LOCKED)

    def _write_parts(self, run_id: RunId) -> None:
        """Write what the database accepts of an update that it refused as a whole."""
        refused: dict[_Part, StorageRefused] = {}
        for part, write in ((_ROW, self._write_row), (_DETAILS, self._write_details), (_TASKS, self._write_tasks)):
            try:
                write(run_id)
            except StorageRefused as refusal:
                refused[part] = refusal
            except ConcurrentUpdate:
                return self.expect(LOCKED_WAIT)
        try:
            self._settle(run_id, refused)
        except StorageRefused as error:
            # Not even the reason can be stored. The update stays, and a later pass tries it again.
            self._refusals.log(run_id, error, during="late_update")
        for part, cause in refused.items():
            self._refusals.log(run_id, cause, during=part.name)

    def _write_row(self, run_id: RunId) -> None:
        try:
            self._write_part(run_id, _ROW.of)
        except StorageRefused:
            # The text of a provider may have characters that the database cannot hold.
            self._write_part(run_id, lambda update: _with_plain_text(_ROW.of(update)))

    def _write_details(self, run_id: RunId) -> None:
        try:
            self._write_part(run_id, _DETAILS.of)
        except StorageRefused:
            self._write_part(run_id, lambda update: replace(_with_plain_text(_DETAILS.of(update)), details=None))
            raise

    def _write_tasks(self, run_id: RunId) -> None:
        """Write the task logs that the database accepts; raise its last refusal if it refused some."""
        with self._units() as work:
            late = work.late_updates.get([run_id]).get(run_id)
        tasks = late.tasks if late else ()
        errors: list[StorageRefused] = []

        def note(_: TaskLog, error: StorageRefused) -> None:
            errors.append(error)
            if len(errors) == _REFUSED_TASKS:
                raise error

        by_halves(
            tasks,
            lambda some: self._write_part(run_id, lambda update: replace(_TASKS.of(update), tasks=some)),
            refused=note,
        )
        if errors:
            raise errors[-1]

    def _write_part(self, run_id: RunId, part: Callable[[RunUpdate], RunUpdate]) -> None:
        """Write a part of an update. Repeating it changes nothing, so the update stays stored until all parts are."""
        by = self._by()
        with self._units() as work:
            late = work.late_updates.get([run_id])
            rows, _ = _rows(work, late.keys())
            if run_id not in rows:
                raise ConcurrentUpdate(f"run {run_id}: its row is locked or gone, or another daemon writes it")
            update = part(self._update(late[run_id], rows[run_id], by))
            work.runs.write([update])
            work.commit()
        self._report([update])

    def _settle(self, run_id: RunId, refused: Mapping[_Part, StorageRefused]) -> None:
        """Keep what the row refused for another attempt, drop the rest, and record the reasons."""
        by = self._by()
        with self._units() as work:
            if (late := work.late_updates.get([run_id]).get(run_id)) is None:
                return
            row = work.runs.read_summaries([run_id]).get(run_id)
            reasons = {part: f"{part.problem}: {error}" for part, error in refused.items()}
            if _ROW in refused and row is not None:
                wait = wait_after(late.attempts)
                rest = replace(late, provider_status=None, details=None, tasks=())
                work.late_updates.postpone(rest, wait=wait, reason=reasons[_ROW])
                self.expect(wait)
            else:
                work.late_updates.remove([late])
            if row is not None:
                # A reason that the timeline has already is not repeated by each attempt.
                entries = [self._note(row, text, by) for text in reasons.values() if text != late.reason]
                work.runs.write([RunUpdate(before=row, after=row, entry=entry) for entry in entries])
            for reason in reasons.values():
                work.submissions.explain(run_id, reason)
            work.commit()

    def _update(self, late: LateUpdate, row: RunSummary, by: str) -> RunUpdate:
        after = late.change.applied_to(row)
        entry = TimelineEntry(
            at=self._clock.now(),
            before=row.state,
            after=after.state,
            by=by,
            why=late.why,
            provider_status=late.provider_status,
        )
        return RunUpdate(
            before=row,
            after=after,
            entry=entry if after != row else None,
            provider_status=None if _is_outdated(late, row) else late.provider_status,
            provider_message=late.provider_message,
            details=late.details,
            tasks=late.tasks,
        )

    def _note(self, row: RunSummary, text: str, by: str) -> TimelineEntry:
        return TimelineEntry(at=self._clock.now(), before=row.state, after=row.state, by=by, why=text)

    def _report(self, updates: Sequence[RunUpdate]) -> None:
        for update in updates:
            if update.changes_run:
                self._telemetry.state_changed(update.before, update.after, update.entry.why if update.entry else "")


def _is_outdated(late: LateUpdate, row: RunSummary) -> bool:
    """Whether the run has ended in its row, and the update is an earlier report about the running run."""
    is_end = late.details is not None or (late.change.state is not None and late.change.state.has_ended)
    return row.state.has_ended and not is_end


def _rows(
    work: UnitOfWork, run_ids: Collection[RunId]
) -> tuple[Mapping[RunId, RunSummary], Mapping[RunId, RunSummary]]:
    """The rows of these runs, locked for this unit of work, and the rows that another session keeps locked."""
    rows = work.runs.get_summaries(run_ids)
    missing = set(run_ids) - rows.keys()
    return rows, work.runs.read_summaries(missing) if missing else {}


def _with_plain_text(update: RunUpdate) -> RunUpdate:
    """The update with escapes in place of all characters that some database encoding lacks."""
    entry = update.entry and replace(
        update.entry,
        why=plain_text(update.entry.why),
        provider_status=update.entry.provider_status and plain_text(update.entry.provider_status),
    )
    tags = update.after.tags
    if isinstance(tags, Mapping) and isinstance(update.before.tags, Mapping):
        added = {name: value for name, value in tags.items() if value != update.before.tags.get(name)}
        plain = {name: plain_text(value) if isinstance(value, str) else value for name, value in added.items()}
        update = replace(update, after=update.after.with_tags(plain))
    return replace(
        update,
        entry=entry,
        provider_status=update.provider_status and plain_text(update.provider_status),
        provider_message=plain_text(update.provider_message),
    )


def plain_text(text: str) -> str:
    """The text in ASCII, with escapes in place of other characters."""
    return text.encode("ascii", "backslashreplace").decode("ascii")
