"""Saying a thing once, then not again for a while."""

import threading
from datetime import datetime, timedelta

from wes_daemon.application.ports.environment import Clock


class LogThrottle:
    """Tells whether it is time to say something again."""

    def __init__(self, clock: Clock, *, every: timedelta) -> None:
        self._clock = clock
        self._every = every
        self._said: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def allows(self, topic: str) -> bool:
        """Whether `topic` was not said for a while; asking counts as saying."""
        now = self._clock.now()
        with self._lock:
            last = self._said.get(topic)
            if last is not None and now - last < self._every:
                return False
            self._said[topic] = now
            return True
