"""How far the lists of ended runs were read, over all daemons."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from wes_daemon.domain.runs import ProviderType


@dataclass(frozen=True, slots=True, kw_only=True)
class ListReading:
    """The right to read a list, beginning at its watermark.

    Attributes:
        read_until: runs that ended before this time are known.
        began_at: the time at which this reading began, on the store's clock.
    """

    read_until: datetime
    began_at: datetime


class Watermarks(Protocol):
    """Which daemon reads which list when, and from where on. Every method may raise `StorageUnavailable`."""

    def begin(self, name: str, provider: ProviderType, *, every: timedelta) -> ListReading | None:
        """Begin a reading; one daemon may begin one in each period `every`.

        Returns:
            None if another reading began within `every`, or if no active run of the provider is followed.
            The first reading of a list begins at the present time.
        """

    def advance(self, name: str, until: datetime) -> None:
        """Record that runs that ended before `until` are known. Never goes back; unknown names are ignored."""
