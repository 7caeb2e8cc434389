"""Work that is done now and then, with an urgent part that is done more often, and only where there is any."""

from collections.abc import Callable
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock


class WhereNeeded:
    """Work that is begun where one of some cheap looks, taken one after the other, sees that there is any."""

    def __init__(self, work: Callable[[], object], *looks: Callable[[], bool]) -> None:
        self._work = work
        self._looks = looks

    def __call__(self) -> object:
        """What the work returns; None where there was nothing to do."""
        return self._work() if any(look() for look in self._looks) else None


class Paced:
    """Each call does the urgent part, or the whole where that was last done long enough ago."""

    def __init__(
        self, *, whole: Callable[[], object], urgent: Callable[[], object], every: timedelta, clock: Clock
    ) -> None:
        self._whole = whole
        self._urgent = urgent
        self._every = every
        self._clock = clock
        self._done_at: timedelta | None = None

    def __call__(self) -> object:
        """What the part that was done returns; one that raises does not count as done."""
        if self._done_at is not None and self._clock.monotonic() - self._done_at < self._every:
            return self._urgent()
        report = self._whole()
        self._done_at = self._clock.monotonic()
        return report
