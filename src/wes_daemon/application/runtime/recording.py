"""Writes changes of runs with their timeline entries in one transaction, and reports them to telemetry."""

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    AlreadyRecorded,
    Contended,
    StorageMisconfigured,
    StorageRefused,
    StorageUnavailable,
)
from wes_daemon.application.ports.late_updates import LateUpdate
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.application.ports.telemetry import Telemetry
from wes_daemon.application.ports.unit_of_work import UnitOfWork, UnitsOfWork
from wes_daemon.application.ports.wakeup import WakeUp
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.late_writer import LOCKED_WAIT, LateWriter
from wes_daemon.application.runtime.outage_log import OutageLog
from wes_daemon.application.runtime.refusals import Refusals
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import RunId, RunSummary

_log = logging.getLogger(__name__)

_DATABASE_RETRY = timedelta(seconds=2)
_CONTENTION_RETRY = timedelta(milliseconds=50)
_ATTEMPTS = 5

Verb = Callable[[RunSummary], RunSummary]
"""Maps the run, as its row is now, to the changed run."""

PlannedUpdate = tuple[str, Callable[[RunSummary], RunUpdate]]
"""The reason of an update, and what builds it from the row as it is now."""


class Recording:
    """One unit of work and the updates of runs that were written in it.

    Attributes:
        changes: the updates that changed a row.
        late: the runs whose update was stored as a late update.
        needs_hint: whether a provider run may have to be cancelled now, which no commit of a service reports.
    """

    def __init__(self, work: UnitOfWork, clock: Clock, by: str) -> None:
        self.work = work
        self.changes: list[RunUpdate] = []
        self.needs_hint = False
        self.late: list[RunId] = []
        self._clock = clock
        self._by = by

    def change(self, run_id: RunId, verb: Verb, why: str) -> None:
        """Apply `verb` to the row as it is now; a service may have changed it since it was read last."""
        self.write({run_id: (why, lambda run: self.update(run, verb(run), why))})

    def note(self, run_id: RunId, why: str) -> None:
        """Add a timeline entry without changing the row; a run without a row is skipped."""
        for run in self.work.runs.read_summaries([run_id]).values():
            self.work.runs.write([RunUpdate(before=run, after=run, entry=self._entry(run, run, why, None))])

    def write(self, updates: Mapping[RunId, PlannedUpdate]) -> None:
        """Build an update of each row as it is now and write all of them in few statements.

        If another session keeps a row locked, its update is stored as a late update. If the service has deleted a row,
        that is logged, and the reason of the update is kept in the timeline.
        """
        if not updates:
            return
        rows = self.work.runs.get_summaries(updates.keys())
        built = [build(rows[run_id]) for run_id, (_, build) in updates.items() if run_id in rows]
        self.work.runs.write(built)
        self.changes += [each for each in built if each.changes_run]
        if missing := {run_id: update for run_id, update in updates.items() if run_id not in rows}:
            self._write_late(missing, wait=LOCKED_WAIT)

    def note_deleted(self, reasons: Mapping[RunId, str]) -> None:
        """Add a timeline entry for each of these runs, whose rows were deleted."""
        if reasons:
            self.work.runs.note_deleted(reasons, at=self._clock.now(), by=self._by)

    def _write_late(self, updates: Mapping[RunId, PlannedUpdate], *, wait: timedelta) -> None:
        rows = self.work.runs.read_summaries(updates.keys())
        late = [LateUpdate.of(updates[run_id][1](run)) for run_id, run in rows.items()]
        self.work.late_updates.add(late, wait=wait)
        self.late += rows.keys()
        deleted = {run_id: why for run_id, (why, _) in updates.items() if run_id not in rows}
        for run_id, why in deleted.items():
            log_event(_log, logging.WARNING, "run.row_vanished", run_id=run_id, instead_of=why)
        self.needs_hint |= bool(deleted)
        self.note_deleted({run_id: f"the row of the run was deleted: {why}" for run_id, why in deleted.items()})

    def update(
        self, before: RunSummary, after: RunSummary, why: str, *, provider_status: str | None = None
    ) -> RunUpdate:
        """Return the update from `before` to `after`, with a timeline entry if the run changes."""
        entry = self._entry(before, after, why, provider_status) if after != before else None
        return RunUpdate(before=before, after=after, entry=entry)

    def _entry(self, before: RunSummary, after: RunSummary, why: str, provider_status: str | None) -> TimelineEntry:
        return TimelineEntry(
            at=self._clock.now(),
            before=before.state,
            after=after.state,
            by=self._by,
            why=why,
            provider_status=provider_status,
        )


class _LateRecording(Recording):
    """A recording that stores all updates of runs as late updates, because the database refused one of them."""

    def write(self, updates: Mapping[RunId, PlannedUpdate]) -> None:
        self._write_late(updates, wait=LOCKED_WAIT)


def commit_recording(
    units: UnitsOfWork,
    write: Callable[[Recording], None],
    *,
    clock: Clock,
    by: str,
    committing: Callable[[Recording], object] = lambda _: None,
) -> Recording:
    """Commit what `write` writes. What the database refuses about the rows of runs is stored as late updates.

    Args:
        committing: called immediately before each commit.

    Raises:
        StorageRefused: the database refuses a row of the daemon's own tables, too; nothing was written.
    """
    try:
        return _committed(units, write, lambda work: Recording(work, clock, by), committing)
    except StorageRefused:
        return _committed(units, write, lambda work: _LateRecording(work, clock, by), committing)


def _committed(
    units: UnitsOfWork,
    write: Callable[[Recording], None],
    make: Callable[[UnitOfWork], Recording],
    committing: Callable[[Recording], object],
) -> Recording:
    with units() as work:
        recording = make(work)
        write(recording)
        committing(recording)
        work.commit()
    return recording


class Recorder:
    """Commits recordings and reports their changes to telemetry.

    Attributes:
        refusals: the runs that the database refuses.
        write_late_updates: makes a pass that writes the late updates.
    """

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        clock: Clock,
        telemetry: Telemetry,
        daemon_session: DaemonSession,
        wakeup: WakeUp,
        stop: StopSignal,
        outage_log: OutageLog,
    ) -> None:
        self._units = units
        self._clock = clock
        self._telemetry = telemetry
        self._daemon_session = daemon_session
        self._wakeup = wakeup
        self._stop = stop
        self._outage_log = outage_log
        self.refusals = Refusals(clock)
        self.write_late_updates = LateWriter(
            units=units, clock=clock, telemetry=telemetry, refusals=self.refusals, by=lambda: daemon_session.id
        )

    def record(self, write: Callable[[Recording], None]) -> None:
        """Write in one transaction and commit it; contention is retried a few times.

        If the database refuses an update of a run, all updates of the transaction are stored as late updates and then
        written without those that it refuses.

        Raises:
            StorageRefused: the database refuses a row of the daemon's own tables, too; nothing was written.
        """
        self._report(self._written(write, []))

    def record_durably(self, write: Callable[[Recording], None]) -> None:
        """As `record`, but retry until the daemon stops if the database is unavailable or misconfigured.

        For answers of providers, which must not be lost. A claim must guard the write, so that a retry does not repeat
        a commit whose answer was lost.
        """
        worker, committing = object(), list[Recording]()
        try:
            self._report(self._written_eventually(write, committing, worker))
        finally:
            if not self._stop.is_raised:
                self._outage_log.succeeded(worker)

    def note_refusals(self, refused: Mapping[RunId, StorageRefused], *, during: str) -> None:
        """Add the reasons to the timelines of runs that were refused for the first time, as far as they are stored."""
        for run_id in filter(self.refusals.is_first, refused):
            self._note_refusal(run_id, f"refused by the database during {during}: {refused[run_id]}")

    def _note_refusal(self, run_id: RunId, reason: str) -> None:
        try:
            self.record(lambda recording: recording.note(run_id, reason))
        except StorageRefused as error:
            self.refusals.log(run_id, error, during="timeline")

    def _written_eventually(
        self, write: Callable[[Recording], None], committing: list[Recording], worker: object
    ) -> Recording:
        while True:
            started = self._outage_log.started()
            try:
                return self._written(write, committing)
            except AlreadyRecorded:
                if not committing:
                    raise
                # The answer to an earlier commit was lost, and that commit took place.
                return committing[-1]
            except (StorageUnavailable, StorageMisconfigured) as error:
                if self._stop.is_raised:
                    raise
                if not isinstance(error, Contended):
                    self._outage_log.failed(worker, error, during="record", started=started)
                self._wakeup.wait(_DATABASE_RETRY)

    def _written(self, write: Callable[[Recording], None], committing: list[Recording]) -> Recording:
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._committed(write, committing)
            except Contended as error:
                log_event(_log, logging.INFO, "database.contended", during="record", reason=error)
                self._wakeup.wait(_CONTENTION_RETRY)
        return self._committed(write, committing)

    def _committed(self, write: Callable[[Recording], None], committing: list[Recording]) -> Recording:
        # Read before the transaction: the first use of the id opens a unit of work, which would wait for this one.
        by = self._daemon_session.id
        return commit_recording(self._units, write, clock=self._clock, by=by, committing=committing.append)

    def _report(self, recording: Recording) -> None:
        for update in recording.changes:
            why = update.entry.why if update.entry else ""
            self._telemetry.state_changed(update.before, update.after, why)
        if recording.needs_hint:
            self._wakeup.hint()
        if isinstance(recording, _LateRecording):
            self.write_late_updates.write_now(recording.late)
        elif recording.late:
            self.write_late_updates.expect(LOCKED_WAIT)
