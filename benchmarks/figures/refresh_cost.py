"""The cost of following many runs of which few have changed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import ClassVar

from benchmarks.apart import Apart
from benchmarks.clouds import CLOUDS, Cloud, cloud
from benchmarks.databases import POSTGRESQL
from benchmarks.figure import Measured, NotMeasured, Value, middle
from benchmarks.plots import lines
from benchmarks.rows import add_active, count
from benchmarks.site import Site
from benchmarks.wiring import alive, container_on
from wes_daemon.application.following.status_recorder import PollOutcome
from wes_daemon.domain.runs import ProviderType

_CHANGED = 0.01
_BATCH = 100
# Calls that do not depend on the number of runs: one for each status that HealthOmics lists, and those for ended runs.
_CONSTANT = 10
_MEMORY_RATIO = 1.3
# The time limit of a measurement: this many seconds, and one more for each of these runs.
_LONGEST, _SLOWEST = 30.0, 250
_CHANGES = (PollOutcome.MOVED, PollOutcome.ENDED)

_WRITTEN = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables"
_LOGGED = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
_DUE = "SELECT count(*) FROM polls WHERE next_check_at <= now()"


@dataclass(frozen=True, slots=True)
class PollCost:
    """The cost of polling all due runs, for the process that polls.

    Attributes:
        peak: the peak of its memory, in MiB.
        polled: the number of runs; `changed` of them had changed.
    """

    seconds: float
    cpu: float
    peak: float
    polled: int
    changed: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of polling all due runs, for the process, the service and the database."""

    process: PollCost
    calls: int
    rows: int
    log_bytes: int


@dataclass(frozen=True, kw_only=True)
class RefreshCost:
    """One poll of the active runs of one provider; all are due, and one in a hundred has started to run."""

    name: ClassVar[str] = "refresh-cost"
    title: ClassVar[str] = "Refresh of active runs"

    active: Sequence[int] = (1_000, 10_000, 100_000)
    repetitions: int = 3

    def __call__(self, site: Site) -> Measured:
        """Measure the figure."""
        problems: list[str] = []
        found = {type: self._of(site, type, problems) for type in CLOUDS}
        return Measured(
            method=(
                "The given number of runs is active on PostgreSQL and at a simulated service, and all of them are due; "
                f"{_CHANGED:.0%} have started to run since their last poll.",
                "A fresh process polls all of them once, with the real SDK and without a rate limit.",
                "Rows are those that were inserted, updated or deleted in any table, as the server counts them; the "
                "write-ahead log is that of the server.",
                f"Memory is the peak of the whole process, including the SDK; median of {self.repetitions}.",
            ),
            values=[value for type, by in found.items() for value in _values(type, by)],
            plots={"calls": _calls_plot(found), "memory": _memory_plot(found)} if any(found.values()) else {},
            problems=problems,
        )

    def _of(self, site: Site, type: ProviderType, problems: list[str]) -> Mapping[int, Sequence[Cost]]:
        """Measure by the number of runs; after a problem, larger numbers are not tried."""
        found: dict[int, Sequence[Cost]] = {}
        for number in self.active:
            try:
                found[number] = self._at(site, type, number)
            except NotMeasured as error:
                problems.append(f"{type}, {number:,}: {error}")
                break
        return found

    def _at(self, site: Site, type: ProviderType, active: int) -> Sequence[Cost]:
        with cloud(type) as service:
            return [self._cost(site, service, type, active) for _ in range(self.repetitions)]

    def _cost(self, site: Site, service: Cloud, type: ProviderType, active: int) -> Cost:
        service.remove_runs()
        changing = round(active * _CHANGED)
        added = service.add_runs(active - changing, changing)
        with site.databases.open(POSTGRESQL) as uri:
            add_active(uri, type, added)
            service.start_waiting()
            service.take_calls()
            rows, logged = count(uri, _WRITTEN), count(uri, _LOGGED)
            longest = _LONGEST + active / _SLOWEST
            process = Apart(service.environment, within=longest)(poll_all, uri, type)
            cost = Cost(process, len(service.take_calls()), count(uri, _WRITTEN) - rows, count(uri, _LOGGED) - logged)
        if (process.polled, process.changed) != (active, changing):
            raise NotMeasured(f"{process.polled} of {active} runs were polled, {process.changed} had changed")
        return cost


def _values(type: ProviderType, found: Mapping[int, Sequence[Cost]]) -> Sequence[Value]:
    values = [value for active, costs in found.items() for value in _values_at(f"{type}, {active:,}", active, costs)]
    if len(found) < 2:
        return values
    fewest, most = min(found), max(found)
    memory = median(c.process.peak for c in found[most]) / median(c.process.peak for c in found[fewest])
    seconds = (median(c.process.seconds for c in found[most]) / most) / (
        median(c.process.seconds for c in found[fewest]) / fewest
    )
    ratio = f"ratio of {most:,} to {fewest:,}"
    return [
        *values,
        Value(name=f"{type}: peak memory, {ratio}", value=memory, unit="times", at_most=_MEMORY_RATIO),
        Value(name=f"{type}: time per run, {ratio}", value=seconds, unit="times", at_most=1.1),
    ]


def _values_at(where: str, active: int, costs: Sequence[Cost]) -> Sequence[Value]:
    most_calls = active / _BATCH + _CONSTANT
    return [
        middle(f"{where}: provider calls", [cost.calls for cost in costs], at_most=most_calls),
        middle(f"{where}: rows written", [cost.rows for cost in costs]),
        middle(f"{where}: write-ahead log", [cost.log_bytes / 2**20 for cost in costs], "MiB"),
        middle(f"{where}: CPU", [cost.process.cpu for cost in costs], "s"),
        middle(f"{where}: time", [cost.process.seconds for cost in costs], "s"),
        middle(f"{where}: peak memory", [cost.process.peak for cost in costs], "MiB"),
    ]


def _calls_plot(found: Mapping[ProviderType, Mapping[int, Sequence[Cost]]]) -> str:
    series = {
        str(type): [(float(n), float(median(c.calls for c in costs))) for n, costs in by.items()]
        for type, by in found.items()
        if by
    }
    limit = [(float(n), n / _BATCH + _CONSTANT) for n in max(found.values(), key=len)]
    return lines(
        "Provider calls of one poll of all active runs",
        "active runs",
        "calls",
        {**series, "target": limit},
        is_logarithmic=True,
    )


def _memory_plot(found: Mapping[ProviderType, Mapping[int, Sequence[Cost]]]) -> str:
    series = {
        str(type): [(float(n), median(c.process.peak for c in costs)) for n, costs in by.items()]
        for type, by in found.items()
        if by
    }
    return lines("Peak memory of the process", "active runs", "MiB", series, x_is_logarithmic=True)


def poll_all(uri: str, type: ProviderType) -> PollCost:
    """Poll all due runs, in as many passes as that takes."""
    container = container_on(uri, sevenbridges_rate_limit="off", aws_healthomics_rate_limits="off")
    refresh = container.refresh_statuses(serving=frozenset({type}))
    polled = changed = 0
    with alive(container):
        began, cpu = time.perf_counter(), time.process_time()
        while (report := refresh()).polled:
            polled += report.polled
            changed += sum(number for outcome, number in report.outcomes.items() if outcome in _CHANGES)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    if left := count(uri, _DUE):
        raise NotMeasured(f"{left} runs are still due after {seconds:.0f} s")
    return PollCost(seconds, cpu, _peak(), polled, changed)


def _peak() -> float:
    """Return the peak memory of this process alone; getrusage reports the peak of the parent if that was larger."""
    status = Path("/proc/self/status")
    if not status.exists():
        raise NotMeasured("the peak of the memory is read from /proc, which does not exist here")
    kilobytes = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) / 1024
