"""Whether a provider that hangs holds up the runs of another one."""

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

_HEALTHY, _SICK = ProviderType.SEVENBRIDGES, ProviderType.HEALTHOMICS
_RATIO = 1.5


@dataclass(frozen=True, kw_only=True)
class HangingProvider:
    """Runs for one provider, while every call to another one hangs."""

    name: ClassVar[str] = "hanging-provider"
    title: ClassVar[str] = "Submission beside a provider that hangs"

    runs: int = 300
    hanging_runs: int = 200
    hanging: float = 60
    poll_interval: float = 0.1
    repetitions: int = 3

    def __call__(self, site: Site) -> Measured:
        """Measure it: with and without in turn."""
        pairs = [(self._latencies(site, 0), self._latencies(site, self.hanging_runs)) for _ in range(self.repetitions)]
        without, beside = ([samples[n] for samples in pairs] for n in (0, 1))
        return Measured(
            method=(
                f"A daemon with the default number of workers looks every {self.poll_interval:g} s; {self.runs} runs "
                "for a healthy provider are queued on PostgreSQL one after the other.",
                f"Beside them {self.hanging_runs} runs are queued for a provider each call of which hangs for "
                f"{self.hanging:g} s: more than there are workers.",
                "The time is that from before the row's commit until the healthy provider is asked to start the run; "
                f"median of {self.repetitions}, with and without in turn.",
            ),
            values=[*_values("alone", without), *_values("beside one that hangs", beside), _ratio(without, beside)],
            plots={
                "": bars(
                    "From queued to submitted, p99",
                    "ms",
                    [("alone", _values("", without)[1].value), ("beside one that hangs", _values("", beside)[1].value)],
                )
            },
        )

    def _latencies(self, site: Site, hanging_runs: int) -> Sequence[float]:
        with site.databases.open(POSTGRESQL) as uri:
            queue_runs(uri, hanging_runs, provider=_SICK)
            return Apart()(submit_one_by_one, uri, self.runs, hanging_runs, self.hanging, self.poll_interval)


def _values(where: str, samples: Sequence[Sequence[float]]) -> Sequence[Value]:
    return [
        middle(f"{where}: p{share:.0%}".rstrip("%"), [percentile(each, share) for each in samples], "ms")
        for share in (0.5, 0.99)
    ]


def _ratio(without: Sequence[Sequence[float]], beside: Sequence[Sequence[float]]) -> Value:
    ratios = [percentile(b, 0.99) / percentile(a, 0.99) for a, b in zip(without, beside, strict=True)]
    return middle("p99 beside one that hangs over alone", ratios, "times", at_most=_RATIO)


def submit_one_by_one(uri: str, runs: int, hanging_runs: int, hanging: float, poll_interval: float) -> Sequence[float]:
    """The milliseconds from the commit of each row to the call of its provider."""
    released, arrivals = threading.Event(), Arrivals(uri)
    providers = {_HEALTHY: ReportingService(arrivals.hear), _SICK: HangingService(hanging, released)}
    container = container_on(uri, providers, poll_interval_seconds=poll_interval)
    with working(container):
        try:
            if hanging_runs:
                # All its workers hang before the first run comes.
                time.sleep(1)
            return arrivals.measure(runs, _HEALTHY)
        finally:
            released.set()
