"""The status of many runs with few calls: sweeps through ListRuns over the account's active runs."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from wes_daemon.adapters.providers.healthomics.runs import ACTIVE, status_report
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow
from wes_daemon.application.ports.providers import as_key
from wes_daemon.domain.runs import StatusReport

Page = tuple[Collection[Mapping[str, Any]], str | None]
"""Runs, and the token of the next page; None after the last page."""

MIN_SWEEP_CALLS = len(ACTIVE)
"""A sweep reads at least one page per active status."""

STATUS_BATCH = 500
"""Ids in one status request: with a batch this large, its size shows whether further batches of the pass follow."""

# A full page of polls leads to a smaller batch if some of its runs are known to have ended.
_LARGE_BATCH = STATUS_BATCH // 2

# The pass takes longer with more runs: the time per page allows for a pass of 500 runs per second.
_MAX_AGE, _MAX_AGE_PER_PAGE = timedelta(seconds=30), timedelta(milliseconds=200)
# A caller that got `NotNow` repeats its request after a minute.
_MAX_AGE_AFTER_FAILURE = timedelta(minutes=2)
_MAX_FAILURES = 3
_LENGTH_MAX_AGE = timedelta(hours=1)


class ActiveRuns:
    """The account's active runs.

    One sweep serves all status requests of a pass and reports each run once: a repeated request for a run gets newer
    information. The sweep reads page by page, only as far as the requests need it. After a failed call it continues
    at the same page.

    A run that is in no list has most likely ended, which only GetRun can confirm. GetRun also reports on runs
    for which reading the lists would take more calls. The estimate assumes that the account's owned runs will be
    requested too, and that a page without owned runs saves a single GetRun.

    Args:
        page_of_runs: reads the page with a token, or the first page for None, of the runs with a status.
    """

    def __init__(self, page_of_runs: Callable[[str | None, str], Page], clock: Clock) -> None:
        self._page_of_runs = page_of_runs
        self._clock = clock
        self._last: Sweep | None = None
        self._length = 0
        self._length_measured_at: datetime | None = None
        self._lock = threading.Lock()

    def statuses(self, ids: Collection[str]) -> Mapping[str, StatusReport]:
        """Return a report for each run that the lists show as active; the others are absent.

        Raises:
            NotNow: a page cannot be read. The next request continues with that page.
        """
        # A thread that has waited here finds the pages that another thread has just read.
        with self._lock:
            sweep = self._reusable_sweep(ids) or Sweep(self._page_of_runs, self._clock)
            try:
                self._read_pages(sweep, ids)
            finally:
                self._keep(sweep)
            return sweep.consume(ids)

    def _reusable_sweep(self, ids: Collection[str]) -> "Sweep | None":
        last = self._last
        is_recent = last is not None and self._clock.now() - last.read_at <= _max_age(last)
        return last if last and is_recent and len(last.consumed(ids)) * 2 <= len(ids) else None

    def _read_pages(self, sweep: "Sweep", ids: Collection[str]) -> None:
        missing = sweep.missing(ids)
        pages_before = sweep.pages
        while (
            missing
            and not sweep.is_complete
            and self._is_worth_a_page(sweep, spent=sweep.pages - pages_before, missing=len(missing), requested=len(ids))
        ):
            missing -= sweep.read_page()
        if sweep.pages > pages_before:
            self._remember_length(sweep, _estimated_length(sweep, requested=len(ids), missing=len(missing)))

    def _keep(self, sweep: "Sweep") -> None:
        """Keep the new sweep if it has read a page. Else keep the last one, which other requests still use."""
        if sweep.failures >= _MAX_FAILURES:
            self._last = None
        elif sweep.pages:
            self._last = sweep

    def _is_worth_a_page(self, sweep: "Sweep", *, spent: int, missing: int, requested: int) -> bool:
        """Whether another page costs fewer calls than GetRun for the missing runs and for those of later batches."""
        if requested >= _LARGE_BATCH:
            return spent < missing or sweep.owned >= sweep.pages
        return max(spent, self._known_length() - sweep.pages) < missing

    def _known_length(self) -> int:
        measured_at = self._length_measured_at
        is_known = measured_at is not None and self._clock.now() - measured_at <= _LENGTH_MAX_AGE
        return self._length if is_known else 0

    def _remember_length(self, sweep: "Sweep", pages: int) -> None:
        """Store the number of pages of a sweep. Keep a known greater length if this sweep is not complete."""
        if sweep.is_complete or pages > self._known_length():
            self._length = pages
            self._length_measured_at = self._clock.now()


class Sweep:
    """One pass through ListRuns, which can be interrupted and continued.

    It reads the statuses in the order in which a run passes through them: a run whose status changes meanwhile is
    seen twice, never missed, and the later report counts.

    Attributes:
        pages: number of pages read.
        owned: number of owned runs on these pages, by name.
        read_at: time at which the last page was read.
        failures: number of failed calls since the last page.
    """

    def __init__(self, page_of_runs: Callable[[str | None, str], Page], clock: Clock) -> None:
        self._page_of_runs = page_of_runs
        self._clock = clock
        self._statuses = deque(ACTIVE)
        self._token: str | None = None
        self._tokens: set[str] = set()
        # None once the report is consumed: there may be very many runs, so no report is kept longer than needed.
        self._reports: dict[str, StatusReport | None] = {}
        self.pages = 0
        self.owned = 0
        self.read_at = clock.now()
        self.failures = 0

    @property
    def is_complete(self) -> bool:
        """Whether all pages are read, so that a run without a report is in no list."""
        return not self._statuses

    def read_page(self) -> set[str]:
        """Read the next page and return the ids on it.

        Raises:
            NotNow: the same page can be requested again.
        """
        try:
            items, next_token = self._page_of_runs(self._token, self._statuses[0])
        except NotNow:
            self.failures += 1
            raise
        self.failures = 0
        self.pages += 1
        self.read_at = self._clock.now()
        self._advance(next_token)
        return {self._add(item) for item in items}

    def missing(self, ids: Collection[str]) -> set[str]:
        """Return the ids without a report, or whose report is consumed."""
        return {id for id in ids if self._reports.get(id) is None}

    def consumed(self, ids: Collection[str]) -> Collection[str]:
        """Return the ids whose report is consumed."""
        return {id for id in ids if id in self._reports and self._reports[id] is None}

    def consume(self, ids: Collection[str]) -> Mapping[str, StatusReport]:
        """Return the reports of these runs, each of them once."""
        found = {id: report for id in ids if (report := self._reports.get(id))}
        self._reports.update(dict.fromkeys(found))
        return found

    def _advance(self, next_token: str | None) -> None:
        # Tokens are opaque; a repeated token would cause an endless loop.
        if next_token is None or next_token in self._tokens:
            self._statuses.popleft()
            self._tokens.clear()
            self._token = None
        else:
            self._tokens.add(next_token)
            self._token = next_token

    def _add(self, item: Mapping[str, Any]) -> str:
        """Keep the report of an item, which is much smaller than the item.

        A list may still contain a run that has ended meanwhile; such a run gets no report.
        """
        id = str(item["id"])
        if item.get("status") in ACTIVE:
            self.owned += as_key(str(item.get("name") or "")) is not None
            self._reports[id] = status_report(item)
        else:
            self._reports.pop(id, None)
        return id


def _estimated_length(sweep: Sweep, *, requested: int, missing: int) -> int:
    """Return the number of pages of a complete sweep; for a partial one, extrapolate from the runs that it found."""
    return sweep.pages if sweep.is_complete else sweep.pages * requested // max(requested - missing, 1)


def _max_age(sweep: Sweep) -> timedelta:
    """Return how long after its last page a sweep may serve runs whose reports are not consumed."""
    max_age = _MAX_AGE + sweep.pages * _MAX_AGE_PER_PAGE
    return max(max_age, _MAX_AGE_AFTER_FAILURE) if sweep.failures else max_age
