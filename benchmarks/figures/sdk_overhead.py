"""What the daemon adds to the CPU that the services' SDKs need for a submission."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

from benchmarks.apart import Apart
from benchmarks.bare import replay
from benchmarks.clouds import CLOUDS, REQUESTS, Asked, cloud
from benchmarks.databases import POSTGRESQL
from benchmarks.figure import Measured, Value, middle
from benchmarks.plots import bars
from benchmarks.rows import queue_runs
from benchmarks.site import Site
from benchmarks.wiring import alive, container_on
from wes_daemon.domain.runs import ProviderRunId, ProviderType
from wes_daemon.entrypoints.cli.process import collect_garbage_seldom

_MOST = 30
# As many as it takes for every thread to have a connection to the service and one to the database.
_WARMING_UP = 100
# No submission asks for what it does not know: what comes after this question is measured.
_NOBODY = {
    ProviderType.SEVENBRIDGES: ProviderRunId("00000000-0000-4000-8000-000000000000"),
    ProviderType.HEALTHOMICS: ProviderRunId("1000000/nobody"),
}
_ASKING_FOR_NOBODY = ("get_task", "bulk_get", "GetRun")


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU of one submission, in milliseconds, and the calls that it takes.

    Attributes:
        bare: of the same calls in a loop.
        threaded: of the same calls in as many threads as ours has.
    """

    ours: float
    bare: float
    threaded: float
    calls: float

    @property
    def overhead(self) -> float:
        """In percent of the bare calls in a loop."""
        return (self.ours / self.bare - 1) * 100

    @property
    def overhead_in_threads(self) -> float:
        """In percent of the bare calls in threads."""
        return (self.ours / self.threaded - 1) * 100


@dataclass(frozen=True, kw_only=True)
class SdkOverhead:
    """Submissions through the real SDKs, beside the same calls in a loop."""

    name: ClassVar[str] = "sdk-overhead"
    title: ClassVar[str] = "CPU of a submission over the bare SDK"

    runs: int = 400
    workers: int = 16
    repetitions: int = 5

    def __call__(self, site: Site) -> Measured:
        """Measure it."""
        found = {type: [self._sample(site, type) for _ in range(self.repetitions)] for type in CLOUDS}
        rows = [
            (f"{type}, {who}", median(getattr(sample, name) for sample in samples))
            for type, samples in found.items()
            for who, name in (("bare SDK", "bare"), ("bare SDK in threads", "threaded"), ("wes-daemon", "ours"))
        ]
        return Measured(
            method=(
                f"{self.runs:,} runs are queued on PostgreSQL; the simulated service is a process of its own.",
                "Ours is the CPU of the process that submits, all of it: database, claims, records, "
                f"{self.workers} threads and the SDK.",
                "The bare calls are the same calls in the same number, those that only search included, made one after "
                "the other over one connection by a process that does nothing else: "
                "tasks are created and run by the SDK's classes, lists are read as JSON.",
                f"In threads, {self.workers} threads of such a process make them, each the next one as soon as it can: "
                "what it costs to wait for many answers at a time is in there, too.",
                f"Median of {self.repetitions}, each in fresh processes that have submitted {_WARMING_UP} runs, "
                f"or made {_WARMING_UP} of the calls, before anything is counted.",
            ),
            values=[value for type, samples in found.items() for value in _values(type, samples)],
            plots={"": bars("CPU of one submission", "ms", rows)},
        )

    def _sample(self, site: Site, type: ProviderType) -> Sample:
        with cloud(type) as service, site.databases.open(POSTGRESQL) as uri:
            apart = Apart(service.environment)
            ours = apart(submit_all, uri, type, self.runs, self.workers)
            calls = _after_warming_up(service.calls())
            service.forget()
            bare = apart(replay, type, calls, _WARMING_UP)
            service.forget()
            threaded = apart(replay, type, calls, _WARMING_UP, self.workers)
        ms = 1000 / self.runs
        return Sample(ours * ms, bare * ms, threaded * ms, calls=len(calls) / self.runs)


def _values(type: ProviderType, samples: Sequence[Sample]) -> Sequence[Value]:
    return (
        middle(f"{type}: bare SDK", [sample.bare for sample in samples], "ms"),
        middle(f"{type}: bare SDK in threads", [sample.threaded for sample in samples], "ms"),
        middle(f"{type}: wes-daemon", [sample.ours for sample in samples], "ms"),
        middle(f"{type}: overhead", [sample.overhead for sample in samples], "%", at_most=_MOST),
        middle(f"{type}: overhead over the calls in threads", [sample.overhead_in_threads for sample in samples], "%"),
        middle(f"{type}: calls for each submission", [sample.calls for sample in samples]),
    )


def _after_warming_up(calls: Sequence[Asked]) -> Sequence[Asked]:
    begin = max(number for number, call in enumerate(calls, 1) if call.operation in _ASKING_FOR_NOBODY)
    return calls[begin:]


def submit_all(uri: str, type: ProviderType, runs: int, workers: int) -> float:
    """The CPU seconds in which so many runs are submitted, after others that are not counted."""
    container = container_on(uri, workers=workers, sevenbridges_rate_limit="off", aws_healthomics_rate_limits="off")
    submit = container.submit_queued_runs(serving=frozenset({type}))
    collect_garbage_seldom()
    with alive(container):
        queue_runs(uri, _WARMING_UP, provider=None, tags={"provider_type": str(type)}, **REQUESTS[type])
        submit()
        container.directory().provider(type).statuses([_NOBODY[type]])
        queue_runs(uri, runs, provider=type, **REQUESTS[type])
        begun = time.process_time()
        report = submit()
        took = time.process_time() - begun
    if report.accepted != runs:
        raise AssertionError(f"{report.outcomes}, and not {runs} accepted")
    return took
