"""Finds ended runs in the provider's list of ended runs, instead of requesting the status of each run.

A list gives hints only. A run that a list names is polled at once, and only the answer to that poll is stored; a run
that no list names is polled when its next poll is due.
"""

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow, NotSent, ProviderError
from wes_daemon.application.ports.providers import EndedPage, ProviderDirectory, WorkflowProvider
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.ports.watermarks import ListReading, Watermarks
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderRunId, ProviderType

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPolicy:
    """How lists of ended runs are read.

    Attributes:
        every: the shortest time between the beginnings of two readings of a list, over all daemons.
        margin: a reading begins at the watermark minus this margin, because lists are updated late.
        wide_margin: the margin of an occasional wide reading, because clocks differ and lists may be updated very late.
        widely_every: the shortest time between two wide readings.
    """

    every: timedelta = timedelta(seconds=15)
    margin: timedelta = timedelta(minutes=1)
    wide_margin: timedelta = timedelta(minutes=10)
    widely_every: timedelta = timedelta(minutes=10)


class FindEnded:
    """One pass over the runs that ended since the last pass of any daemon; usually one call to the provider."""

    def __init__(
        self,
        *,
        watermarks: Watermarks,
        units: UnitsOfWork,
        providers: ProviderDirectory,
        refresh: Callable[[], object],
        clock: Clock,
        stop: StopSignal,
        policy: SearchPolicy,
        serving: Collection[ProviderType] | None = None,
    ) -> None:
        """Make no pass yet.

        Args:
            refresh: called after runs were made due, in the thread that makes the pass.
        """
        self._watermarks = watermarks
        self._units = units
        self._providers = providers
        self._serving = providers.enabled if serving is None else serving
        self._refresh = refresh
        self._stop = stop
        self._policy = policy
        self._wide_readings = LogThrottle(clock, every=policy.widely_every)
        self._log_throttle = LogThrottle(clock, every=timedelta(minutes=1))
        self._listed: dict[str, Collection[ProviderRunId]] = {}

    def __call__(self) -> int:
        """Make due the runs that a list names for the first time, and return their number."""
        made_due = sum(self._find_at(type) for type in sorted(self._serving))
        if made_due:
            self._refresh()
        return made_due

    def _find_at(self, type: ProviderType) -> int:
        try:
            provider = self._providers.provider(type)
        except ProviderError:
            # Polling reports the same error.
            return 0
        name = provider.limits.ended_list
        reading = self._watermarks.begin(name, type, every=self._policy.every) if name else None
        return self._read(type, provider, name, reading) if name and reading else 0

    def _read(self, type: ProviderType, provider: WorkflowProvider, name: str, reading: ListReading) -> int:
        is_wide = self._wide_readings.allows(name)
        since = reading.read_until - (self._policy.wide_margin if is_wide else self._policy.margin)
        # Runs that the last reading listed are due already, or were polled since.
        known = () if is_wide else self._listed.get(name, ())
        listed: set[ProviderRunId] = set()
        made_due = 0
        try:
            for ids in self._pages(lambda after: provider.ended(since, after=after)):
                listed.update(ids)
                made_due += self._make_due(type, set(ids).difference(known))
        except ProviderError as error:
            self._log_failure(type, error)
        else:
            self._listed[name] = listed
            self._watermarks.advance(name, reading.began_at)
        return made_due

    def _pages(self, read: Callable[[str | None], EndedPage]) -> Iterator[Collection[ProviderRunId]]:
        after: str | None = None
        while True:
            page = self._page(read, after)
            yield page.ids
            after = page.following
            if after is None:
                return

    def _page(self, read: Callable[[str | None], EndedPage], after: str | None) -> EndedPage:
        if self._stop.is_raised:
            raise NotSent("the daemon is stopping")
        return guarded(lambda: read(after), otherwise=_as_not_now, during="find-ended", of="a list")

    def _make_due(self, type: ProviderType, ids: Collection[ProviderRunId]) -> int:
        if not ids:
            return 0
        with self._units() as work:
            made_due = work.polls.make_due(type, ids)
            work.commit()
        return len(made_due)

    def _log_failure(self, type: ProviderType, error: ProviderError) -> None:
        """Log the error. The next reading begins where this one began, so ended runs are only found later."""
        if not isinstance(error, NotSent) and self._log_throttle.allows(type):
            log_event(_log, logging.WARNING, "refresh.no_list", provider=type, reason=error)


def _as_not_now(error: Exception) -> NoReturn:
    raise NotNow(f"a bug stopped the request: {error}") from error
