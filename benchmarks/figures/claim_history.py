"""Whether what has ended makes the next claim slower."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, ClassVar

from sqlalchemy import text

from benchmarks.apart import Apart
from benchmarks.databases import KINDS
from benchmarks.figure import Measured, Value, middle
from benchmarks.plots import lines
from benchmarks.rows import add_ended, queue_runs
from benchmarks.site import Site
from benchmarks.wiring import container_on
from wes_daemon.domain.runs import ProviderType, Run

_LIMIT = 100
_RATIO = 1.5
_ENROL_BATCH = 500
# What is claimed is out of the way for the next claim, as if it had been accepted and had ended.
_PUT_ASIDE = "UPDATE submissions SET state = 'CLOSED', owner = NULL WHERE state = 'INTENT'"


@dataclass(frozen=True, kw_only=True)
class ClaimHistory:
    """Claims of a hundred beside more and more ended rows."""

    name: ClassVar[str] = "claim-history"
    title: ClassVar[str] = "Claims beside ended runs"

    ended: Sequence[int] = (10_000, 100_000, 1_000_000)
    claims: int = 20
    repetitions: int = 5

    def __call__(self, site: Site) -> Measured:
        """Measure it."""
        found = {kind: {number: self._at(site, kind, number) for number in self.ended} for kind in KINDS}
        series = {kind: [(float(n), median(times)) for n, times in by.items()] for kind, by in found.items()}
        return Measured(
            method=(
                f"So many runs that have ended lie in `workflow_runs` and, closed, in `submissions`; "
                f"{self.claims * self.repetitions * _LIMIT:,} more are enrolled.",
                f"A claim takes {_LIMIT} of them, from the begin of its transaction to its commit.",
                f"Each value is the median of {self.repetitions} medians of {self.claims} claims.",
            ),
            values=[value for kind in KINDS for value in self._values(kind, found[kind])],
            plots={"": lines("Time of a claim of 100", "ended runs", "ms", series, x_is_logarithmic=True)},
        )

    def _values(self, kind: str, found: Mapping[int, Sequence[float]]) -> Sequence[Value]:
        fewest, most = min(found), max(found)
        times = [middle(f"{kind}: claim beside {n:,}", samples, "ms") for n, samples in found.items()]
        ratio = median(found[most]) / median(found[fewest])
        return [*times, Value(name=f"{kind}: {most:,} over {fewest:,}", value=ratio, unit="times", at_most=_RATIO)]

    def _at(self, site: Site, kind: str, ended: int) -> Sequence[float]:
        with site.databases.open(kind) as uri:
            add_ended(uri, ended)
            # Those of the warm-up, too.
            queue_runs(uri, (self.claims + 1) * self.repetitions * _LIMIT)
            return Apart()(claim_times, uri, self.repetitions, self.claims)


def claim_times(uri: str, repetitions: int, claims: int) -> Sequence[float]:
    """The median of so many claims, in milliseconds, so many times; each time one more warms up."""
    container = container_on(uri)
    _enrol_all(container)
    rounds = []
    for _ in range(repetitions):
        times = [_timed_claim(container) for _ in range(claims + 1)]
        rounds.append(median(times[1:]))
    return rounds


def _enrol_all(container: Any) -> None:
    enrolled = _ENROL_BATCH
    while enrolled == _ENROL_BATCH:
        with container.units()() as work:
            enrolled = work.submissions.enrol(_destination, limit=_ENROL_BATCH)
            work.commit()


def _timed_claim(container: Any) -> float:
    units, owner = container.units(), container.daemon_session().id
    begun = time.perf_counter()
    with units() as work:
        claimed = work.submissions.claim(
            owner, limit=_LIMIT, concurrency_limit=10**9, serving=[None, *ProviderType], destination=_destination
        )
        work.commit()
    took = (time.perf_counter() - begun) * 1000
    if len(claimed) != _LIMIT:
        raise AssertionError(f"{len(claimed)} runs were claimed")
    with container.engine().begin() as connection:
        connection.execute(text(_PUT_ASIDE))
    return took


def _destination(run: Run) -> ProviderType | None:
    return run.destination(ProviderType.SEVENBRIDGES)
