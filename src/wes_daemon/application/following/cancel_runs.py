"""Passes cancellations on to the provider that has the run, or ends the run directly if no provider has it."""

import logging
from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import CircuitOpen, ProviderError
from wes_daemon.application.ports.polls import RunToCancel
from wes_daemon.application.ports.providers import ProviderDirectory
from wes_daemon.application.ports.runs import RunUpdate
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.ports.wakeup import WakeUp
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.recording import Recorder, Recording
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderType, RunId, RunSummary

_log = logging.getLogger(__name__)

_BATCH = 100
# Every further minute of a cancelled run costs money.
_RETRY_DELAY = timedelta(seconds=30)
_CANCELLED_BEFORE = "cancelled before any provider had it"
_ENDED_BEFORE = "ended without an end time, before any provider had it"
# A service may replace a row in two transactions. A row that is still missing after this time is deleted.
_CONFIRMATION_DELAY = timedelta(milliseconds=300)
_DELETED = "the row of the run was deleted: its provider run is cancelled"
_MISSING_ADVICE = (
    "their provider runs continue: restore the rows, or see the runs with `wes-daemon reconcile` "
    "and cancel them with `wes-daemon reconcile --apply`"
)
_KEPT = "the row of the run was deleted together with too many others: its provider run continues"


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReport:
    """The outcome of one pass.

    Attributes:
        ended: runs that no provider had and that are cancelled now, or that have got their end time now.
        passed_on: runs whose provider accepted the cancellation.
        deferred: runs whose provider did not accept the cancellation; a later pass repeats it.
        kept: runs whose row was deleted and that continue at their provider, because too many rows were missing.
    """

    ended: int = 0
    passed_on: int = 0
    deferred: int = 0
    kept: int = 0


class CancelRuns:
    """One pass over the runs whose cancellation was requested.

    A service requests it by the state `CANCELING`, by an end state, or by deleting the row of an active run.
    If many rows are missing at once, the cause may be an accident with the service's table: then no deleted run is
    cancelled, and `reconcile` shows them.
    Submission first resolves a run whose submission is in progress or in doubt; a later pass then cancels the run.
    """

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        recorder: Recorder,
        providers: ProviderDirectory,
        clock: Clock,
        pool: Executor,
        stop: StopSignal,
        wakeup: WakeUp,
        reminder_interval: timedelta,
        lease: timedelta,
        most_deleted: int,
        serving: Collection[ProviderType] | None = None,
    ) -> None:
        """Make no pass yet.

        Args:
            reminder_interval: how long a provider has to end a run before the cancellation is sent again.
            lease: how long other daemons skip a run whose cancellation this one sends.
            most_deleted: of more runs whose rows are found deleted at once, none is cancelled.
        """
        self._units = units
        self._recorder = recorder
        self._providers = providers
        self._clock = clock
        self._pool = pool
        self._stop = stop
        self._wakeup = wakeup
        self._most_deleted = most_deleted
        self._reminder_interval = reminder_interval
        self._lease = lease
        self._serving = frozenset(providers.enabled if serving is None else serving)
        self._log_throttle = LogThrottle(clock, every=timedelta(minutes=1))

    def __call__(self) -> CancelReport:
        """Make one pass and return when all its calls have ended."""
        ended = self._end_withdrawn()
        sent = self._send_cancels()
        kept = 0
        if not self._stop.is_raised and (deleted := self._deleted()):
            kept = self._decide_about(deleted)
            sent += self._send_cancels()
        return CancelReport(ended=ended, passed_on=sum(sent), deferred=len(sent) - sum(sent), kept=kept)

    def _send_cancels(self) -> list[bool]:
        """Send all cancellations; return for each whether the provider accepted it."""
        sent: list[bool] = []
        while not self._stop.is_raised and (runs := self._lease_runs()):
            sent.extend(self._pool.map(self._send_cancel, runs))
        return sent

    def _deleted(self) -> Collection[RunId]:
        with self._units() as work:
            work.polls.forget_restored()
            deleted = work.polls.deleted()
            work.commit()
        return frozenset(deleted)

    def _decide_about(self, seen: Collection[RunId]) -> int:
        """Decide about the runs whose rows are still missing after a moment; return how many are kept."""
        self._wakeup.wait(_CONFIRMATION_DELAY)
        cancelled: Collection[RunId] = ()
        kept: Collection[RunId] = ()

        def write(recording: Recording) -> None:
            nonlocal cancelled, kept
            deleted = sorted(set(seen).intersection(recording.work.polls.deleted()))
            cancelled, kept = ((), deleted) if self._is_accident(recording, deleted) else (deleted, ())
            recording.work.polls.cancel_deleted(cancelled)
            recording.work.polls.keep_deleted(kept)
            recording.note_deleted(dict.fromkeys(cancelled, _DELETED) | dict.fromkeys(kept, _KEPT))

        self._recorder.record(write)
        for run_id in cancelled:
            log_event(_log, logging.WARNING, "cancel.row_deleted", run_id=run_id)
        if kept:
            self._log_missing(kept)
        return len(kept)

    def _log_missing(self, kept: Collection[RunId]) -> None:
        is_too_many = len(kept) > self._most_deleted
        log_event(
            _log,
            logging.ERROR,
            "cancel.rows_missing",
            runs=len(kept),
            allowed=self._most_deleted,
            reason="more rows than allowed" if is_too_many else "the table is empty",
            advice=_MISSING_ADVICE,
        )

    def _is_accident(self, recording: Recording, deleted: Collection[RunId]) -> bool:
        """Whether so many rows are missing that their provider runs must not be cancelled without a person."""
        if len(deleted) > self._most_deleted:
            return True
        return len(deleted) > 1 and recording.work.runs.is_empty()

    def _end_withdrawn(self) -> int:
        total = 0
        while not self._stop.is_raised and (ended := self._end_batch()):
            total += ended
        return total

    def _end_batch(self) -> int:
        now = self._clock.now()
        ended = 0

        def write(recording: Recording) -> None:
            nonlocal ended
            withdrawn = recording.work.submissions.close_withdrawn(limit=_BATCH)
            recording.write(
                {run_id: (_CANCELLED_BEFORE, lambda run: _end(recording, run, now)) for run_id in withdrawn}
            )
            ended = len(withdrawn)

        self._recorder.record(write)
        return ended

    def _lease_runs(self) -> Sequence[RunToCancel]:
        with self._units() as work:
            runs = work.polls.to_cancel(limit=_BATCH, lease=self._lease, serving=self._serving)
            work.commit()
        return runs

    def _send_cancel(self, run: RunToCancel) -> bool:
        """Send the cancellation; return whether the provider accepted it. After a crash another daemon repeats it."""
        retry = guarded(lambda: self._cancel(run), otherwise=lambda _: _RETRY_DELAY, during="cancel", of=run.run_id)
        delay = self._reminder_interval if retry is None else retry
        self._recorder.record(lambda recording: recording.work.polls.cancel_again(run, delay=delay))
        return retry is None

    def _cancel(self, run: RunToCancel) -> timedelta | None:
        """Return the delay after which the call must be repeated; None if the provider accepted it."""
        try:
            self._providers.provider(run.provider).cancel(run.provider_run_id)
        except CircuitOpen as error:
            # The open circuit was logged when it opened.
            return error.retry_after or _RETRY_DELAY
        except ProviderError as error:
            if self._log_throttle.allows(run.provider):
                log_event(
                    _log, logging.WARNING, "cancel.deferred", run_id=run.run_id, provider=run.provider, reason=error
                )
            return _RETRY_DELAY
        log_event(_log, logging.INFO, "cancel.passed_on", run_id=run.run_id, provider=run.provider)
        return None


def _end(recording: Recording, run: RunSummary, now: datetime) -> RunUpdate:
    why = _ENDED_BEFORE if run.state.has_ended else _CANCELLED_BEFORE
    return recording.update(run, run.cancelled_before_submission(now), why)
