"""When each use case runs, and how it all stops."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Contended, StorageMisconfigured, StorageUnavailable
from wes_daemon.application.ports.wakeup import ChangeFeed, WakeUp
from wes_daemon.application.runtime import fault_points
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.outage_log import OutageLog
from wes_daemon.application.runtime.stop_signal import StopSignal

_log = logging.getLogger(__name__)

# A supervisor kills after its own grace, which is ten seconds where nobody has said otherwise.
_LONGEST_STOP = timedelta(seconds=9)
_KEPT_FOR_THE_LEASE = timedelta(seconds=1)
_LONGEST_SILENCE = timedelta(seconds=5)
_A_MOMENT = timedelta(milliseconds=200)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicTask:
    """Something that is done again and again.

    Attributes:
        every: how long after one pass has ended the next one begins.
        on_hint: what is done in between, where something may have been queued or cancelled; nothing where it is None.
        rest: how long after a pass the next one is not begun for a hint, so that many hints make few passes.
    """

    name: str
    work: Callable[[], object]
    every: timedelta
    on_hint: Callable[[], object] | None = None
    rest: timedelta = timedelta(0)


class _Latch:
    """Opens when it was counted down to nothing."""

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


class _Rhythm:
    """When which pass of one beat is made: its work in its time, and what hints ask for in between.

    A hint that comes during a pass leads to one more. Whatever has failed is made again, soon.
    """

    def __init__(self, task: PeriodicTask, wakeup: WakeUp, clock: Clock) -> None:
        self._task = task
        self._wakeup = wakeup
        self._clock = clock
        self._hints = wakeup.listener() if task.on_hint else None
        self._due = clock.monotonic()
        self._is_hinted = False
        self._is_due = True

    def next(self) -> Callable[[], object] | None:
        """Wait until a pass is to be made; None where the wait was ended early."""
        left = self._due - self._clock.monotonic()
        self._is_due = left <= timedelta(0)
        if self._is_due:
            return self._task.work
        if self._is_hinted:
            return self._task.on_hint
        self._wait(left)
        return None

    def ended(self, again: timedelta | None) -> None:
        """A pass has ended; where it has failed, it is to be made again so soon."""
        if again is not None:
            self._wakeup.wait(min(again, self._task.every))
        elif self._is_due:
            self._due = self._clock.monotonic() + self._task.every
        else:
            self._is_hinted = False
            self._wakeup.wait(self._task.rest)

    def _wait(self, timeout: timedelta) -> None:
        if self._hints is None:
            self._wakeup.wait(timeout)
        else:
            self._is_hinted = self._hints.wait(timeout)


class Daemon:
    """Runs each beat in a thread of its own, so that none waits for another, until it is told to stop."""

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
        """Do nothing yet.

        Args:
            longest_stop: how long after `stop` the end of `run` may come, whatever providers and database do.
        """
        self._loops = loops
        self._daemon_session = daemon_session
        self._wakeup = wakeup
        self._change_feed = change_feed
        self._clock = clock
        self._stop = stop
        self._outage_log = outage_log
        self._longest_stop = longest_stop

    def run(self) -> bool:
        """Work until `stop` is called, then end within ten seconds.

        Returns:
            Whether everything that was under way has ended and the lease with it. Where it has not, the process may
            be ended all the same: what is stored lets the next daemon resolve it.
        """
        log_event(_log, logging.INFO, "daemon.started", loops=" ".join(task.name for task in self._loops))
        under_way = _Latch(len(self._loops))
        for task in self._loops:
            threading.Thread(target=self._go_on, args=(task, under_way), name=task.name, daemon=True).start()
        hearing = threading.Thread(target=self._change_feed.listen, args=(self._wakeup.hint,), name="news", daemon=True)
        hearing.start()
        while not self._stop.is_raised:
            self._wakeup.wait(timedelta(hours=1))
        fault_points.reached("stop.begun")
        self._change_feed.close()
        ended = self._end(under_way)
        # It may be in the middle of connecting, and has nothing to lose.
        hearing.join(_A_MOMENT.total_seconds())
        log_event(_log, logging.INFO, "daemon.stopped", everything_ended=ended)
        return ended

    def stop(self) -> None:
        """Begin nothing new. Safe from a signal handler and from any thread, any number of times."""
        self._stop.set()
        self._wakeup.wake()

    def _go_on(self, task: PeriodicTask, under_way: _Latch) -> None:
        rhythm = _Rhythm(task, self._wakeup, self._clock)
        while not self._stop.is_raised:
            if (work := rhythm.next()) is not None:
                rhythm.ended(self._once(task, work))
        under_way.count_down()

    def _once(self, task: PeriodicTask, work: Callable[[], object]) -> timedelta | None:
        """Make one pass; how soon to make it again where it has failed. Nothing that goes wrong ends the daemon."""
        begun = self._outage_log.begins()
        try:
            work()
        except Contended as error:
            log_event(_log, logging.INFO, "database.contended", during=task.name, reason=error)
            return _A_MOMENT
        except (StorageUnavailable, StorageMisconfigured) as error:
            self._outage_log.failed(task.name, error, during=task.name, begun=begun)
            return _LONGEST_SILENCE
        except Exception:  # noqa: BLE001 - the daemon's outermost loop: the other of the two places
            _log.exception("daemon.pass_failed during=%s", task.name)
            return task.every
        self._outage_log.worked(task.name)
        return None

    def _end(self, under_way: _Latch) -> bool:
        """Wait for what is under way, then close the lease; whether both came to their end in time."""
        # The database may keep whoever talks to it for much longer than a stop may take.
        closing = threading.Thread(target=self._close, args=(under_way,), name="close", daemon=True)
        closing.start()
        closing.join(self._longest_stop.total_seconds())
        return under_way.wait(timedelta()) and not closing.is_alive()

    def _close(self, under_way: _Latch) -> None:
        under_way.wait(max(self._longest_stop - _KEPT_FOR_THE_LEASE, timedelta()))
        try:
            self._daemon_session.close()
        except (StorageUnavailable, StorageMisconfigured) as error:
            log_event(_log, logging.WARNING, "lease.not_closed", reason=error)
