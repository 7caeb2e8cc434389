"""Pacing of a loop: passes without work are skipped, and urgent passes are more frequent than full ones."""

from collections.abc import Callable
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock

_PAUSE_PER_DURATION = 20
_LONGEST_PAUSE = timedelta(seconds=5)


class IfWorkFound:
    """Executes a pass only if one of its probes finds work. The probes run in order until one finds work."""

    def __init__(self, work: Callable[[], object], *probes: Callable[[], bool]) -> None:
        self._work = work
        self._probes = probes

    def __call__(self) -> object:
        """Return the report of the pass; None if no probe found work."""
        return self._work() if any(probe() for probe in self._probes) else None


class PacedProbe:
    """A probe that measures its own duration, so that the pause after it limits its share of the time to 5 percent."""

    def __init__(self, probe: Callable[[], bool], clock: Clock, *, shortest: timedelta) -> None:
        self._probe = probe
        self._clock = clock
        self._shortest = shortest
        self._duration = timedelta(0)

    def __call__(self) -> bool:
        """Return what the probe finds."""
        started = self._clock.monotonic()
        found = self._probe()
        self._duration = self._clock.monotonic() - started
        return found

    def pause(self) -> timedelta:
        """How long not to probe again: 20 times the last duration, at least `shortest`, and five seconds at most.

        A longer pause would delay cancellations when a probe was slow only because the machine was busy.
        """
        return max(self._shortest, min(self._duration * _PAUSE_PER_DURATION, _LONGEST_PAUSE))


class UrgentOrFullPass:
    """Each call executes the urgent pass, or the full pass if the last full pass is at least `every` ago.

    After a report for which `leaves_work` is true, each call executes the full pass until `every` has passed.
    """

    def __init__(
        self,
        *,
        full: Callable[[], object],
        urgent: Callable[[], object],
        every: timedelta,
        clock: Clock,
        leaves_work: Callable[[object], bool] = lambda _: False,
    ) -> None:
        self._full = full
        self._urgent = urgent
        self._every = every
        self._clock = clock
        self._leaves_work = leaves_work
        self._full_pass_at: timedelta | None = None
        self._work_left_at: timedelta | None = None

    def __call__(self) -> object:
        """Return the report of the pass. A full pass that raises an error does not count as executed."""
        if self._is_recent(self._full_pass_at) and not self._is_recent(self._work_left_at):
            return self._urgent()
        report = self.note_report(self._full())
        self._full_pass_at = self._clock.monotonic()
        return report

    def note_report(self, report: object) -> object:
        """Take the report of a pass into account and return it; any caller may have executed the pass."""
        if self._leaves_work(report):
            self._work_left_at = self._clock.monotonic()
        return report

    def _is_recent(self, moment: timedelta | None) -> bool:
        return moment is not None and self._clock.monotonic() - moment < self._every
