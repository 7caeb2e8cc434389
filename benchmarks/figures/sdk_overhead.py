"""The CPU that the daemon adds to that of the services' SDKs for a submission."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

from benchmarks.apart import Apart
from benchmarks.bare import replay
from benchmarks.clouds import CLOUDS, REQUESTS, RecordedCall, cloud
from benchmarks.databases import POSTGRESQL
from benchmarks.figure import Measured, Value, middle
from benchmarks.plots import bars
from benchmarks.rows import queue_runs
from benchmarks.site import Site
from benchmarks.wiring import alive, container_on
from wes_daemon.domain.runs import ProviderRunId, ProviderType
from wes_daemon.entrypoints.cli.process import collect_garbage_rarely

_MOST = 30
# Enough for every thread to have a connection to the service and one to the database.
_WARMING_UP = 100
# No submission requests the status of an unknown run, so this request marks the end of the warm-up.
_UNKNOWN_RUN = {
    ProviderType.SEVENBRIDGES: ProviderRunId("00000000-0000-4000-8000-000000000000"),
    ProviderType.HEALTHOMICS: ProviderRunId("1000000/unknown"),
}
_STATUS_OPERATIONS = ("get_task", "bulk_get", "GetRun")


@dataclass(frozen=True, slots=True)
class Sample:
    """The CPU of one submission, in milliseconds, and the number of its calls.

    Attributes:
        ours: the CPU of wes-daemon.
        bare: the CPU of the same calls in a loop.
        threaded: the CPU of the same calls in as many threads as wes-daemon has.
    """

    ours: float
    bare: float
    threaded: float
    calls: float

    @property
    def overhead(self) -> float:
        """The overhead in percent of the bare calls in a loop."""
        return (self.ours / self.bare - 1) * 100

    @property
    def overhead_in_threads(self) -> float:
        """The overhead in percent of the bare calls in threads."""
        return (self.ours / self.threaded - 1) * 100


@dataclass(frozen=True, kw_only=True)
class SdkOverhead:
    """Submissions through the real SDKs, compared with the same calls in a loop."""

    name: ClassVar[str] = "sdk-overhead"
    title: ClassVar[str] = "CPU of a submission, compared with the bare SDK"

    runs: int = 400
    workers: int = 16
    repetitions: int = 5

    def __call__(self, site: Site) -> Measured:
        """Measure the figure."""
        found = {type: [self._sample(site, type) for _ in range(self.repetitions)] for type in CLOUDS}
        rows = [
            (f"{type}, {who}", median(getattr(sample, name) for sample in samples))
            for type, samples in found.items()
            for who, name in (("bare SDK", "bare"), ("bare SDK in threads", "threaded"), ("wes-daemon", "ours"))
        ]
        return Measured(
            method=(
                f"{self.runs:,} runs are queued on PostgreSQL; the simulated service is a separate process.",
                "The CPU of wes-daemon is that of the whole process that submits: database, claims, records, "
                f"{self.workers} threads and the SDK.",
                "The bare calls are the same number of the same calls, including searches, made one after the other "
                "over one connection by a process that does nothing else: "
                "tasks are created and started by the SDK's classes, and lists are read as JSON.",
                f"In threads, {self.workers} threads of such a process make the calls, each thread the next call as "
                "soon as it is free; this includes the cost of waiting for many answers at a time.",
                f"Median of {self.repetitions}, each in fresh processes that have submitted {_WARMING_UP} runs, "
                f"or made {_WARMING_UP} of the calls, before the measurement.",
            ),
            values=[value for type, samples in found.items() for value in _values(type, samples)],
            plots={"": bars("CPU of one submission", "ms", rows)},
        )

    def _sample(self, site: Site, type: ProviderType) -> Sample:
        with cloud(type) as service, site.databases.open(POSTGRESQL) as uri:
            apart = Apart(service.environment)
            ours = apart(submit_all, uri, type, self.runs, self.workers)
            calls = _after_warming_up(service.take_calls())
            service.remove_runs()
            bare = apart(replay, type, calls, _WARMING_UP)
            service.remove_runs()
            threaded = apart(replay, type, calls, _WARMING_UP, self.workers)
        ms = 1000 / self.runs
        return Sample(ours * ms, bare * ms, threaded * ms, calls=len(calls) / self.runs)


def _values(type: ProviderType, samples: Sequence[Sample]) -> Sequence[Value]:
    return (
        middle(f"{type}: bare SDK", [sample.bare for sample in samples], "ms"),
        middle(f"{type}: bare SDK in threads", [sample.threaded for sample in samples], "ms"),
        middle(f"{type}: wes-daemon", [sample.ours for sample in samples], "ms"),
        middle(f"{type}: overhead", [sample.overhead for sample in samples], "%", at_most=_MOST),
        middle(
            f"{type}: overhead, compared with the calls in threads",
            [sample.overhead_in_threads for sample in samples],
            "%",
        ),
        middle(f"{type}: calls per submission", [sample.calls for sample in samples]),
    )


def _after_warming_up(calls: Sequence[RecordedCall]) -> Sequence[RecordedCall]:
    begin = max(number for number, call in enumerate(calls, 1) if call.operation in _STATUS_OPERATIONS)
    return calls[begin:]


def submit_all(uri: str, type: ProviderType, runs: int, workers: int) -> float:
    """Return the CPU seconds for the submission of `runs` runs, after a warm-up."""
    container = container_on(uri, workers=workers, sevenbridges_rate_limit="off", aws_healthomics_rate_limits="off")
    submit = container.submit_queued_runs(serving=frozenset({type}))
    collect_garbage_rarely()
    with alive(container):
        queue_runs(uri, _WARMING_UP, provider=None, tags={"provider_type": str(type)}, **REQUESTS[type])
        submit()
        container.directory().provider(type).statuses([_UNKNOWN_RUN[type]])
        queue_runs(uri, runs, provider=type, **REQUESTS[type])
        begun = time.process_time()
        report = submit()
        took = time.process_time() - begun
    if report.accepted != runs:
        raise AssertionError(f"{report.outcomes} instead of {runs} accepted runs")
    return took
