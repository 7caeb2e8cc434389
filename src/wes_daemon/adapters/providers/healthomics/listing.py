"""Many runs with few calls: lists of the account's active runs."""

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from wes_daemon.adapters.providers.healthomics.client import HealthOmicsClient
from wes_daemon.adapters.providers.healthomics.states import ACTIVE, report
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.providers import StatusReport

Item = Mapping[str, Any]

FEWEST_CALLS = len(ACTIVE)
"""What one sweep takes at least."""

_GOOD_FOR = timedelta(seconds=30)


@dataclass
class _Sweep:
    """What was seen on one way through the lists, and for whom it has been used already."""

    at: datetime
    reports: dict[str, StatusReport] = field(default_factory=dict)
    used_for: set[str] = field(default_factory=set)

    def note(self, page: Collection[Item]) -> None:
        """Keep the little that is asked of each: there may be very many, and an item is large.

        A list may show a run that has ended meanwhile; such a run is in no list.
        """
        for item in page:
            if item.get("status") in ACTIVE:
                self.reports[str(item["id"])] = report(item)
            else:
                self.reports.pop(str(item["id"]), None)


class ActiveRuns:
    """The account's active runs, by sweeps through ListRuns.

    A sweep goes through the statuses in life-cycle order, so that a run which moves on meanwhile is seen twice, not
    missed; the later look counts. A run that is in no list has most likely ended, and only GetRun can tell how.

    One sweep serves all the batches of a pass, each run once: whoever asks for a run again gets a new look at it.
    """

    def __init__(self, client: HealthOmicsClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._last: _Sweep | None = None
        self._lock = threading.Lock()

    def among(self, ids: Collection[str]) -> Mapping[str, StatusReport]:
        """What the lists say of those that were seen active."""
        # Whoever waits here finds the sweep that another thread has just made.
        with self._lock:
            sweep = self._reusable(ids) or self._sweep(most_calls=len(ids))
            sweep.used_for.update(ids)
            return {id: sweep.reports[id] for id in ids if id in sweep.reports}

    def _reusable(self, ids: Collection[str]) -> _Sweep | None:
        last = self._last
        if last is None or self._clock.now() - last.at > _GOOD_FOR or not last.used_for.isdisjoint(ids):
            return None
        return last

    def _sweep(self, *, most_calls: int) -> _Sweep:
        """Go through the lists, unless asking for each run by itself turns out to be cheaper."""
        self._last = None
        sweep = _Sweep(at=self._clock.now())
        pages = chain.from_iterable(map(self._client.pages_of_runs, ACTIVE))
        for calls, page in enumerate(pages, start=1):
            sweep.note(page)
            if calls == most_calls:
                return sweep
        self._last = sweep
        return sweep
