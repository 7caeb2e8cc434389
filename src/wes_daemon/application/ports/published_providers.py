"""What the daemons on one database serve, and which providers have runs.

Every method may raise `StorageUnavailable`.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from datetime import timedelta
from typing import Protocol

from wes_daemon.application.ports.leases import Publication
from wes_daemon.application.ports.submissions import Destination
from wes_daemon.domain.runs import ProviderType


class PublishedProviders(Protocol):
    """What the daemons publish with their leases, and the providers in use that no live daemon serves."""

    def in_use(self, destination: Destination) -> Set[ProviderType]:
        """Return the providers of the runs that wait for their submission, are in doubt, or are followed.

        Args:
            destination: the provider of a row that is not enrolled yet. Only a few such rows are read: a daemon that
                finds more enrols them for all providers.
        """

    def live(self) -> Sequence[Publication | None]:
        """Return what each daemon with a valid lease publishes; None for one of a version that publishes nothing."""

    def were_known(self, names: Collection[ProviderType]) -> Mapping[ProviderType, str]:
        """Return the names of providers that a daemon has published lately, or that have accepted a run.

        Returns:
            For each name which daemon has served it last, as a clause for a person; empty if that is not known.
        """

    def note_unserved(
        self, reasons: Mapping[ProviderType, str], *, forget_after: timedelta
    ) -> Mapping[ProviderType, timedelta]:
        """Record which providers in use are not served now and why, and forget all others.

        Args:
            forget_after: a provider that was not noted for so long counts as unserved from now on.

        Returns:
            For how long each of them has been unserved, on the store's clock.
        """

    def unserved(self) -> Mapping[ProviderType, str]:
        """Return the providers that are recorded as unserved, each with the reason."""
