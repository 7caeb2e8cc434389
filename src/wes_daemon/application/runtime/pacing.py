"""Work that is done now and then, with an urgent part that is done more often, and only where there is any."""

from collections.abc import Callable
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock


class IfWorkFound:
    """Work that is begun where one of some cheap looks, taken one after the other, sees that there is any."""

    def __init__(self, work: Callable[[], object], *looks: Callable[[], bool]) -> None:
        self._work = work
        self._looks = looks

    def __call__(self) -> object:
        """What the work returns; None where there was nothing to do."""
        return self._work() if any(look() for look in self._looks) else None


class UrgentOrFullPass:
    """Each call does the urgent part, or the whole where that was last done long enough ago.

    Where the whole has left something that may work soon, each call does the whole again for as long as it is paced
    by otherwise.
    """

    def __init__(
        self,
        *,
        whole: Callable[[], object],
        urgent: Callable[[], object],
        every: timedelta,
        clock: Clock,
        has_left_some: Callable[[object], bool] = lambda _: False,
    ) -> None:
        self._whole = whole
        self._urgent = urgent
        self._every = every
        self._clock = clock
        self._has_left_some = has_left_some
        self._done_at: timedelta | None = None
        self._left_some_at: timedelta | None = None

    def __call__(self) -> object:
        """What the part that was done returns; one that raises does not count as done."""
        if self._is_recent(self._done_at) and not self._is_recent(self._left_some_at):
            return self._urgent()
        report = self.note(self._whole())
        self._done_at = self._clock.monotonic()
        return report

    def note(self, report: object) -> object:
        """Look whether what was done besides has left some, too; returns the report."""
        if self._has_left_some(report):
            self._left_some_at = self._clock.monotonic()
        return report

    def _is_recent(self, moment: timedelta | None) -> bool:
        return moment is not None and self._clock.monotonic() - moment < self._every
