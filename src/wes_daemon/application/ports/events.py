"""Word from elsewhere that something has happened to a run: a hint to ask for it now, never news to be stored."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType, Protocol

from wes_daemon.domain.errors import WesDaemonError
from wes_daemon.domain.runs import ProviderRunId

Receipt = NewType("Receipt", str)
"""One delivery of one message; the same message delivered again has another one."""


class HintsUnavailable(WesDaemonError):
    """Messages cannot be had or deleted at the moment: they are delayed, none is lost."""


class Subject(StrEnum):
    """What a message speaks of."""

    RUN = "run"
    OTHER = "other"
    """It can be read, and speaks of no run."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What has come once, and may come again.

    Attributes:
        ids: all under which the run that it speaks of may be known here; empty where it speaks of none.
        problem: why it cannot be read, without what it holds.
    """

    receipt: Receipt
    subject: Subject
    ids: Collection[ProviderRunId] = ()
    problem: str = ""


class HintSource(Protocol):
    """Messages about the runs of one provider.

    Each is delivered at least once, in no order; a run may be one of somebody else's, and a hint may be missing.
    """

    def receive(self) -> Sequence[Message]:
        """Wait a while for messages, and return a few of them, or none; those not deleted come again later.

        Raises:
            HintsUnavailable: none can be had.
        """

    def delete(self, receipts: Collection[Receipt]) -> None:
        """These need not come again; what was deleted already, or is delivered anew meanwhile, is no error.

        Raises:
            HintsUnavailable: some of them may come again.
        """
