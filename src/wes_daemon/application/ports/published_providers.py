"""What the daemons on one database serve, and which providers have runs.

Every method may raise `StorageUnavailable`.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Protocol

from wes_daemon.domain.runs import ProviderType

Publication = Mapping[ProviderType, str]
"""The providers that one daemon knows, and what each lacks there; an empty text for a provider that it serves."""


class PublishedProviders(Protocol):
    """What the daemons publish with their leases."""

    def in_use(self) -> Set[ProviderType]:
        """Return the providers of the submissions that wait or are in doubt, and of the runs that are followed."""

    def live(self) -> Sequence[Publication | None]:
        """Return what each daemon with a valid lease publishes; None for one of a version that publishes nothing."""

    def were_known(self, names: Collection[ProviderType]) -> Collection[ProviderType]:
        """Return the names of providers that a daemon has published lately, or that have accepted a run."""
