"""Pacing of a loop: skip passes without work, and make urgent passes more often than full ones."""

from collections.abc import Callable
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock


class IfWorkFound:
    """Work that is done only if one of its probes finds some. The probes run in order until one does."""

    def __init__(self, work: Callable[[], object], *probes: Callable[[], bool]) -> None:
        self._work = work
        self._probes = probes

    def __call__(self) -> object:
        """The report of the work; None if there was none."""
        return self._work() if any(probe() for probe in self._probes) else None


class UrgentOrFullPass:
    """Each call makes the urgent pass, or the full pass if the last one is at least `every` ago.

    After a report that `leaves_work`, each call makes the full pass, for the time of `every`.
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
        """The report of the pass. A full pass that raises does not count as made."""
        if self._is_recent(self._full_pass_at) and not self._is_recent(self._work_left_at):
            return self._urgent()
        report = self.note_report(self._full())
        self._full_pass_at = self._clock.monotonic()
        return report

    def note_report(self, report: object) -> object:
        """Take the report of a pass into account, also of one made elsewhere; return it."""
        if self._leaves_work(report):
            self._work_left_at = self._clock.monotonic()
        return report

    def _is_recent(self, moment: timedelta | None) -> bool:
        return moment is not None and self._clock.monotonic() - moment < self._every
