"""For whom a provider calls its service: the same operation may be urgent for one and can wait for another."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
    "marked": Purpose.INVENTORY,
    "discard": Purpose.INVENTORY,
}

# Whoever does not say it uses a bare provider, with nobody beside it.
_purpose: ContextVar[Purpose] = ContextVar("purpose", default=Purpose.SUBMISSION)


def purpose() -> Purpose:
    """What this thread calls for at the moment."""
    return _purpose.get()


@contextmanager
def on_behalf_of(purpose: Purpose) -> Iterator[None]:
    """All calls of this thread within the block are made for this."""
    before = _purpose.set(purpose)
    try:
        yield
    finally:
        _purpose.reset(before)


class Purposeful(Forwarding):
    """Says for what each call across the port is made, to whoever gives the turns beneath it."""

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        with on_behalf_of(_PURPOSES.get(operation, Purpose.FOLLOWING)):
            return call()
