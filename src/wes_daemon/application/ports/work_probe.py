"""Whether there is work: cheap queries that write nothing and lock nothing.

A query may report work although a pass then finds none. It reports all work that was committed before the query began.
Every method may raise `StorageUnavailable`.
"""

from collections.abc import Collection
from typing import Protocol

from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import Destination
from wes_daemon.domain.runs import ProviderType


class WorkProbe(Protocol):
    """Whether the passes over the database would find work.

    `serving` are the providers whose runs count. None stands for runs whose provider is unknown.
    """

    def has_queued_runs(self, destination: Destination, *, serving: Collection[ProviderType | None]) -> bool:
        """Whether there is a `QUEUED` run that can be claimed once it is enrolled and the concurrency limits allow it.

        Args:
            destination: the provider of a row that is not enrolled yet.
        """

    def has_takeovers(self, owner: SessionId, *, serving: Collection[ProviderType | None]) -> bool:
        """Whether there is a submission that `owner` would take over."""

    def has_runs_to_adopt(self) -> bool:
        """Whether there is an active row that another daemon may have left, or that its service made active again."""

    def has_cancelled_runs(self, *, serving: Collection[ProviderType]) -> bool:
        """Whether there is a `CANCELING` run to end, or to cancel at its provider."""

    def has_interrupted_runs(self, *, serving: Collection[ProviderType]) -> bool:
        """Whether a service has ended or deleted a run that is followed, and nothing was done about it lately.

        The cost grows with the number of runs that are followed, and not with those that have ended.
        """

    def has_runs_ended_elsewhere(self, *, serving: Collection[ProviderType]) -> bool:
        """Whether a service has ended or deleted a run that was not sent yet, or one that is followed.

        The cost also grows with the number of runs that wait for their submission.
        """

    def has_due_polls(self, *, serving: Collection[ProviderType]) -> bool:
        """Whether there is a run whose poll is due."""
