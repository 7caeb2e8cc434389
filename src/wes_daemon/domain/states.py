"""The eleven states of WES 1.1 and the table of what may follow what."""

from collections.abc import Mapping
from enum import StrEnum


class RunState(StrEnum):
    """A run's state, in the words of WES 1.1.0 (schema `State`)."""

    UNKNOWN = "UNKNOWN"
    QUEUED = "QUEUED"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETE = "COMPLETE"
    EXECUTOR_ERROR = "EXECUTOR_ERROR"
    SYSTEM_ERROR = "SYSTEM_ERROR"
    CANCELED = "CANCELED"
    CANCELING = "CANCELING"
    PREEMPTED = "PREEMPTED"

    @property
    def has_ended(self) -> bool:
        """Whether nothing can follow this state."""
        return self in ENDED

    def may_become(self, following: "RunState") -> bool:
        """Whether `following` is another state that a run may go to from this one."""
        return following in FOLLOWS[self]


ENDED = frozenset(
    {
        RunState.COMPLETE,
        RunState.EXECUTOR_ERROR,
        RunState.SYSTEM_ERROR,
        RunState.CANCELED,
        RunState.PREEMPTED,
    }
)

# The standard has no table of transitions; this one is ours.
# What is not listed is refused, so a provider's word can never take a run backwards.
FOLLOWS: Mapping[RunState, frozenset[RunState]] = {
    # Nobody should store UNKNOWN; a row that says so may only be moved on.
    RunState.UNKNOWN: frozenset({RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED, RunState.CANCELING}) | ENDED,
    # No provider has it yet: it can be accepted, refused, or cancelled on the spot.
    RunState.QUEUED: frozenset(
        {
            RunState.INITIALIZING,
            RunState.RUNNING,
            RunState.CANCELING,
            RunState.CANCELED,
            RunState.SYSTEM_ERROR,
        }
    ),
    RunState.INITIALIZING: frozenset({RunState.RUNNING, RunState.PAUSED, RunState.CANCELING}) | ENDED,
    RunState.RUNNING: frozenset({RunState.PAUSED, RunState.CANCELING}) | ENDED,
    RunState.PAUSED: frozenset({RunState.RUNNING, RunState.CANCELING}) | ENDED,
    # A run may still complete or fail after somebody asked to cancel it.
    RunState.CANCELING: ENDED,
} | {ended: frozenset() for ended in ENDED}
