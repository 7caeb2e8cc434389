"""The stop signal that all loops and workers share."""

import threading
from collections.abc import Callable


class StopSignal:
    """Is set once and stays set; every thread may read it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._callbacks: list[Callable[[], None]] = []

    @property
    def is_raised(self) -> bool:
        """Whether the signal was set, so that no new work may be started."""
        return self._event.is_set()

    def set(self) -> None:
        """Ask all loops and workers to finish. May be called from a signal handler."""
        self._event.set()
        for callback in tuple(self._callbacks):
            callback()

    def when_raised(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the signal is set, or at once if it is set already.

        It may be called twice, and from any thread or signal handler.
        """
        self._callbacks.append(callback)
        if self.is_raised:
            callback()
