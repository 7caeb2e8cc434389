"""Messages about a provider's runs: hints to poll a run now, which are never stored as its state."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType, Protocol

from wes_daemon.domain.errors import WesDaemonError
from wes_daemon.domain.runs import ProviderRunId

Receipt = NewType("Receipt", str)
"""Identifies one delivery of one message; every delivery has a receipt of its own."""


class HintsUnavailable(WesDaemonError):
    """Messages cannot be received or deleted at the moment: they are delayed, and none is lost."""


class Subject(StrEnum):
    """What a message is about."""

    RUN = "run"
    OTHER = "other"
    """The message can be parsed, and is not about a run."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One delivery of a message, which may be delivered again.

    Attributes:
        ids: all ids under which its run may be known here; empty if it is not about a run.
        problem: why it cannot be parsed, without its content.
    """

    receipt: Receipt
    subject: Subject
    ids: Collection[ProviderRunId] = ()
    problem: str = ""


class HintSource(Protocol):
    """Delivers messages about the runs of one provider.

    Messages arrive in any order and possibly more than once. Some may be missing, and some may be about foreign runs.
    """

    def receive(self) -> Sequence[Message]:
        """Wait a while, and return a few messages or none; a message that is not deleted is delivered again.

        Raises:
            HintsUnavailable: messages cannot be received.
        """

    def delete(self, receipts: Collection[Receipt]) -> None:
        """Delete messages; a message that is deleted already, or was delivered again meanwhile, is no error.

        Raises:
            HintsUnavailable: some of the messages may be delivered again.
        """
