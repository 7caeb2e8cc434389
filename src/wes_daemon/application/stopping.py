"""How everything learns that it is to stop."""

import threading


class StopSignal:
    """Raised once, seen by all threads; never taken back."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def is_raised(self) -> bool:
        """Whether no new work should be begun."""
        return self._event.is_set()

    def set(self) -> None:
        """Ask everybody to stop. Safe from a signal handler."""
        self._event.set()
