"""The priority of a call to a service.

A submission and a status pass use some of the same operations of a service, so an operation has no priority of its own.
`Prioritising` derives it from the method of the port and stores it for the thread; the call queue reads it from there.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from enum import Enum, IntEnum, auto
from typing import TypeVar

from wes_daemon.adapters.resilience.decorators import Forwarding

T = TypeVar("T")


class Urgency(Enum):
    """Which part of a quota a call may use, see `quotas`."""

    URGENT = auto()
    ROUTINE = auto()


class CallPriority(IntEnum):
    """The reason for a call, the most urgent first."""

    CANCEL = 0
    SUBMISSION = 1
    STATUS = 2
    INVENTORY = 3

    @property
    def urgency(self) -> Urgency:
        return Urgency.URGENT if self <= CallPriority.SUBMISSION else Urgency.ROUTINE


_PRIORITIES: Mapping[str, CallPriority] = {
    "cancel": CallPriority.CANCEL,
    "submit": CallPriority.SUBMISSION,
    "owned_runs": CallPriority.INVENTORY,
    "former_runs": CallPriority.INVENTORY,
    "delete_draft": CallPriority.INVENTORY,
}

# The default applies to a provider without `Prioritising`: no other calls compete with those of such a provider.
_current: ContextVar[CallPriority] = ContextVar("call_priority", default=CallPriority.SUBMISSION)


def current_priority() -> CallPriority:
    """Return the priority of the calls that this thread makes at present."""
    return _current.get()


class AtPriority:
    """A context in which all calls of this thread have one priority."""

    def __init__(self, priority: CallPriority) -> None:
        self._priority = priority

    def __enter__(self) -> None:
        self._token = _current.set(self._priority)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


class Prioritising(Forwarding):
    """Gives each call the priority of the port's method. Methods without an entry have the priority of a status."""

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        with AtPriority(_PRIORITIES.get(operation, CallPriority.STATUS)):
            return call()
