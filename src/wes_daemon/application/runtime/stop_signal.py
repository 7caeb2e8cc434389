"""How everything learns that it is to stop."""

import threading
from collections.abc import Callable


class StopSignal:
    """Raised once, seen by all threads; never taken back."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._to_be_told: list[Callable[[], None]] = []

    @property
    def is_raised(self) -> bool:
        """Whether no new work should be begun."""
        return self._event.is_set()

    def set(self) -> None:
        """Ask everybody to stop. Safe from a signal handler."""
        self._event.set()
        for tell in tuple(self._to_be_told):
            tell()

    def when_raised(self, tell: Callable[[], None]) -> None:
        """Call `tell` when it is raised, or now if it was; perhaps twice, from any thread or a signal handler."""
        self._to_be_told.append(tell)
        if self.is_raised:
            tell()
