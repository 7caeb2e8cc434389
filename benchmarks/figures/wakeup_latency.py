"""The time from a queued row to the call of its provider."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.apart import Apart
from benchmarks.arrivals import Arrivals
from benchmarks.databases import KINDS, POSTGRESQL, SQLITE
from benchmarks.figure import Measured, Value, middle
from benchmarks.numbers import percentile
from benchmarks.plots import lines
from benchmarks.services import ReportingService
from benchmarks.site import Site
from benchmarks.wiring import container_on, working
from wes_daemon.domain.runs import ProviderType

_TARGETS: Mapping[str, Mapping[float, float]] = {POSTGRESQL: {0.5: 20, 0.99: 100}, SQLITE: {0.5: 300}}
_SHARES = (0.5, 0.99)
_AN_HOUR = 3_600.0
_STEPS = [step / 100 for step in range(5, 101, 5)]


@dataclass(frozen=True, kw_only=True)
class WakeupLatency:
    """The time from the commit of a queued row to the call of its provider; the daemon polls the queue once an hour."""

    name: ClassVar[str] = "wakeup-latency"
    title: ClassVar[str] = "From a queued row to the provider's call"

    runs: Mapping[str, int]
    repetitions: int = 3

    def __call__(self, site: Site) -> Measured:
        """Measure the figure."""
        found = {kind: [self._latencies(site, kind) for _ in range(self.repetitions)] for kind in KINDS}
        sizes = " and ".join(f"{self.runs[kind]} on {kind}" for kind in KINDS)
        return Measured(
            method=(
                "DAEMON_POLL_INTERVAL is an hour, and rows are queued one after the other, on a separate connection.",
                "The time is from before the commit of the row to the call of the provider, which is in the daemon's "
                "process.",
                f"Each of {self.repetitions} repetitions has {sizes}; the median of their percentiles is shown.",
            ),
            values=[value for kind in KINDS for value in _values(kind, found[kind])],
            plots={"": _plot(found)},
        )

    def _latencies(self, site: Site, kind: str) -> Sequence[float]:
        with site.databases.open(kind) as uri:
            return Apart()(queue_one_by_one, uri, self.runs[kind])


def _values(kind: str, samples: Sequence[Sequence[float]]) -> Sequence[Value]:
    return [
        middle(
            f"{kind}: p{share * 100:g}",
            [percentile(each, share) for each in samples],
            "ms",
            at_most=_TARGETS[kind].get(share),
        )
        for share in _SHARES
    ]


def _plot(found: Mapping[str, Sequence[Sequence[float]]]) -> str:
    merged = {kind: [wait for each in samples for wait in each] for kind, samples in found.items()}
    series = {kind: [(percentile(waits, share), share * 100) for share in _STEPS] for kind, waits in merged.items()}
    return lines("Rows that have reached their provider", "ms since the commit", "%", series, x_is_logarithmic=True)


def queue_one_by_one(uri: str, runs: int) -> Sequence[float]:
    """Return the milliseconds from the commit of each row to the call of its provider, without the first row."""
    arrivals = Arrivals(uri)
    providers = {ProviderType.SEVENBRIDGES: ReportingService(arrivals.record_call)}
    container = container_on(uri, providers, poll_interval=_AN_HOUR)
    with working(container):
        return arrivals.measure(runs + 1, ProviderType.SEVENBRIDGES)[1:]
