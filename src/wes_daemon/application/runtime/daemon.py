"""Runs every loop in a thread of its own, and stops them all within a bounded time."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Contended, StorageMisconfigured, StorageRefused, StorageUnavailable
from wes_daemon.application.ports.wakeup import ChangeFeed, WakeUp
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.outage_log import OutageLog
from wes_daemon.application.runtime.stop_signal import StopSignal

_log = logging.getLogger(__name__)

# A supervisor asks a process to stop and kills it some time later, usually after ten seconds.
_LONGEST_STOP = timedelta(seconds=9)
_TIME_TO_CLOSE_LEASE = timedelta(seconds=1)
_OUTAGE_RETRY = timedelta(seconds=5)
_CONTENTION_RETRY = timedelta(milliseconds=200)
_CHANGE_FEED_END = timedelta(milliseconds=200)
_REFUSALS_LOGGED_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicTask:
    """Work that one loop of the daemon repeats.

    Attributes:
        name: the loop's name in the log.
        work: executes one pass.
        every: the time from the end of one pass to the start of the next.
        on_hint: executes a pass after a hint that a run may have been queued or cancelled; None to ignore hints.
        pause_after_hint: how long further hints start no pass after a pass that a hint started, so that many hints
            lead to few passes. A function is called after each such pass.
    """

    name: str
    work: Callable[[], object]
    every: timedelta
    on_hint: Callable[[], object] | None = None
    pause_after_hint: timedelta | Callable[[], timedelta] = timedelta(0)


class Daemon:
    """Runs each loop in a thread of its own until it is stopped; no loop waits for another."""

    def __init__(
        self,
        *,
        loops: Sequence[PeriodicTask],
        daemon_session: DaemonSession,
        wakeup: WakeUp,
        change_feed: ChangeFeed,
        clock: Clock,
        stop: StopSignal,
        outage_log: OutageLog,
        longest_stop: timedelta = _LONGEST_STOP,
    ) -> None:
        """Start nothing yet.

        Args:
            longest_stop: the longest time from `stop` to the end of `run`, even if providers or the database hang.
        """
        self._loops = loops
        self._daemon_session = daemon_session
        self._wakeup = wakeup
        self._change_feed = change_feed
        self._clock = clock
        self._stop = stop
        self._outage_log = outage_log
        self._longest_stop = longest_stop
        self._logged_refusals = LogThrottle(clock, every=_REFUSALS_LOGGED_EVERY)

    def run(self) -> bool:
        """Run the loops until `stop` is called, then return within ten seconds.

        Returns:
            Whether all passes have ended and the lease is closed. If not, the process may still exit: the
            database contains everything that the next daemon needs to continue.
        """
        log_event(_log, logging.INFO, "daemon.started", loops=" ".join(task.name for task in self._loops))
        running = _CountDownLatch(len(self._loops))
        for task in self._loops:
            threading.Thread(target=self._run_loop, args=(task, running), name=task.name, daemon=True).start()
        feed = threading.Thread(
            target=self._change_feed.listen, args=(self._wakeup.hint,), name="change-feed", daemon=True
        )
        feed.start()
        while not self._stop.is_raised:
            self._wakeup.wait(timedelta(hours=1))
        self._change_feed.close()
        has_ended = self._wait_for_end(running)
        # A change feed that is still connecting can be abandoned: it stores nothing.
        feed.join(_CHANGE_FEED_END.total_seconds())
        log_event(_log, logging.INFO, "daemon.stopped", everything_ended=has_ended)
        return has_ended

    def stop(self) -> None:
        """Start no further pass. May be called from a signal handler and any thread, and repeatedly."""
        self._stop.set()
        self._wakeup.wake()

    def _run_loop(self, task: PeriodicTask, running: "_CountDownLatch") -> None:
        schedule = _LoopSchedule(task, self._wakeup, self._clock)
        while not self._stop.is_raised:
            if (work := schedule.next_pass()) is not None:
                schedule.pass_ended(retry_after=self._execute(task, work))
        running.count_down()

    def _execute(self, task: PeriodicTask, work: Callable[[], object]) -> timedelta | None:
        """Execute one pass; if it failed, return the time after which it is repeated. No error ends the daemon."""
        started = self._outage_log.started()
        try:
            work()
        except Contended as error:
            log_event(_log, logging.INFO, "database.contended", during=task.name, reason=error)
            return _CONTENTION_RETRY
        except (StorageUnavailable, StorageMisconfigured) as error:
            self._outage_log.failed(task.name, error, during=task.name, started=started)
            return _OUTAGE_RETRY
        except StorageRefused as error:
            # The pass found no single run that is refused. The database works, and the other loops are not affected.
            self._outage_log.succeeded(task.name)
            if self._logged_refusals.allows(task.name):
                log_event(_log, logging.ERROR, "database.refused", during=task.name, reason=error)
            return task.every
        except Exception:  # noqa: BLE001 - a bug must not end the loop; `guarded` has the other such handler
            _log.exception("daemon.pass_failed during=%s", task.name)
            return task.every
        self._outage_log.succeeded(task.name)
        return None

    def _wait_for_end(self, running: "_CountDownLatch") -> bool:
        """Wait for the passes that are running, then close the lease; return whether both ended in time."""
        # In a thread of its own: a call to the database may hang for much longer than a stop may take.
        closing = threading.Thread(target=self._close_lease, args=(running,), name="close", daemon=True)
        closing.start()
        closing.join(self._longest_stop.total_seconds())
        return running.wait(timedelta()) and not closing.is_alive()

    def _close_lease(self, running: "_CountDownLatch") -> None:
        running.wait(max(self._longest_stop - _TIME_TO_CLOSE_LEASE, timedelta()))
        try:
            self._daemon_session.close()
        except (StorageUnavailable, StorageMisconfigured) as error:
            log_event(_log, logging.WARNING, "lease.not_closed", reason=error)


class _LoopSchedule:
    """Decides when a loop executes its next pass: when the pass is due, or after a hint.

    A hint that comes during a pass leads to one more pass. A pass that failed is repeated soon.
    """

    def __init__(self, task: PeriodicTask, wakeup: WakeUp, clock: Clock) -> None:
        self._task = task
        self._wakeup = wakeup
        self._clock = clock
        self._hints = wakeup.listener() if task.on_hint else None
        self._next_due = clock.monotonic()
        self._has_hint = False
        self._is_due = True

    def next_pass(self) -> Callable[[], object] | None:
        """Return the pass to execute now; otherwise wait once, and return None."""
        left = self._next_due - self._clock.monotonic()
        self._is_due = left <= timedelta(0)
        if self._is_due:
            return self._task.work
        if self._has_hint:
            return self._task.on_hint
        self._wait(left)
        return None

    def pass_ended(self, *, retry_after: timedelta | None) -> None:
        """Plan the next pass; `retry_after` is given if this one failed."""
        if retry_after is not None:
            self._wakeup.wait(min(retry_after, self._task.every))
        elif self._is_due:
            self._next_due = self._clock.monotonic() + self._task.every
        else:
            self._has_hint = False
            pause = self._task.pause_after_hint
            self._wakeup.wait(pause() if callable(pause) else pause)

    def _wait(self, timeout: timedelta) -> None:
        if self._hints is None:
            self._wakeup.wait(timeout)
        else:
            self._has_hint = self._hints.wait(timeout)


class _CountDownLatch:
    """Lets threads wait until a number of others have ended."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._changed = threading.Condition()

    def count_down(self) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait(self, timeout: timedelta) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._count <= 0, timeout.total_seconds())
