"""For whom a provider calls its service: the same operation may be urgent for one and can wait for another."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from enum import IntEnum
from typing import TypeVar

from wes_daemon.adapters.providers.decorators.forwarding import Forwarding

T = TypeVar("T")


class Purpose(IntEnum):
    """What a call is made for, the most urgent first."""

    CANCEL = 0
    SUBMISSION = 1
    FOLLOWING = 2
    INVENTORY = 3

    @property
    def is_urgent(self) -> bool:
        """Whether it may spend what following has to leave alone."""
        return self <= Purpose.SUBMISSION


_PURPOSES: Mapping[str, Purpose] = {
    "cancel": Purpose.CANCEL,
    "submit": Purpose.SUBMISSION,
    "owned_runs": Purpose.INVENTORY,
    "delete_draft": Purpose.INVENTORY,
}

# Whoever does not say it uses a bare provider, with nobody beside it.
_purpose: ContextVar[Purpose] = ContextVar("purpose", default=Purpose.SUBMISSION)


def purpose() -> Purpose:
    """What this thread calls for at the moment."""
    return _purpose.get()


class OnBehalfOf:
    """All calls of this thread within the block are made for this."""

    def __init__(self, purpose: Purpose) -> None:
        self._mine = purpose

    def __enter__(self) -> None:
        self._before = _purpose.set(self._mine)

    def __exit__(self, *_: object) -> None:
        _purpose.reset(self._before)


class Purposeful(Forwarding):
    """Says for what each call across the port is made, to whoever gives the turns beneath it."""

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        with OnBehalfOf(_PURPOSES.get(operation, Purpose.FOLLOWING)):
            return call()
