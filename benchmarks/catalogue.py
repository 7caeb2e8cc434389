"""All figures, at three sizes."""

from collections.abc import Sequence

from benchmarks.databases import POSTGRESQL, SQLITE
from benchmarks.figure import Figure
from benchmarks.figures.claim_history import ClaimHistory
from benchmarks.figures.hanging_provider import HangingProvider
from benchmarks.figures.idle_daemon import IdleDaemon
from benchmarks.figures.refresh_cost import RefreshCost
from benchmarks.figures.run_work import RunWork
from benchmarks.figures.sdk_overhead import SdkOverhead
from benchmarks.figures.submission_rate import SubmissionRate
from benchmarks.figures.wakeup_latency import WakeupLatency

FULL: Sequence[Figure] = (
    SubmissionRate(),
    RunWork(),
    RefreshCost(),
    ClaimHistory(),
    WakeupLatency(runs={POSTGRESQL: 300, SQLITE: 100}),
    IdleDaemon(),
    SdkOverhead(),
    HangingProvider(),
)
"""The sizes for the page."""

QUICK: Sequence[Figure] = (
    SubmissionRate(runs=500, repetitions=1),
    RunWork(runs=3_000, repetitions=1),
    RefreshCost(active=(1_000, 10_000), repetitions=1),
    ClaimHistory(ended=(1_000, 10_000, 100_000), claims=10, repetitions=1),
    WakeupLatency(runs={POSTGRESQL: 50, SQLITE: 20}, repetitions=1),
    IdleDaemon(active=1_000, seconds=15, repetitions=1),
    SdkOverhead(runs=100, repetitions=1),
    HangingProvider(runs=60, repetitions=1),
)
"""Sizes that show in three minutes whether the figures work, and their approximate values."""

TINY: Sequence[Figure] = (
    SubmissionRate(runs=20, workers=4, latency=0.01, repetitions=1),
    RunWork(runs=50, workers=4, repetitions=1),
    RefreshCost(active=(100, 200), repetitions=1),
    ClaimHistory(ended=(10, 100), claims=2, repetitions=1),
    WakeupLatency(runs={POSTGRESQL: 2, SQLITE: 2}, repetitions=1),
    IdleDaemon(active=20, seconds=0.5, repetitions=1),
    SdkOverhead(runs=5, workers=2, repetitions=1),
    HangingProvider(runs=3, hanging_runs=2, poll_interval=0.05, repetitions=1),
)
"""Sizes for the tests; the values say nothing about the machine."""
