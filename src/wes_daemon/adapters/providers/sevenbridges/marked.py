"""The tasks of a project by the marks that they bear, kept up to date by listing only what is new.

The service cannot be asked for a name, so tasks are listed by their time of creation:
once from as far back as is configured, then only what was created since, with a margin.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.errors import Failure, meaning
from wes_daemon.adapters.providers.sevenbridges.reading import as_moment, as_text
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow, ProviderError, Unavailable

# Longer than any listing should lag behind, and than two clocks of the service should differ.
_MARGIN = timedelta(minutes=5)
# Items of a page that the next one repeats: drafts may be deleted between the two.
_OVERLAP = 10
_LONGEST_MARK = 80
# To go through all marks at each listing would cost more than the listing.
_FORGETS_EVERY = timedelta(hours=1)


class MarkedTasks:
    """What bears a mark in one project; one listing serves all threads that wait for one."""

    def __init__(self, client: SevenBridgesClient, project: str, *, clock: Clock, look_back: timedelta) -> None:
        self._client = client
        self._project = project
        self._clock = clock
        self._look_back = look_back
        self._ids: dict[str, dict[str, datetime]] = {}
        self._newest: datetime | None = None
        self._kept_from: datetime | None = None
        self._begun = 0
        # On the monotonic clock.
        self._complete_from: timedelta | None = None
        self._latest: Future[None] = Future()
        self._turn = threading.Lock()
        self._index = threading.Lock()

    def ids(self, mark: str, *, since: timedelta | None = None) -> Sequence[str]:
        """The tasks whose name, or description's first line, is `mark`; oldest first, as listed after this call began.

        Some may have been deleted since they were listed.

        Args:
            since: a listing will do that began later than this, on the monotonic clock, though before the call.

        Raises:
            Failure, NotNow: the listing could not be had.
        """
        if not self._is_listed_from(since):
            self._listed_from_now(since)
        with self._index:
            found = dict(self._ids.get(mark, {}))
        return sorted(found, key=lambda id: found[id])

    def _is_listed_from(self, since: timedelta | None) -> bool:
        """A moment that is the same may have been the earlier one."""
        return since is not None and self._complete_from is not None and self._complete_from > since

    def _listed_from_now(self, since: timedelta | None) -> None:
        """Wait for a listing that began after this call or after `since`, whichever thread makes it.

        A failure is shared as well: were each to try for itself, a silent service would hold them up one by one.
        """
        begun_before = self._begun
        with self._turn:
            if self._is_listed_from(since):
                return
            is_own = self._begun == begun_before
            if is_own:
                self._latest = Future()
                self._carry_out(self._latest)
            listing = self._latest
        try:
            listing.result()
        except Failure as failure:
            if is_own or not isinstance(meaning(failure), Unavailable):
                raise
            # The service has failed once, however many have waited for it: the call that it failed tells of that.
            raise NotNow(str(failure), retry_after=failure.retry_after) from failure

    def _carry_out(self, outcome: Future[None]) -> None:
        self._begun += 1
        begun_at = self._clock.monotonic()
        try:
            self._list()
            self._complete_from = begun_at
            outcome.set_result(None)
        except (Failure, ProviderError) as error:
            outcome.set_exception(error)
        finally:
            # A bug: whoever waits for this listing must not take the one before for it.
            outcome.cancel()

    def _list(self) -> None:
        oldest = self._clock.now() - self._look_back
        since = self._newest - _MARGIN if self._newest else oldest
        for task in self._created_since(since):
            created = as_moment(task.get("created_time"))
            self._note(task, created or since)
            # Oldest first: what came so far need not be listed again when the rest cannot be had.
            self._newest = max(filter(None, (self._newest, created)), default=None)
        self._forget_before(min(oldest, since))

    def _created_since(self, since: datetime) -> Iterator[Mapping[str, object]]:
        return self._client.pages(
            "ListTasks",
            "/tasks",
            {
                "project": self._project,
                "created_from": since.strftime("%Y-%m-%dT%H:%M:%S"),
                "order_by": "created_time",
                "order": "asc",
                "fields": "id,name,description,created_time",
            },
            overlap=_OVERLAP,
        )

    def _note(self, task: Mapping[str, object], created: datetime) -> None:
        for mark in {as_text(task.get("name")), as_text(task.get("description")).partition("\n")[0].strip()}:
            if 0 < len(mark) <= _LONGEST_MARK:
                with self._index:
                    self._ids.setdefault(mark, {})[as_text(task.get("id"))] = created

    def _forget_before(self, oldest: datetime) -> None:
        if self._kept_from and oldest - self._kept_from < _FORGETS_EVERY:
            return
        self._kept_from = oldest
        with self._index:
            self._ids = {mark: ids for mark, ids in self._ids.items() if max(ids.values()) >= oldest}
