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
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.recording import Recorder, Recording
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderType, RunSummary

_log = logging.getLogger(__name__)

_BATCH = 100
# Every further minute of a cancelled run costs money.
_RETRY_DELAY = timedelta(seconds=30)
_CANCELLED_BEFORE = "cancelled before any provider had it"
_ENDED_BEFORE = "ended without an end time, before any provider had it"


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReport:
    """The outcome of one pass.

    Attributes:
        ended: runs that no provider had and that are cancelled now, or that have got their end time now.
        passed_on: runs whose provider accepted the cancellation.
        deferred: runs whose provider did not accept the cancellation; a later pass repeats it.
    """

    ended: int = 0
    passed_on: int = 0
    deferred: int = 0


class CancelRuns:
    """One pass over the runs whose cancellation was requested.

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
        reminder_interval: timedelta,
        lease: timedelta,
        serving: Collection[ProviderType] = frozenset(ProviderType),
    ) -> None:
        """Make no pass yet.

        Args:
            reminder_interval: how long a provider has to end a run before the cancellation is sent again.
            lease: how long other daemons skip a run whose cancellation this one sends.
        """
        self._units = units
        self._recorder = recorder
        self._providers = providers
        self._clock = clock
        self._pool = pool
        self._stop = stop
        self._reminder_interval = reminder_interval
        self._lease = lease
        self._serving = frozenset(serving)
        self._log_throttle = LogThrottle(clock, every=timedelta(minutes=1))

    def __call__(self) -> CancelReport:
        """Make one pass and return when all its calls have ended."""
        ended = self._end_withdrawn()
        sent: list[bool] = []
        while not self._stop.is_raised and (runs := self._lease_runs()):
            sent.extend(self._pool.map(self._send_cancel, runs))
        return CancelReport(ended=ended, passed_on=sum(sent), deferred=len(sent) - sum(sent))

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
            for run_id in withdrawn:
                recording.write({run_id: (_CANCELLED_BEFORE, lambda run: _end(recording, run, now))})
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
