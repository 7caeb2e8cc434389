"""Whether a provider that hangs delays the runs of another one."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.apart import Apart
from benchmarks.arrivals import Arrivals
from benchmarks.databases import POSTGRESQL
from benchmarks.figure import Measured, Value, middle
from benchmarks.numbers import percentile
from benchmarks.plots import bars
from benchmarks.rows import queue_runs
from benchmarks.services import HangingService, ReportingService
from benchmarks.site import Site
from benchmarks.wiring import container_on, working
from wes_daemon.domain.runs import ProviderType

_HEALTHY, _HANGING = ProviderType.SEVENBRIDGES, ProviderType.HEALTHOMICS
_RATIO = 1.5


@dataclass(frozen=True, kw_only=True)
class HangingProvider:
    """Runs for one provider while every call to another one hangs."""

    name: ClassVar[str] = "hanging-provider"
    title: ClassVar[str] = "Submission while another provider hangs"

    runs: int = 300
    hanging_runs: int = 200
    hanging: float = 60
    poll_interval: float = 0.1
    repetitions: int = 3

    def __call__(self, site: Site) -> Measured:
        """Measure the figure, alternately without and with the hanging provider."""
        pairs = [(self._latencies(site, 0), self._latencies(site, self.hanging_runs)) for _ in range(self.repetitions)]
        without, beside = ([samples[n] for samples in pairs] for n in (0, 1))
        return Measured(
            method=(
                f"A daemon with the default number of workers polls the queue every {self.poll_interval:g} s; "
                f"{self.runs} runs for a healthy provider are queued on PostgreSQL one after the other.",
                f"In every second measurement {self.hanging_runs} runs, more than there are workers, are queued for "
                f"another provider, each call of which hangs for {self.hanging:g} s.",
                "The time is from before the commit of the row to the call that starts the run at the healthy "
                f"provider; median of {self.repetitions}.",
            ),
            values=[*_values("alone", without), *_values("while another hangs", beside), _ratio(without, beside)],
            plots={
                "": bars(
                    "From queued to submitted, p99",
                    "ms",
                    [("alone", _values("", without)[1].value), ("while another hangs", _values("", beside)[1].value)],
                )
            },
        )

    def _latencies(self, site: Site, hanging_runs: int) -> Sequence[float]:
        with site.databases.open(POSTGRESQL) as uri:
            queue_runs(uri, hanging_runs, provider=_HANGING)
            return Apart()(submit_one_by_one, uri, self.runs, hanging_runs, self.hanging, self.poll_interval)


def _values(where: str, samples: Sequence[Sequence[float]]) -> Sequence[Value]:
    return [
        middle(f"{where}: p{share:.0%}".rstrip("%"), [percentile(each, share) for each in samples], "ms")
        for share in (0.5, 0.99)
    ]


def _ratio(without: Sequence[Sequence[float]], beside: Sequence[Sequence[float]]) -> Value:
    ratios = [percentile(b, 0.99) / percentile(a, 0.99) for a, b in zip(without, beside, strict=True)]
    return middle("p99: ratio of hanging to alone", ratios, "times", at_most=_RATIO)


def submit_one_by_one(uri: str, runs: int, hanging_runs: int, hanging: float, poll_interval: float) -> Sequence[float]:
    """Return the milliseconds from the commit of each row to the call of its provider."""
    released, arrivals = threading.Event(), Arrivals(uri)
    providers = {_HEALTHY: ReportingService(arrivals.record_call), _HANGING: HangingService(hanging, released)}
    container = container_on(uri, providers, poll_interval=poll_interval)
    with working(container):
        try:
            if hanging_runs:
                # All workers of the hanging provider hang before the first run is queued.
                time.sleep(1)
            return arrivals.measure(runs, _HEALTHY)
        finally:
            released.set()
