"""What the database costs for one run, from enrolment to its ending, beside a queue that is known to be good."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import ClassVar

from benchmarks.apart import Apart
from benchmarks.databases import KINDS, POSTGRESQL, SQLITE
from benchmarks.figure import Measured, NotMeasured, Value, middle
from benchmarks.peer import is_installed, work_off
from benchmarks.plots import bars
from benchmarks.rows import count, queue_runs
from benchmarks.services import InstantService
from benchmarks.site import Site
from benchmarks.wiring import alive, container_on
from wes_daemon.adapters.memory.execution import InlineExecutor
from wes_daemon.domain.runs import ProviderType
from wes_daemon.entrypoints.cli.process import collect_garbage_seldom

_RUNS_A_SECOND = {POSTGRESQL: 5_000, SQLITE: 3_000}
_TIMES_THE_PEER = 7
_OURS = frozenset({ProviderType.SEVENBRIDGES})
_FAR_AHEAD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Work:
    """What it took to bring all runs to their end."""

    seconds: float
    cpu: float


@dataclass(frozen=True, kw_only=True)
class RunWork:
    """Runs from their enrolment to their end at a provider that answers at once."""

    name: ClassVar[str] = "run-work"
    title: ClassVar[str] = "Database work of one run"

    runs: int = 20_000
    workers: int = 200
    concurrency: int = 10
    repetitions: int = 3

    def __call__(self, site: Site) -> Measured:
        """Measure it: ours and the peer's in turn, so that both meet the same moments of the machine."""
        ours: dict[str, list[Work]] = {kind: [] for kind in KINDS}
        theirs: list[float] = []
        for _ in range(self.repetitions):
            for kind in KINDS:
                ours[kind].append(self._ours(site, kind))
            theirs += [self.runs / seconds for seconds in self._theirs(site)]
        rates = {kind: [self.runs / work.seconds for work in works] for kind, works in ours.items()}
        values = [value for kind in KINDS for value in self._values(kind, rates[kind], ours[kind])]
        return Measured(
            method=self._method(),
            values=[*values, *_compared(rates[POSTGRESQL], theirs)],
            plots={"": self._plot(rates, theirs)},
        )

    def _ours(self, site: Site, kind: str) -> Work:
        with site.databases.open(kind) as uri:
            queue_runs(uri, self.runs)
            work = Apart()(bring_to_end, uri, self.runs, self.workers)
            ended = count(uri, "SELECT count(*) FROM workflow_runs WHERE state = 'COMPLETE'")
            if ended != self.runs:
                raise AssertionError(f"{ended} of {self.runs} runs are complete")
            return work

    def _theirs(self, site: Site) -> Sequence[float]:
        if not is_installed():
            return []
        with site.databases.empty() as uri:
            return [Apart()(work_off, uri, self.runs, self.concurrency)]

    def _values(self, kind: str, rates: Sequence[float], works: Sequence[Work]) -> Sequence[Value]:
        return (
            middle(f"{kind}: runs to their end", rates, "runs/s", at_least=_RUNS_A_SECOND[kind]),
            middle(f"{kind}: CPU of the daemon for each run", [work.cpu / self.runs * 1e6 for work in works], "µs"),
        )

    def _method(self) -> Sequence[str]:
        return (
            f"{self.runs:,} runs are queued; the provider is in memory, accepts a run at once, and has it complete "
            "when it is asked for.",
            "As in the daemon, one thread enrols, claims and records while another refreshes; the time ends with the "
            f"last run, and all are complete then; DAEMON_WORKERS is {self.workers}, and only errors are "
            f"logged; median of {self.repetitions}.",
            "Beside it as many jobs that do nothing are worked off by Procrastinate on the same PostgreSQL: they were "
            f"deferred before, one worker has {self.concurrency} under way at a time, and deletes what has succeeded, "
            "which is its fastest way here.",
        )

    def _plot(self, rates: dict[str, list[float]], theirs: Sequence[float]) -> str:
        rows = [(f"wes-daemon, {kind}", median(rates[kind])) for kind in KINDS]
        peer = [("Procrastinate, PostgreSQL", median(theirs))] if theirs else []
        return bars("Runs or jobs brought to their end a second", "/s", [*rows, *peer])


def _compared(ours: Sequence[float], theirs: Sequence[float]) -> Sequence[Value]:
    if not theirs:
        return ()
    ratios = [mine / its for mine, its in zip(ours, theirs, strict=True)]
    return (
        middle("Procrastinate, PostgreSQL: jobs", theirs, "jobs/s"),
        middle("wes-daemon over Procrastinate", ratios, "times", at_least=_TIMES_THE_PEER),
    )


def bring_to_end(uri: str, runs: int, workers: int) -> Work:
    """Submit all runs, then refresh until every one has ended, in one thread."""
    container = container_on(uri, {ProviderType.SEVENBRIDGES: InstantService()}, workers=workers)
    # What answers at once needs no thread to wait in.
    submit = container.submit_queued_runs(serving=_OURS, pool=InlineExecutor())
    refresh = container.refresh_statuses(serving=_OURS, pool=InlineExecutor())
    collect_garbage_seldom()
    with alive(container):
        began, cpu = time.perf_counter(), time.process_time()
        accepted = submit().accepted
        ended = refresh(ahead=_FAR_AHEAD).looked_at
        work = Work(time.perf_counter() - began, time.process_time() - cpu)
    if (accepted, ended) != (runs, runs):
        raise NotMeasured(f"of {runs} runs {accepted} were accepted and {ended} have ended")
    return work
