"""Whether there is anything to do: cheap looks that write nothing and lock nothing.

A look may see work where a pass then finds none. It never overlooks any that was committed before it began.
Every method may raise `StorageUnavailable`.
"""

from collections.abc import Callable, Collection
from typing import Protocol

from wes_daemon.application.ports.leases import SessionId
from wes_daemon.domain.runs import ProviderType, RunSummary


class WorkProbe(Protocol):
    """What the passes over the database would find.

    `excluding` means the same as for `SubmissionQueue.claim` and `PollSchedule`.
    """

    def is_queued(
        self, destination: Callable[[RunSummary], ProviderType | None], *, excluding: Collection[ProviderType | None]
    ) -> bool:
        """Whether there is a `QUEUED` run to be claimed if caps allow it, once it is enrolled.

        Args:
            destination: to which provider a row goes that the queue does not know yet.
        """

    def has_takeovers(self, owner: SessionId, *, excluding: Collection[ProviderType | None]) -> bool:
        """Whether there is a submission that `owner` would take over."""

    def has_runs_to_adopt(self) -> bool:
        """Whether an active row may have been left by another daemon, or was made active again by its service."""

    def has_cancelled_runs(self, *, excluding: Collection[ProviderType]) -> bool:
        """Whether there is a `CANCELING` run to be ended, or of which a provider is to be told."""

    def has_runs_ended_elsewhere(self, *, excluding: Collection[ProviderType]) -> bool:
        """Whether a service has ended or deleted a run that waits, or has ended one that a provider works on."""

    def is_due(self, *, excluding: Collection[ProviderType]) -> bool:
        """Whether there is a run to be asked for now."""
