"""Logs a database outage once, and its end once, however many threads notice it."""

import logging
import threading
from collections.abc import Hashable
from datetime import datetime

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.runtime.event_log import log_event

_log = logging.getLogger(__name__)


class OutageLog:
    """Records how every operation on the database ended; one per process, safe for threads.

    An outage begins with the first operation that fails. It ends when every worker whose operation failed has had an
    operation that succeeded; the success of other workers does not end it. An operation that started before the end
    and fails after it still belongs to that outage: a worker that waits for a lost answer notices the failure late.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failing: set[Hashable] = set()
        self._logged: set[type[Exception]] = set()
        self._since: datetime | None = None
        self._outages = 0

    def started(self) -> int:
        """Return the number of outages that have ended; pass it to `failed` if the operation that starts now fails."""
        return self._outages

    def failed(self, worker: Hashable, error: Exception, *, during: str, started: int) -> None:
        """Record a failed operation; logs the first error of each type in an outage.

        Args:
            started: the number that the method `started` returned before the operation.
        """
        with self._lock:
            if started < self._outages:
                return
            self._since = self._since or self._clock.now()
            self._failing.add(worker)
            if type(error) not in self._logged:
                self._logged.add(type(error))
                log_event(_log, logging.ERROR, "database.unavailable", during=during, reason=error)

    def succeeded(self, worker: Hashable) -> None:
        """Record an operation that succeeded; logs the end of the outage if no other worker is failing."""
        with self._lock:
            if worker in self._failing:
                self._failing.remove(worker)
                self._end_if_over()

    def _end_if_over(self) -> None:
        if self._failing or self._since is None:
            return
        log_event(_log, logging.INFO, "database.back", away=self._clock.now() - self._since)
        self._since = None
        self._logged.clear()
        self._outages += 1
