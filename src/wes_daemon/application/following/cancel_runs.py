"""Cancels passed on: to the provider that holds the run, or straight to the end where none does."""

import logging
from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import CircuitOpen, ProviderError
from wes_daemon.application.ports.polls import RunToCancel
from wes_daemon.application.ports.providers import ProviderDirectory
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.runtime import fault_points
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.recording import Recorder, Recording
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderType

_log = logging.getLogger(__name__)

_BATCH = 100
# Every minute of a run that nobody wants costs money.
_AGAIN = timedelta(seconds=30)
_CANCELLED_BEFORE = "cancelled before any provider had it"


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReport:
    """What one pass did.

    Attributes:
        ended: runs that no provider had and that are cancelled now.
        passed_on: runs whose provider was told.
        put_off: runs whose provider could not be told this time.
    """

    ended: int = 0
    passed_on: int = 0
    put_off: int = 0


class CancelRuns:
    """One pass over the runs that somebody wants cancelled.

    A run whose submission is under way, or whose outcome is unknown, is resolved first, by submission;
    the pass after that finds it here.
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
        hold: timedelta,
        serving: Collection[ProviderType] = frozenset(ProviderType),
    ) -> None:
        self._units = units
        self._recorder = recorder
        self._providers = providers
        self._clock = clock
        self._pool = pool
        self._stop = stop
        self._reminder_interval = reminder_interval
        self._hold = hold
        self._others = frozenset(ProviderType) - frozenset(serving)
        self._complaints = LogThrottle(clock, every=timedelta(minutes=1))

    def __call__(self) -> CancelReport:
        """Make one pass and return when all its calls have ended."""
        ended = self._end_withdrawn()
        told: list[bool] = []
        while not self._stop.is_raised and (held := self._take_held()):
            told.extend(self._pool.map(self._tell_provider, held))
        return CancelReport(ended=ended, passed_on=sum(told), put_off=len(told) - sum(told))

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
            withdrawn = recording.work.submissions.withdrawn(limit=_BATCH)
            for run_id in withdrawn:
                recording.change(run_id, lambda run: run.cancelled_before_submission(now), _CANCELLED_BEFORE)
            ended = len(withdrawn)

        self._recorder.record(write)
        return ended

    def _take_held(self) -> Sequence[RunToCancel]:
        with self._units() as work:
            held = work.polls.to_cancel(limit=_BATCH, hold=self._hold, excluding=self._others)
            work.commit()
        return held

    def _tell_provider(self, run: RunToCancel) -> bool:
        """Whether the provider was told; where a daemon dies over it, the next one tells it soon."""
        wait = guarded(lambda: self._cancel(run), otherwise=lambda _: _AGAIN, during="cancel", of=run.run_id)
        again = self._reminder_interval if wait is None else wait
        self._recorder.record(lambda rec: rec.work.polls.cancel_again(run, wait=again))
        return wait is None

    def _cancel(self, run: RunToCancel) -> timedelta | None:
        """How long until the provider is to be told that could not be told now; None where it was."""
        fault_points.reached("cancel.before_call")
        try:
            self._providers.provider(run.provider).cancel(run.provider_run_id)
        except CircuitOpen as error:
            # That nothing is sent was said when the circuit opened.
            return error.retry_after or _AGAIN
        except ProviderError as error:
            if self._complaints.allows(run.provider):
                log_event(
                    _log, logging.WARNING, "cancel.put_off", run_id=run.run_id, provider=run.provider, reason=error
                )
            return _AGAIN
        fault_points.reached("cancel.after_answer")
        log_event(_log, logging.INFO, "cancel.passed_on", run_id=run.run_id, provider=run.provider)
        return None
