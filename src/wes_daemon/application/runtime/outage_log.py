"""Saying once that the database is away, whoever finds out, and once that it works again."""

import logging
import threading
from collections.abc import Hashable
from datetime import datetime

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.runtime.event_log import log_event

_log = logging.getLogger(__name__)


class OutageLog:
    """Hears from everybody who works with the database how it went; one for a whole process, safe from any thread.

    An outage begins with the first work that fails, and is over when everybody whose work has failed has succeeded:
    neither what still works ends it nor what was begun before it. What was begun before its end and fails after it
    belongs to it still: whoever waits for an answer that is lost learns that late.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: set[Hashable] = set()
        self._said: set[type[Exception]] = set()
        self._since: datetime | None = None
        self._over = 0

    def begins(self) -> int:
        """Somebody begins to work: the number of outages so far, to be told where the work fails."""
        return self._over

    def failed(self, who: Hashable, error: Exception, *, during: str, begun: int) -> None:
        """The work of `who` has failed; said for the first of an outage, and for each other kind of error.

        Args:
            begun: what `begins` has told.
        """
        with self._lock:
            if begun < self._over:
                return
            self._since = self._since or self._clock.now()
            self._waiting.add(who)
            if type(error) not in self._said:
                self._said.add(type(error))
                log_event(_log, logging.ERROR, "database.unavailable", during=during, reason=error)

    def worked(self, who: Hashable) -> None:
        """The work of `who` has succeeded; said where it was the last that waited."""
        with self._lock:
            if who in self._waiting:
                self._waiting.remove(who)
                self._end_if_over()

    def _end_if_over(self) -> None:
        if self._waiting or self._since is None:
            return
        log_event(_log, logging.INFO, "database.back", away=self._clock.now() - self._since)
        self._since = None
        self._said.clear()
        self._over += 1
