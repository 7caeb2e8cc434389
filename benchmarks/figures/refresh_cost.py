"""What it costs to follow many runs of which few have changed."""

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
# Calls that are made however few runs there are: one for each status that HealthOmics lists, and what has ended.
_CONSTANT = 10
_MEMORY_RATIO = 1.3
# Of a look: so many seconds, and then so many runs in each further one.
_LONGEST, _SLOWEST = 30.0, 250
_NEWS = (PollOutcome.MOVED, PollOutcome.ENDED)

_WRITTEN = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables"
_LOGGED = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
_DUE = "SELECT count(*) FROM polls WHERE next_check_at <= now()"


@dataclass(frozen=True, slots=True)
class Look:
    """What a process has needed to look at everything that is due.

    Attributes:
        peak: the most memory that it had, in MiB.
        looked_at: runs; `changed` of them had news.
    """

    seconds: float
    cpu: float
    peak: float
    looked_at: int
    changed: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What the look was for everybody."""

    look: Look
    calls: int
    rows: int
    log_bytes: int


@dataclass(frozen=True, kw_only=True)
class RefreshCost:
    """One look at active runs of one provider, all of which are due and one in a hundred of which has begun to run."""

    name: ClassVar[str] = "refresh-cost"
    title: ClassVar[str] = "Refresh of active runs"

    active: Sequence[int] = (1_000, 10_000, 100_000)
    repetitions: int = 3

    def __call__(self, site: Site) -> Measured:
        """Measure it."""
        problems: list[str] = []
        found = {type: self._of(site, type, problems) for type in CLOUDS}
        return Measured(
            method=(
                f"So many runs are active on PostgreSQL and at a simulated service, and all are due; {_CHANGED:.0%} "
                "have gone from waiting to running since they were last looked at.",
                "A fresh process looks at all of them once, by the real SDK, without a limit of its rate.",
                "Rows are those that were inserted, updated or deleted in any table, as the server counts them; the "
                "log is what the server has written ahead.",
                f"Median of {self.repetitions}; memory is the peak of the whole process, with the SDK.",
            ),
            values=[value for type, by in found.items() for value in _values(type, by)],
            plots={"calls": _calls_plot(found), "memory": _memory_plot(found)} if any(found.values()) else {},
            problems=problems,
        )

    def _of(self, site: Site, type: ProviderType, problems: list[str]) -> Mapping[int, Sequence[Cost]]:
        """By the number of runs; where there is a problem, more runs are not tried."""
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
        service.forget()
        changing = round(active * _CHANGED)
        held = service.hold(active - changing, changing)
        with site.databases.open(POSTGRESQL) as uri:
            add_active(uri, type, held)
            service.go_on()
            service.calls()
            rows, logged = count(uri, _WRITTEN), count(uri, _LOGGED)
            longest = _LONGEST + active / _SLOWEST
            look = Apart(service.environment, within=longest)(look_at_all, uri, type)
            cost = Cost(look, len(service.calls()), count(uri, _WRITTEN) - rows, count(uri, _LOGGED) - logged)
        if (look.looked_at, look.changed) != (active, changing):
            raise NotMeasured(f"{look.looked_at} of {active} runs were looked at, {look.changed} had changed")
        return cost


def _values(type: ProviderType, found: Mapping[int, Sequence[Cost]]) -> Sequence[Value]:
    values = [value for active, costs in found.items() for value in _values_at(f"{type}, {active:,}", active, costs)]
    if len(found) < 2:
        return values
    fewest, most = min(found), max(found)
    memory = median(c.look.peak for c in found[most]) / median(c.look.peak for c in found[fewest])
    seconds = (median(c.look.seconds for c in found[most]) / most) / (
        median(c.look.seconds for c in found[fewest]) / fewest
    )
    name = f"{type}: {most:,} over {fewest:,}"
    return [
        *values,
        Value(name=f"{name}, peak memory", value=memory, unit="times", at_most=_MEMORY_RATIO),
        Value(name=f"{name}, time of each run", value=seconds, unit="times", at_most=1.1),
    ]


def _values_at(where: str, active: int, costs: Sequence[Cost]) -> Sequence[Value]:
    most_calls = active / _BATCH + _CONSTANT
    return [
        middle(f"{where}: provider calls", [cost.calls for cost in costs], at_most=most_calls),
        middle(f"{where}: rows written", [cost.rows for cost in costs]),
        middle(f"{where}: log written ahead", [cost.log_bytes / 2**20 for cost in costs], "MiB"),
        middle(f"{where}: CPU", [cost.look.cpu for cost in costs], "s"),
        middle(f"{where}: time", [cost.look.seconds for cost in costs], "s"),
        middle(f"{where}: peak memory", [cost.look.peak for cost in costs], "MiB"),
    ]


def _calls_plot(found: Mapping[ProviderType, Mapping[int, Sequence[Cost]]]) -> str:
    series = {
        str(type): [(float(n), float(median(c.calls for c in costs))) for n, costs in by.items()]
        for type, by in found.items()
        if by
    }
    limit = [(float(n), n / _BATCH + _CONSTANT) for n in max(found.values(), key=len)]
    return lines(
        "Provider calls of one look at all active runs",
        "active runs",
        "calls",
        {**series, "target": limit},
        is_logarithmic=True,
    )


def _memory_plot(found: Mapping[ProviderType, Mapping[int, Sequence[Cost]]]) -> str:
    series = {
        str(type): [(float(n), median(c.look.peak for c in costs)) for n, costs in by.items()]
        for type, by in found.items()
        if by
    }
    return lines("Peak memory of the process", "active runs", "MiB", series, x_is_logarithmic=True)


def look_at_all(uri: str, type: ProviderType) -> Look:
    """Look at everything that is due, in as many passes as that takes."""
    container = container_on(uri, sevenbridges_rate_limit="off", aws_healthomics_rate_limits="off")
    refresh = container.refresh_statuses(serving=frozenset({type}))
    looked_at = changed = 0
    with alive(container):
        began, cpu = time.perf_counter(), time.process_time()
        while (report := refresh()).polled:
            looked_at += report.polled
            changed += sum(number for finding, number in report.outcomes.items() if finding in _NEWS)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    if left := count(uri, _DUE):
        raise NotMeasured(f"{left} runs are due still after {seconds:.0f} s")
    return Look(seconds, cpu, _peak(), looked_at, changed)


def _peak() -> float:
    """Of this process alone: what getrusage tells is that of whoever has started it, where that was larger."""
    told = Path("/proc/self/status")
    if not told.exists():
        raise NotMeasured("the peak of the memory is read from /proc, which is not there")
    kilobytes = next(line.split()[1] for line in told.read_text().splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) / 1024
