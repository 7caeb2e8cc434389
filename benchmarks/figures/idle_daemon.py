"""The cost of a daemon that has no work."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import ClassVar

import psutil

from benchmarks.apart import inherited
from benchmarks.clouds import CLOUDS, cloud
from benchmarks.databases import POSTGRESQL
from benchmarks.figure import Measured, NotMeasured, middle
from benchmarks.rows import add_active, count
from benchmarks.site import Site

_DUE = "SELECT count(*) FROM polls WHERE next_check_at <= now() + interval '10 minutes'"
_POLLED_WITHIN = 120.0
_SETTLING = 3.0


@dataclass(frozen=True, kw_only=True)
class IdleDaemon:
    """The real process, between two polls of its active runs."""

    name: ClassVar[str] = "idle-daemon"
    title: ClassVar[str] = "An idle daemon"

    active: int = 10_000
    seconds: float = 60
    repetitions: int = 3

    def __call__(self, site: Site) -> Measured:
        """Measure several windows of one process."""
        with site.databases.open(POSTGRESQL) as uri, ExitStack() as resources:
            environment: dict[str, str] = {}
            for type in CLOUDS:
                service = resources.enter_context(cloud(type))
                add_active(uri, type, service.add_runs(self.active // len(CLOUDS), 0))
                environment |= service.environment
            process = resources.enter_context(_daemon(uri, environment))
            _await_polls(uri, process)
            shares, memory = zip(*[self._window(process) for _ in range(self.repetitions)], strict=True)
        return Measured(
            method=(
                f"The daemon's process on PostgreSQL, with {self.active:,} active runs at both simulated services.",
                "The settings are the defaults, except DAEMON_STATUS_CHECK_INTERVAL, which is an hour.",
                "The daemon has polled all runs once, and so has loaded both SDKs.",
                f"Median of {self.repetitions} windows of {self.seconds:g} s before the runs are due again.",
            ),
            values=[
                middle("CPU, as a share of one core", shares, "%", at_most=1),
                middle("resident memory", memory, "MiB", at_most=150),
            ],
        )

    def _window(self, process: psutil.Process) -> tuple[float, float]:
        """Return the CPU in percent of one core, and the resident memory at the end."""
        begun, before = time.perf_counter(), _cpu(process)
        time.sleep(self.seconds)
        share = (_cpu(process) - before) / (time.perf_counter() - begun)
        return share * 100, process.memory_info().rss / 2**20


@contextmanager
def _daemon(uri: str, settings: Mapping[str, str]) -> Iterator[psutil.Process]:
    with TemporaryDirectory(prefix="wes-bench-") as directory:
        environment = {
            **inherited(),
            **settings,
            **{"HOME": directory, "NO_PROXY": "127.0.0.1", "DATABASE_URI": uri},
            "DAEMON_STATUS_CHECK_INTERVAL": "3600",
        }
        command: Sequence[str] = (sys.executable, "-m", "wes_daemon")
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_polls(uri: str, process: psutil.Process) -> None:
    end = time.perf_counter() + _POLLED_WITHIN
    while left := count(uri, _DUE):
        if time.perf_counter() > end or not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise NotMeasured(f"{left} runs are still due, or the daemon has ended")
        time.sleep(0.5)
    time.sleep(_SETTLING)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
