"""What the daemons on one database serve, and which providers have runs.

Every method may raise `StorageUnavailable`.
"""

from collections.abc import Collection, Sequence, Set
from typing import Protocol

from wes_daemon.application.ports.leases import Publication
from wes_daemon.application.ports.submissions import Destination
from wes_daemon.domain.runs import ProviderType


class PublishedProviders(Protocol):
    """What the daemons publish with their leases."""

    def in_use(self, destination: Destination) -> Set[ProviderType]:
        """Return the providers of the runs that wait for their submission, are in doubt, or are followed.

        Args:
            destination: the provider of a row that is not enrolled yet. Only a few such rows are read: a daemon that
                finds more enrols them for all providers.
        """

    def live(self) -> Sequence[Publication | None]:
        """Return what each daemon with a valid lease publishes; None for one of a version that publishes nothing."""

    def were_known(self, names: Collection[ProviderType]) -> Collection[ProviderType]:
        """Return the names of providers that a daemon has published lately, or that have accepted a run."""
