"""What a memory store refuses, for tests: a database refuses rows by constraints, triggers and locks."""

from dataclasses import dataclass, field

from wes_daemon.application.ports.errors import StorageRefused
from wes_daemon.domain.runs import RunId


@dataclass
class MemoryFaults:
    """The runs whose rows a store refuses or keeps locked.

    Attributes:
        rows: runs whose row refuses every change.
        tasks: runs whose task logs are refused.
        details: runs whose details are refused.
        submissions: runs whose enrolment and whose intent are refused.
        acceptances: runs whose acceptance is refused.
        locked: runs whose row another session keeps locked.
    """

    rows: set[RunId] = field(default_factory=set)
    tasks: set[RunId] = field(default_factory=set)
    details: set[RunId] = field(default_factory=set)
    submissions: set[RunId] = field(default_factory=set)
    acceptances: set[RunId] = field(default_factory=set)
    locked: set[RunId] = field(default_factory=set)


def refusal(table: str) -> StorageRefused:
    """The error of a store whose table refuses a row."""
    return StorageRefused(f"the store: a constraint of {table} refuses a row")
