"""How changes of runs are written: under a timeline entry, in one transaction, told to telemetry once committed."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    AlreadyRecorded,
    Contended,
    RunNotFound,
    StorageMisconfigured,
    StorageUnavailable,
)
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.application.ports.telemetry import Telemetry
from wes_daemon.application.ports.unit_of_work import UnitOfWork, UnitsOfWork
from wes_daemon.application.ports.wakeup import WakeUp
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.outage_log import OutageLog
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import Run, RunId, TaskLog

_log = logging.getLogger(__name__)

_DATABASE_RETRY = timedelta(seconds=2)
_A_MOMENT = timedelta(milliseconds=50)
_TURNS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to become of one row.

    Attributes:
        entry_status: the provider's own word, for the timeline.
        new_status, message: what is to be kept as the provider's latest words; None where that is known.
    """

    run_id: RunId
    verb: Callable[[Run], Run]
    why: str
    entry_status: str | None = None
    new_status: str | None = None
    message: str = ""
    details: RunDetails | None = None
    tasks: Sequence[TaskLog] = ()


class Recording:
    """One unit of work, and the changes of runs that were made in it."""

    def __init__(self, work: UnitOfWork, clock: Clock, by: str) -> None:
        self.work = work
        self.changes: list[tuple[Run, Run, str]] = []
        self._clock = clock
        self._by = by

    def change(self, run_id: RunId, verb: Callable[[Run], Run], why: str, provider_status: str | None = None) -> bool:
        """Apply a verb to the row as it is now, which a service may have changed since it was last read.

        Returns:
            Whether there is a row; one that the service has deleted meanwhile is said in the log and is no error.
        """
        try:
            before = self.work.runs.get(run_id)
        except RunNotFound:
            log_event(_log, logging.WARNING, "run.row_vanished", run_id=run_id, instead_of=why)
            return False
        after = verb(before)
        if after != before:
            self.work.runs.save(before, after, self._entry(before, after, why, provider_status))
            self.changes.append((before, after, why))
        return True

    def change_all(self, changes: Collection[Change]) -> Mapping[RunId, Run]:
        """As `change` for each, in few statements; the rows that there are, as they are afterwards."""
        rows = self.work.runs.get_many([each.run_id for each in changes])
        news = [self._news(rows[each.run_id], each) for each in changes if each.run_id in rows]
        self.work.runs.write(news)
        for each in changes:
            if each.run_id not in rows:
                log_event(_log, logging.WARNING, "run.row_vanished", run_id=each.run_id, instead_of=each.why)
        return {each.before.id: each.after for each in news}

    def _news(self, before: Run, change: Change) -> RunUpdate:
        after = change.verb(before)
        if after != before:
            self.changes.append((before, after, change.why))
        entry = self._entry(before, after, change.why, change.entry_status) if after != before else None
        return RunUpdate(
            before=before,
            after=after,
            entry=entry,
            provider_status=change.new_status,
            provider_message=change.message,
            details=change.details,
            tasks=change.tasks,
        )

    def note(self, run_id: RunId, why: str) -> None:
        """Put into the timeline what has changed nothing in the row; nothing where there is no row."""
        with suppress(RunNotFound):
            run = self.work.runs.get(run_id)
            self.work.runs.save(run, run, self._entry(run, run, why, None))

    def _entry(self, before: Run, after: Run, why: str, provider_status: str | None) -> TimelineEntry:
        return TimelineEntry(
            at=self._clock.now(),
            before=before.state,
            after=after.state,
            by=self._by,
            why=why,
            provider_status=provider_status,
        )


class Recorder:
    """Makes recordings durable."""

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

    def record(self, write: Callable[[Recording], None]) -> None:
        """Write in one transaction and commit it."""
        self._tell(self._written(write, []))

    def record_durably(self, write: Callable[[Recording], None]) -> None:
        """As `record`, but wait for a database that is away or out of order until the daemon is to stop.

        For what a provider has answered: it is worth waiting for. What is written must be guarded by a claim, so that
        it is written once, also where the answer to a commit is lost.
        """
        me, committing = object(), list[Recording]()
        try:
            self._tell(self._written_in_the_end(write, committing, me))
        finally:
            if not self._stop.is_raised:
                self._outage_log.worked(me)

    def _written_in_the_end(
        self, write: Callable[[Recording], None], committing: list[Recording], me: object
    ) -> Recording:
        while True:
            begun = self._outage_log.begins()
            try:
                return self._written(write, committing)
            except AlreadyRecorded:
                if not committing:
                    raise
                # The answer to an earlier commit was lost, and it is ours that is there.
                return committing[-1]
            except (StorageUnavailable, StorageMisconfigured) as error:
                if self._stop.is_raised:
                    raise
                if not isinstance(error, Contended):
                    self._outage_log.failed(me, error, during="record", begun=begun)
                self._wakeup.wait(_DATABASE_RETRY)

    def _written(self, write: Callable[[Recording], None], committing: list[Recording]) -> Recording:
        """What was committed; whatever another transaction was in the way of is written anew a few times."""
        for _ in range(_TURNS - 1):
            try:
                return self._committed(write, committing)
            except Contended as error:
                log_event(_log, logging.INFO, "database.contended", during="record", reason=error)
                self._wakeup.wait(_A_MOMENT)
        return self._committed(write, committing)

    def _committed(self, write: Callable[[Recording], None], committing: list[Recording]) -> Recording:
        # Asked for before the transaction: the first answer needs one of its own, which would wait for ours.
        by = self._daemon_session.id
        with self._units() as work:
            recording = Recording(work, self._clock, by)
            write(recording)
            committing.append(recording)
            work.commit()
        return recording

    def _tell(self, recording: Recording) -> None:
        for before, after, why in recording.changes:
            self._telemetry.state_changed(before, after, why)
