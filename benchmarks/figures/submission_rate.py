"""The rate of submission, compared with the limit that the provider's latency sets."""

import time
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

from benchmarks.apart import Apart
from benchmarks.databases import POSTGRESQL
from benchmarks.figure import Measured, middle
from benchmarks.plots import bars
from benchmarks.rows import queue_runs
from benchmarks.services import SlowService
from benchmarks.site import Site
from benchmarks.wiring import alive, container_on
from wes_daemon.domain.runs import ProviderType


@dataclass(frozen=True, kw_only=True)
class SubmissionRate:
    """Submission of queued runs to a provider with a latency."""

    name: ClassVar[str] = "submission-rate"
    title: ClassVar[str] = "Submission to a provider that answers after 100 ms"

    runs: int = 2_000
    workers: int = 32
    latency: float = 0.1
    repetitions: int = 5

    @property
    def ideal(self) -> float:
        """Runs per second if every worker always waits for an answer."""
        return self.workers / self.latency

    def __call__(self, site: Site) -> Measured:
        """Measure the figure."""
        rates = [self.runs / self._seconds(site) for _ in range(self.repetitions)]
        shares = [rate / self.ideal * 100 for rate in rates]
        shown = [("ideal", self.ideal), ("measured", median(rates))]
        return Measured(
            method=(
                f"{self.runs:,} runs are queued on PostgreSQL for a provider that answers after "
                f"{self.latency * 1000:g} ms, and {self.workers} workers submit them.",
                "The time is that of one pass, from the search for new rows to the record of the last acceptance; "
                f"median of {self.repetitions} passes.",
            ),
            values=(
                middle("submitted runs", rates, "runs/s"),
                middle("share of the ideal rate", shares, "%", at_least=90),
            ),
            plots={"": bars("Submitted runs per second", "runs/s", shown, limit=self.ideal * 0.9)},
        )

    def _seconds(self, site: Site) -> float:
        with site.databases.open(POSTGRESQL) as uri:
            queue_runs(uri, self.runs)
            return Apart()(submit_all, uri, self.runs, self.workers, self.latency)


def submit_all(uri: str, runs: int, workers: int, latency: float) -> float:
    """Return the seconds of one pass that submits all runs."""
    container = container_on(uri, {ProviderType.SEVENBRIDGES: SlowService(latency)}, workers=workers)
    submit = container.submit_queued_runs(serving=frozenset({ProviderType.SEVENBRIDGES}))
    with alive(container):
        begun = time.perf_counter()
        report = submit()
        took = time.perf_counter() - begun
    if report.accepted != runs:
        raise AssertionError(f"{report.accepted} of {runs} runs were accepted")
    return took
