"""Whether ended runs make claims slower."""

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
from tests.builders import ALL_DESTINATIONS
from wes_daemon.domain.runs import ProviderType, Run

_LIMIT = 100
_RATIO = 1.5
_ENROL_BATCH = 500
# Claimed runs do not affect the next claim, as if they had been accepted and had ended.
_PUT_ASIDE = "UPDATE submissions SET state = 'CLOSED', owner = NULL WHERE state = 'INTENT'"


@dataclass(frozen=True, kw_only=True)
class ClaimHistory:
    """Claims of a hundred runs, with more and more ended rows in the database."""

    name: ClassVar[str] = "claim-history"
    title: ClassVar[str] = "Claims in a database with ended runs"

    ended: Sequence[int] = (10_000, 100_000, 1_000_000)
    claims: int = 20
    repetitions: int = 5

    def __call__(self, site: Site) -> Measured:
        """Measure the figure."""
        found = {kind: {number: self._at(site, kind, number) for number in self.ended} for kind in KINDS}
        series = {kind: [(float(n), median(times)) for n, times in by.items()] for kind, by in found.items()}
        return Measured(
            method=(
                "The given number of ended runs is in `workflow_runs` and, closed, in `submissions`; "
                f"{self.claims * self.repetitions * _LIMIT:,} further runs are enrolled.",
                f"Each claim takes {_LIMIT} of these; its time is from the start of its transaction to its commit.",
                f"Each value is the median of {self.repetitions} medians of {self.claims} claims.",
            ),
            values=[value for kind in KINDS for value in self._values(kind, found[kind])],
            plots={"": lines(f"Time of a claim of {_LIMIT} runs", "ended runs", "ms", series, x_is_logarithmic=True)},
        )

    def _values(self, kind: str, found: Mapping[int, Sequence[float]]) -> Sequence[Value]:
        fewest, most = min(found), max(found)
        times = [middle(f"{kind}: claim with {n:,} ended runs", samples, "ms") for n, samples in found.items()]
        ratio = median(found[most]) / median(found[fewest])
        return [
            *times,
            Value(name=f"{kind}: ratio of {most:,} to {fewest:,}", value=ratio, unit="times", at_most=_RATIO),
        ]

    def _at(self, site: Site, kind: str, ended: int) -> Sequence[float]:
        with site.databases.open(kind) as uri:
            add_ended(uri, ended)
            # Including those of the warm-up.
            queue_runs(uri, (self.claims + 1) * self.repetitions * _LIMIT)
            return Apart()(claim_times, uri, self.repetitions, self.claims)


def claim_times(uri: str, repetitions: int, claims: int) -> Sequence[float]:
    """Return the median milliseconds of `claims` claims, for each repetition; one more claim warms up each."""
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
            owner, limit=_LIMIT, concurrency_limit=10**9, serving=ALL_DESTINATIONS, destination=_destination
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
