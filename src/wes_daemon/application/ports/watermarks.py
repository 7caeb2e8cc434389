"""How far the lists of what has ended were read, over all daemons."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from wes_daemon.domain.runs import ProviderType


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The right to read on in a list.

    Attributes:
        seen_until: whatever ended before is known.
        begun_at: the present moment, on the store's clock.
    """

    seen_until: datetime
    begun_at: datetime


class Watermarks(Protocol):
    """Who reads which list when, and from where on. Every method may raise `StorageUnavailable`."""

    def begin(self, name: str, provider: ProviderType, *, every: timedelta) -> Turn | None:
        """Take the turn, for one daemon in `every`.

        None where somebody has had it so recently, or where no run of the provider is followed that has not ended.
        A list that nobody has ever read begins at the present moment.
        """

    def advance(self, name: str, until: datetime) -> None:
        """Everything that ended before then is known. Never goes back; unknown names are no error."""
