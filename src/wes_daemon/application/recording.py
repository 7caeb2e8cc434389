"""How changes of runs are written: under a timeline entry, in one transaction, told to telemetry once committed."""

import logging
from collections.abc import Callable
from datetime import timedelta

from wes_daemon.application.events import log_event
from wes_daemon.application.incarnation import Incarnation
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import RunNotFound, StorageMisconfigured, StorageUnavailable
from wes_daemon.application.ports.persistence import TimelineEntry, UnitOfWork, UnitsOfWork
from wes_daemon.application.ports.telemetry import Telemetry
from wes_daemon.application.ports.wakeup import WakeUp
from wes_daemon.application.stopping import StopSignal
from wes_daemon.domain.runs import Run, RunId

_log = logging.getLogger(__name__)

_DATABASE_RETRY = timedelta(seconds=2)


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
        incarnation: Incarnation,
        wakeup: WakeUp,
        stop: StopSignal,
    ) -> None:
        self._units = units
        self._clock = clock
        self._telemetry = telemetry
        self._incarnation = incarnation
        self._wakeup = wakeup
        self._stop = stop

    def record(self, write: Callable[[Recording], None]) -> None:
        """Write in one transaction and commit it."""
        # Asked for before the transaction: the first answer needs one of its own, which would wait for ours.
        by = self._incarnation.id
        with self._units() as work:
            recording = Recording(work, self._clock, by)
            write(recording)
            work.commit()
        for before, after, why in recording.changes:
            self._telemetry.state_changed(before, after, why)

    def record_durably(self, write: Callable[[Recording], None]) -> None:
        """As `record`, but wait for a database that is away or out of order until the daemon is to stop.

        For what a provider has answered: it is worth waiting for.
        """
        said = False
        while True:
            try:
                return self.record(write)
            except (StorageUnavailable, StorageMisconfigured) as error:
                if self._stop.is_raised:
                    raise
                if not said:
                    log_event(_log, logging.ERROR, "database.unavailable", during="record", reason=error)
                said = True
                self._wakeup.wait(_DATABASE_RETRY)
