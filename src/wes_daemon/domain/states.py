"""The eleven states of WES 1.1 and the transitions between them."""

from collections.abc import Mapping
from enum import StrEnum


class RunState(StrEnum):
    """A run's state (schema `State` of WES 1.1.0)."""

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
        """Whether this is an end state, after which no other state can follow."""
        return self in ENDED

    def may_become(self, following: "RunState") -> bool:
        """Whether a run in this state may change to `following`."""
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

ACTIVE = (RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED)
"""The states of a run that a provider has, in the order in which the condition of a partial index lists them."""

# The standard has no table of transitions; this one is the project's own.
# Transitions that are not listed are refused, so that a provider's report cannot take a run backwards.
FOLLOWS: Mapping[RunState, frozenset[RunState]] = {
    # The daemon never stores UNKNOWN; a row with this state may only move forward.
    RunState.UNKNOWN: frozenset({RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED, RunState.CANCELING}) | ENDED,
    # No provider has the run: it can be accepted, rejected, or cancelled directly.
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
    # A run may complete or fail after its cancellation was requested.
    RunState.CANCELING: ENDED,
} | {ended: frozenset() for ended in ENDED}
