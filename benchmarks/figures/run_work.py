"""The database work of one run from its enrolment to its end, compared with an established job queue."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.synchronize import Barrier
from statistics import median
from typing import ClassVar

from benchmarks.apart import Apart, side_by_side
from benchmarks.databases import POSTGRESQL, SQLITE
from benchmarks.figure import Measured, Value, middle
from benchmarks.peer import execute_jobs, is_installed
from benchmarks.plots import bars
from benchmarks.rows import count, queue_runs
from benchmarks.services import InstantService
from benchmarks.site import Site
from benchmarks.wiring import alive, container_on
from wes_daemon.adapters.memory.environment import InlineExecutor
from wes_daemon.domain.runs import ProviderType
from wes_daemon.entrypoints.cli.process import collect_garbage_rarely

_TIMES_THE_PEER = 7
_OURS = frozenset({ProviderType.SEVENBRIDGES})
_FAR_AHEAD = timedelta(days=1)
_READY_WITHIN = 60


@dataclass(frozen=True, slots=True)
class Setting:
    """The number of daemons on one database, and the completed runs per second that are their target."""

    kind: str
    daemons: int
    at_least: float | None = None

    def __str__(self) -> str:
        return f"{self.kind}, {self.daemons} daemon{'s' if self.daemons > 1 else ''}"


# One Python process uses at most one core; on SQLite two processes would wait for each other's writes.
_BOTH_CORES = Setting(POSTGRESQL, 2, at_least=5_000)
_SETTINGS = (Setting(SQLITE, 1, at_least=3_000), Setting(POSTGRESQL, 1), _BOTH_CORES)


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one daemon: the times of its start and its end, and its CPU, in seconds."""

    began: float
    ended: float
    cpu: float
    accepted: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The time and the CPU of all daemons together for one run."""

    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Runs per second."""
        return 1 / self.seconds


@dataclass(frozen=True, kw_only=True)
class RunWork:
    """Runs from their enrolment to their end, at a provider that answers at once."""

    name: ClassVar[str] = "run-work"
    title: ClassVar[str] = "Database work of one run"

    runs: int = 20_000
    workers: int = 200
    concurrency: int = 10
    repetitions: int = 3

    def __call__(self, site: Site) -> Measured:
        """Measure wes-daemon and the peer alternately, so that the state of the machine affects both."""
        ours: dict[Setting, list[Sample]] = {setting: [] for setting in _SETTINGS}
        theirs: list[float] = []
        for _ in range(self.repetitions):
            for setting, samples in ours.items():
                samples.append(self._ours(site, setting))
            theirs += [self.runs / seconds for seconds in self._theirs(site)]
        values = [value for setting, samples in ours.items() for value in _values(setting, samples)]
        rates = {setting: [sample.rate for sample in samples] for setting, samples in ours.items()}
        return Measured(
            method=self._method(),
            values=[*values, *_compared(rates[_BOTH_CORES], theirs)],
            plots={"": self._plot(rates, theirs)},
        )

    def _ours(self, site: Site, setting: Setting) -> Sample:
        with site.databases.open(setting.kind) as uri:
            queue_runs(uri, self.runs)
            works = side_by_side(setting.daemons, complete_runs, uri, self.workers)
            ended = count(uri, "SELECT count(*) FROM workflow_runs WHERE state = 'COMPLETE'")
        accepted = sum(work.accepted for work in works)
        if (accepted, ended) != (self.runs, self.runs):
            raise AssertionError(f"of {self.runs} runs {accepted} were accepted and {ended} are complete")
        seconds = max(work.ended for work in works) - min(work.began for work in works)
        return Sample(seconds / self.runs, sum(work.cpu for work in works) / self.runs)

    def _theirs(self, site: Site) -> Sequence[float]:
        if not is_installed():
            return []
        with site.databases.empty() as uri:
            return [Apart()(execute_jobs, uri, self.runs, self.concurrency)]

    def _method(self) -> Sequence[str]:
        return (
            f"{self.runs:,} runs are queued; the provider is in memory, accepts each run at once, and reports it as "
            "complete when it is polled.",
            "Each daemon is a process that enrols, claims, submits and records until nothing is left, and then "
            "polls until every run has ended, all in one thread; two daemons share the queue as replicas do.",
            "The time is from the start of the first daemon to the end of the last; then all runs are complete, and "
            "each was accepted once.",
            f"DAEMON_WORKERS is {self.workers}, and only errors are logged; median of {self.repetitions}.",
            "For comparison, Procrastinate executes as many jobs that do nothing on the same PostgreSQL: they were "
            f"deferred before, one worker executes {self.concurrency} at a time, and deletes those that succeeded, "
            "which is its fastest mode here: more workers on two cores gain nothing.",
        )

    def _plot(self, rates: Mapping[Setting, Sequence[float]], theirs: Sequence[float]) -> str:
        rows = [(f"wes-daemon, {setting}", median(found)) for setting, found in rates.items()]
        peer = [("Procrastinate, PostgreSQL", median(theirs))] if theirs else []
        return bars("Completed runs or jobs per second", "/s", [*rows, *peer])


def _values(setting: Setting, samples: Sequence[Sample]) -> Sequence[Value]:
    return (
        middle(f"{setting}: completed runs", [one.rate for one in samples], "runs/s", at_least=setting.at_least),
        middle(f"{setting}: CPU per run, without the server", [one.cpu * 1e6 for one in samples], "µs"),
    )


def _compared(ours: Sequence[float], theirs: Sequence[float]) -> Sequence[Value]:
    if not theirs:
        return ()
    ratios = [mine / its for mine, its in zip(ours, theirs, strict=True)]
    return (
        middle("Procrastinate, PostgreSQL: completed jobs", theirs, "jobs/s"),
        middle("wes-daemon compared with Procrastinate", ratios, "times", at_least=_TIMES_THE_PEER),
    )


def complete_runs(gate: Barrier, uri: str, workers: int) -> Work:
    """Submit runs until none is left, then poll until none is due, in one thread."""
    container = container_on(uri, {ProviderType.SEVENBRIDGES: InstantService()}, workers=workers)
    # A provider that answers at once needs no waiting threads.
    submit = container.submit_queued_runs(serving=_OURS, pool=InlineExecutor())
    refresh = container.refresh_statuses(serving=_OURS, pool=InlineExecutor())
    collect_garbage_rarely()
    with alive(container):
        gate.wait(_READY_WITHIN)
        began, cpu = time.perf_counter(), time.process_time()
        accepted = submit().accepted
        while refresh(ahead=_FAR_AHEAD).polled:
            pass
        return Work(began, time.perf_counter(), time.process_time() - cpu, accepted)
