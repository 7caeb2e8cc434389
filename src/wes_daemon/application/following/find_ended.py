"""Finding what has ended the cheap way: one list in place of a question about each run.

Only hints come of it. A run that a list tells of is asked for at once, by its id, and only the answer to that is
stored; one that no list tells of is asked for in its turn.
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
from wes_daemon.application.ports.watermarks import Turn, Watermarks
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderRunId, ProviderType

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPolicy:
    """How lists of what has ended are read.

    Attributes:
        every: how long after one daemon has begun to read a list another one may.
        margin: how far behind the watermark is read, for lists lag behind.
        wide_margin: the same for now and then, for clocks differ, and lists may lag far behind.
        widely_every: how often that is.
    """

    every: timedelta = timedelta(seconds=15)
    margin: timedelta = timedelta(minutes=1)
    wide_margin: timedelta = timedelta(minutes=10)
    widely_every: timedelta = timedelta(minutes=10)


class FindEnded:
    """One look at what has ended since the last one, by whichever daemon; usually one call to the service."""

    def __init__(
        self,
        *,
        watermarks: Watermarks,
        units: UnitsOfWork,
        providers: ProviderDirectory,
        refresh_soon: Callable[[], object],
        clock: Clock,
        stop: StopSignal,
        policy: SearchPolicy,
        serving: Collection[ProviderType] = frozenset(ProviderType),
    ) -> None:
        """Do nothing yet.

        Args:
            refresh_soon: called when runs were made due, from the thread that makes the pass.
        """
        self._watermarks = watermarks
        self._units = units
        self._providers = providers
        self._serving = serving
        self._refresh_soon = refresh_soon
        self._stop = stop
        self._policy = policy
        self._widely = LogThrottle(clock, every=policy.widely_every)
        self._complaints = LogThrottle(clock, every=timedelta(minutes=1))
        self._told: dict[str, Collection[ProviderRunId]] = {}

    def __call__(self) -> int:
        """Make the runs due that a list tells of for the first time; how many they are."""
        hurried = sum(self._find_at(type) for type in sorted(self._serving))
        if hurried:
            self._refresh_soon()
        return hurried

    def _find_at(self, type: ProviderType) -> int:
        try:
            provider = self._providers.provider(type)
        except ProviderError:
            # Whoever asks for the runs says what is wrong.
            return 0
        name = provider.limits.ended_list
        turn = self._watermarks.begin(name, type, every=self._policy.every) if name else None
        return self._look(type, provider, name, turn) if name and turn else 0

    def _look(self, type: ProviderType, provider: WorkflowProvider, name: str, turn: Turn) -> int:
        is_wide = self._widely.allows(name)
        since = turn.seen_until - (self._policy.wide_margin if is_wide else self._policy.margin)
        # What the last look was told of is due already, or was asked for since.
        known = () if is_wide else self._told.get(name, ())
        told: set[ProviderRunId] = set()
        hurried = 0
        try:
            for ids in self._pages(lambda after: provider.ended(since, after=after)):
                told.update(ids)
                hurried += self._hurry(type, set(ids).difference(known))
        except ProviderError as error:
            self._complain(type, error)
        else:
            self._told[name] = told
            self._watermarks.advance(name, turn.begun_at)
        return hurried

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
            raise NotSent("the daemon is told to stop")
        return guarded(lambda: read(after), otherwise=_as_passing, during="find-ended", of="a list")

    def _hurry(self, type: ProviderType, ids: Collection[ProviderRunId]) -> int:
        if not ids:
            return 0
        with self._units() as work:
            hurried = work.polls.make_due(type, ids)
            work.commit()
        return len(hurried)

    def _complain(self, type: ProviderType, error: ProviderError) -> None:
        """The next look begins where this one did; what ended is found all the same, only later."""
        if not isinstance(error, NotSent) and self._complaints.allows(type):
            log_event(_log, logging.WARNING, "refresh.no_list", provider=type, reason=error)


def _as_passing(error: Exception) -> NoReturn:
    raise NotNow(f"a bug stopped the question: {error}") from error
