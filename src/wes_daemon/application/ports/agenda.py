"""Whether there is anything to do: cheap looks that write nothing and lock nothing.

A look may see work where a pass then finds none. It never overlooks any that was committed before it began.
Every method may raise `StorageUnavailable`.
"""

from collections.abc import Callable, Collection
from typing import Protocol

from wes_daemon.application.ports.persistence import DaemonId
from wes_daemon.domain.runs import ProviderType, Run


class Agenda(Protocol):
    """What the passes over the database would find.

    `excluding` means the same as for `SubmissionQueue.claim` and `PollSchedule`.
    """

    def is_queued(
        self, destination: Callable[[Run], ProviderType | None], *, excluding: Collection[ProviderType | None]
    ) -> bool:
        """Whether there is a `QUEUED` run to be claimed if caps allow it, once it is enrolled.

        Args:
            destination: to which provider a row goes that the queue does not know yet.
        """

    def is_left_behind(self, owner: DaemonId, *, excluding: Collection[ProviderType | None]) -> bool:
        """Whether there is a submission that `owner` would take over."""

    def is_adoptable(self) -> bool:
        """Whether an active row may have been left by another daemon, or was made active again by its service."""

    def is_cancelling(self, *, excluding: Collection[ProviderType]) -> bool:
        """Whether there is a `CANCELING` run to be ended, or of which a provider is to be told."""

    def is_overruled(self, *, excluding: Collection[ProviderType]) -> bool:
        """Whether a service has ended or deleted a run that waits, or has ended one that a provider works on."""

    def is_due(self, *, excluding: Collection[ProviderType]) -> bool:
        """Whether there is a run to be asked for now."""
