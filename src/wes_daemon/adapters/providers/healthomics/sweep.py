"""One way through the lists of the account's active runs."""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Protocol

from wes_daemon.adapters.providers.healthomics.states import ACTIVE, report
from wes_daemon.application.ports.errors import NotNow
from wes_daemon.application.ports.providers import as_key
from wes_daemon.domain.runs import StatusReport

Item = Mapping[str, Any]


class Lists(Protocol):
    """What is asked of the service."""

    def page_of_runs(self, token: str | None, *, status: str) -> tuple[Collection[Item], str | None]:
        """A page of the runs that are in this status, and the token of the next one; None asks for the first."""


class Sweep:
    """A way through ListRuns that can be gone in parts.

    It goes through the statuses in life-cycle order, so that a run which moves on meanwhile is seen twice, not missed;
    the later look counts.

    Attributes:
        pages: how many were read, `ours` runs on them bear the mark of a submission.
        read_at: when the last of them was.
        troubles: how often in a row the next page could not be had.
    """

    def __init__(self, lists: Lists, now: datetime) -> None:
        self._lists = lists
        self._ahead = deque(ACTIVE)
        self._token: str | None = None
        self._tokens: set[str] = set()
        # None where it was used: there may be very many, so that nothing is kept for longer than it is needed.
        self._looks: dict[str, StatusReport | None] = {}
        self.pages = 0
        self.ours = 0
        self.read_at = now
        self.troubles = 0

    @property
    def is_complete(self) -> bool:
        """Whether a run that was not seen is in no list."""
        return not self._ahead

    def read_page(self, now: Callable[[], datetime]) -> set[str]:
        """Go on by one call, and tell whom it has shown.

        Raises:
            NotNow: it can be tried again from here.
        """
        try:
            items, following = self._lists.page_of_runs(self._token, status=self._ahead[0])
        except NotNow:
            self.troubles += 1
            raise
        self.troubles = 0
        self.pages += 1
        self.read_at = now()
        self._go_to(following)
        return {self._note(item) for item in items}

    def missing(self, ids: Collection[str]) -> set[str]:
        """Those of whom it can say nothing yet, or nothing new."""
        return {id for id in ids if self._looks.get(id) is None}

    def used(self, ids: Collection[str]) -> Collection[str]:
        """Those of whom it has told already what it knows."""
        return {id for id in ids if id in self._looks and self._looks[id] is None}

    def use(self, ids: Collection[str]) -> Mapping[str, StatusReport]:
        """What was seen of each, once."""
        found = {id: look for id in ids if (look := self._looks.get(id))}
        self._looks.update(dict.fromkeys(found))
        return found

    def _go_to(self, following: str | None) -> None:
        # Tokens are opaque; one that comes back would lead in a circle.
        if following is None or following in self._tokens:
            self._ahead.popleft()
            self._tokens.clear()
            self._token = None
        else:
            self._tokens.add(following)
            self._token = following

    def _note(self, item: Item) -> str:
        """Keep the little that is asked of each, for an item is large.

        A list may show a run that has ended meanwhile; such a run is in no list.
        """
        id = str(item["id"])
        if item.get("status") in ACTIVE:
            self.ours += as_key(str(item.get("name") or "")) is not None
            self._looks[id] = report(item)
        else:
            self._looks.pop(id, None)
        return id
