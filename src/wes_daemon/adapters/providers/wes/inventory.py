"""The server's list of runs, read for run ownership markers: in the list if it has tags, else run by run."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from wes_daemon.adapters.json_values import as_object, as_text
from wes_daemon.adapters.providers.wes.client import WesClient, as_time, is_run_id
from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.adapters.providers.wes.errors import Failure
from wes_daemon.adapters.providers.wes.run_request import key_in
from wes_daemon.adapters.providers.wes.statuses import state_of
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.providers import OwnedPage, OwnedRun
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId

_MAX_REMEMBERED = 20_000
# One page of the port: some servers send all runs in one list.
_MAX_OWNED = 100
# A list that does not end, because its tokens repeat.
_MAX_PAGES = 10_000
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search for a run has found.

    Attributes:
        id: None if no run with the marker was found.
        is_complete: whether every run was examined that may be the one.
        examined: how many runs were examined.
    """

    id: ProviderRunId | None
    is_complete: bool
    examined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """What never changes of a run: the key of its marker, None if it is not owned, and when it started."""

    key: IdempotencyKey | None
    started_at: datetime | None


class Inventory:
    """Finds owned runs. Safe to use from several threads.

    The tags of a run never change, so those of a run that was read once are remembered.
    """

    def __init__(self, client: WesClient, config: WesConfig, clock: Clock) -> None:
        self._client = client
        self._config = config
        self._clock = clock
        self._remembered: OrderedDict[str, _Identity] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: IdempotencyKey, since: datetime) -> SearchResult:
        """Search for the run with this key, the newest runs first.

        Args:
            since: only runs that may have been created since then are examined.

        Raises:
            Failure, NotNow: a call failed.
        """
        runs, is_complete = self._recent_runs(since)
        calls_left = self._config.search_calls
        for number, run in enumerate(runs):
            if not self._is_known(run):
                if calls_left == 0:
                    return SearchResult(id=None, is_complete=False, examined=number)
                calls_left -= 1
            found = self._identity(run)
            if found is not None and found.key == key:
                return SearchResult(id=ProviderRunId(_id(run)), is_complete=True, examined=number + 1)
            is_complete = is_complete and found is not None
        return SearchResult(id=None, is_complete=is_complete, examined=len(runs))

    def owned_page(self, since: datetime, after: str | None) -> OwnedPage:
        """Return the owned runs among the next runs of the list.

        Args:
            after: how many pages were read, how many runs of the next page to skip, and the token of that page.

        Raises:
            Failure, NotNow: a call failed.
        """
        number, offset, token = _place(after)
        page = self._client.page_of_runs(token)
        end = offset + _MAX_OWNED
        found = [self._owned(run, since) for run in page.runs[offset:end] if not _is_older(run, since)]
        following = None
        if end < len(page.runs):
            following = f"{number} {end} {token or ''}"
        elif page.following and page.following != token and number < _MAX_PAGES:
            following = f"{number + 1} 0 {page.following}"
        return OwnedPage(runs=[run for run in found if run], following=following)

    def _recent_runs(self, since: datetime) -> tuple[Sequence[Mapping[str, object]], bool]:
        """Return the listed runs that may have been created since then, and whether the list was read to its end."""
        runs: list[Mapping[str, object]] = []
        token: str | None = None
        seen: set[str | None] = set()
        while token not in seen and len(seen) < self._config.search_pages:
            seen.add(token)
            page = self._client.page_of_runs(token)
            runs += [run for run in page.runs if not _is_older(run, since)]
            token = page.following
            if token is None:
                break
        # A run without a start time may have just been created.
        runs.sort(key=lambda run: as_time(run.get("start_time")) or _LATEST, reverse=True)
        return runs, token is None

    def _is_known(self, run: Mapping[str, object]) -> bool:
        with self._lock:
            return _lists_tags(run) or _id(run) in self._remembered

    def _identity(self, run: Mapping[str, object]) -> _Identity | None:
        """Return the identity of a listed run; None if it cannot be read now."""
        if _lists_tags(run):
            return _Identity(key=key_in(as_object(run.get("tags"))), started_at=_start(run))
        with self._lock:
            if known := self._remembered.get(_id(run)):
                return known
        log = self._log_of(_id(run))
        request = as_object(log.get("request"))
        # A server may list a run before it has stored the request.
        if not request:
            return None
        identity = _Identity(
            key=key_in(as_object(request.get("tags"))), started_at=_start(as_object(log.get("run_log")))
        )
        if identity.key is None or identity.started_at is not None:
            self._remember(_id(run), identity)
        return identity

    def _log_of(self, id: str) -> Mapping[str, object]:
        if not is_run_id(id):
            return {}
        try:
            return self._client.run_log(id)
        except Failure as failure:
            # A run that was deleted meanwhile, that belongs to another user, or that the server cannot read.
            if failure.is_answered and failure.status not in (401, 429):
                return {}
            raise

    def _remember(self, id: str, identity: _Identity) -> None:
        with self._lock:
            self._remembered[id] = identity
            while len(self._remembered) > _MAX_REMEMBERED:
                self._remembered.popitem(last=False)

    def _owned(self, run: Mapping[str, object], since: datetime) -> OwnedRun | None:
        identity = self._identity(run)
        if identity is None or identity.key is None or (identity.started_at or since) < since:
            return None
        return OwnedRun(
            id=ProviderRunId(_id(run)),
            key=identity.key,
            # A run without a time counts as one that was just created.
            created_at=identity.started_at or max(since, self._clock.now()),
            state=state_of(run),
            provider_status=as_text(run.get("state")) or "none",
        )


def _place(after: str | None) -> tuple[int, int, str | None]:
    number, offset, token = (after or "1 0 ").split(" ", 2)
    return int(number), int(offset), token or None


def _lists_tags(run: Mapping[str, object]) -> bool:
    """Whether the list itself has the run's tags, as `RunSummary` of WES 1.1 requires.

    An empty object may stand for tags that the server leaves out of its list.
    """
    tags = run.get("tags")
    return isinstance(tags, Mapping) and bool(tags)


def _start(times: Mapping[str, object]) -> datetime | None:
    return as_time(times.get("start_time")) or as_time(times.get("end_time"))


def _is_older(run: Mapping[str, object], since: datetime) -> bool:
    started_at = _start(run)
    return started_at is not None and started_at < since


def _id(run: Mapping[str, object]) -> str:
    return as_text(run.get("run_id"))
