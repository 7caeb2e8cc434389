"""Many runs with few calls: lists of the account's active runs."""

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from wes_daemon.adapters.providers.healthomics.states import ACTIVE
from wes_daemon.adapters.providers.healthomics.sweep import Lists, Sweep
from wes_daemon.application.ports.environment import Clock
from wes_daemon.domain.runs import StatusReport

FEWEST_CALLS = len(ACTIVE)
"""What one sweep takes at least."""

BATCH = 500
"""Ids in one question: so many that their number tells whether others follow, which no question says."""

# Some of a full batch may have been left out, for they have ended.
_MANY = BATCH // 2

# A pass takes the longer the more runs there are; this is time for 500 a second.
_GOOD_FOR, _AND_FOR_EACH_PAGE = timedelta(seconds=30), timedelta(milliseconds=200)
# Whoever was told "not now" comes again after a minute.
_GOOD_AFTER_TROUBLE = timedelta(minutes=2)
_TROUBLES_BEFORE_STARTING_OVER = 3
_LENGTH_HOLDS = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Length:
    """How many pages a whole sweep seems to take."""

    pages: int
    learned_at: datetime


class ActiveRuns:
    """The account's active runs, by sweeps through ListRuns.

    One sweep serves all the questions of a pass, each run once: whoever asks for a run again gets a new look at it.
    It goes on page by page, as far as the questions need it, and from where it stopped when the service was away.

    A run that is in no list has most likely ended, and only GetRun can tell how. GetRun is also left to tell of runs
    that the lists would tell of at more calls: of the account's runs those that bear our marks are most likely asked
    for, and without them a page is worth one GetRun.
    """

    def __init__(self, lists: Lists, clock: Clock) -> None:
        self._lists = lists
        self._clock = clock
        self._last: Sweep | None = None
        self._length: _Length | None = None
        self._lock = threading.Lock()

    def among(self, ids: Collection[str]) -> Mapping[str, StatusReport]:
        """What the lists say of those that were seen active.

        Raises:
            NotNow: a page could not be had. What was read before is kept for the next question.
        """
        # Whoever waits here finds the pages that another thread has just read.
        with self._lock:
            sweep = self._reusable(ids) or Sweep(self._lists, self._clock.now())
            try:
                self._read_on(sweep, ids)
            finally:
                self._keep(sweep)
            return sweep.use(ids)

    def _reusable(self, ids: Collection[str]) -> Sweep | None:
        last = self._last
        is_good = last is not None and self._clock.now() - last.read_at <= _good_for(last)
        return last if last and is_good and len(last.used(ids)) * 2 <= len(ids) else None

    def _read_on(self, sweep: Sweep, ids: Collection[str]) -> None:
        missing = sweep.missing(ids)
        began = sweep.pages
        while missing and not sweep.is_complete and self._is_worth_a_page(sweep, began, len(missing), len(ids)):
            missing -= sweep.read_page(self._clock.now)
        if sweep.pages > began:
            self._learn(sweep, _estimated(sweep, len(ids), len(missing)))

    def _keep(self, sweep: Sweep) -> None:
        """A question for which no page was worth it takes nothing from those that use the last sweep."""
        if sweep.troubles >= _TROUBLES_BEFORE_STARTING_OVER:
            self._last = None
        elif sweep.pages:
            self._last = sweep

    def _is_worth_a_page(self, sweep: Sweep, began: int, missing: int, asked: int) -> bool:
        """Whether going on costs fewer calls than asking for each that is missing, and for those that will follow."""
        spent = sweep.pages - began
        if asked >= _MANY:
            return spent < missing or sweep.ours >= sweep.pages
        return max(spent, self._known_length() - sweep.pages) < missing

    def _known_length(self) -> int:
        length = self._length
        is_known = length is not None and self._clock.now() - length.learned_at <= _LENGTH_HOLDS
        return length.pages if length and is_known else 0

    def _learn(self, sweep: Sweep, pages: int) -> None:
        """A sweep that went only as far as it had to does not make a longer one forgotten."""
        if sweep.is_complete or pages > self._known_length():
            self._length = _Length(pages, self._clock.now())


def _estimated(sweep: Sweep, asked: int, missing: int) -> int:
    """How many pages a whole sweep takes: where it was given up, the part of the runs that it has shown is its part."""
    return sweep.pages if sweep.is_complete else sweep.pages * asked // max(asked - missing, 1)


def _good_for(sweep: Sweep) -> timedelta:
    """How long after its last page was read a sweep is used, by runs that it was not used for yet."""
    long_enough = _GOOD_FOR + sweep.pages * _AND_FOR_EACH_PAGE
    return max(long_enough, _GOOD_AFTER_TROUBLE) if sweep.troubles else long_enough
