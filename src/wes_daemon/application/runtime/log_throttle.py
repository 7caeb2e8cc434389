"""Limits how often the same message is logged."""

import threading
from datetime import datetime, timedelta

from wes_daemon.application.ports.environment import Clock


class LogThrottle:
    """Allows a message about each topic once per interval."""

    def __init__(self, clock: Clock, *, every: timedelta) -> None:
        self._clock = clock
        self._every = every
        self._allowed_at: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def allows(self, topic: str) -> bool:
        """Return whether a message about `topic` may be logged now; True starts a new interval."""
        now = self._clock.now()
        with self._lock:
            last = self._allowed_at.get(topic)
            if last is not None and now - last < self._every:
                return False
            self._allowed_at[topic] = now
            return True
