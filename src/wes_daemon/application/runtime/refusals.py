"""Remembers for a while which runs the database refuses, and logs each at most once an hour."""

import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import StorageRefused
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.domain.runs import RunId

_log = logging.getLogger(__name__)

_FIRST_WAIT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(minutes=10)
_LOGGED_EVERY = timedelta(hours=1)
# A run that was not refused for so long is forgotten.
_REMEMBERED = 2 * _LONGEST_WAIT


def wait_after(attempts: int) -> timedelta:
    """The wait after a refusal: it doubles with each earlier one."""
    return min(_FIRST_WAIT * (1 << min(attempts, 30)), _LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class _Refusal:
    count: int
    until: timedelta


class Refusals:
    """The refused runs; one per process, safe for threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._throttle = LogThrottle(clock, every=_LOGGED_EVERY)
        self._refused: dict[RunId, _Refusal] = {}
        self._lock = threading.Lock()

    def add(self, run_id: RunId, error: StorageRefused, *, during: str) -> timedelta:
        """Remember and log a refused run; return how long it must wait. The wait doubles with each refusal."""
        self.log(run_id, error, during=during)
        now = self._clock.monotonic()
        with self._lock:
            self._refused = {id: each for id, each in self._refused.items() if now < each.until + _REMEMBERED}
            earlier = self._refused[run_id].count if run_id in self._refused else 0
            wait = wait_after(earlier)
            self._refused[run_id] = _Refusal(earlier + 1, now + wait)
        return wait

    def log(self, run_id: RunId, error: StorageRefused, *, during: str) -> None:
        """Log the refusal, unless it was logged within the last hour."""
        if self._throttle.allows(f"{during} {run_id}"):
            log_event(_log, logging.ERROR, "run.refused", run_id=run_id, during=during, reason=error)

    def is_first(self, run_id: RunId) -> bool:
        """Whether the run was refused once only."""
        with self._lock:
            return run_id in self._refused and self._refused[run_id].count == 1

    def waiting(self) -> Collection[RunId]:
        """The runs whose wait is not over."""
        now = self._clock.monotonic()
        with self._lock:
            return [run_id for run_id, refusal in self._refused.items() if now < refusal.until]
