"""The time between the commit of a queued row and the call of its provider."""

import random
import threading
import time
from collections.abc import Sequence

from benchmarks.databases import engine_on
from benchmarks.figure import NotMeasured
from benchmarks.rows import REQUEST
from wes_daemon.adapters.persistence.tables import workflow_runs
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

_LONGEST_PAUSE = 0.05


class Arrivals:
    """Queues runs one after the other on a separate connection, and measures when each is sent to its provider."""

    def __init__(self, uri: str, *, within: float = 10) -> None:
        """Prepare the measurement, which fails if a run is not sent `within` this many seconds."""
        self._uri = uri
        self._within = within
        self._called_at: dict[str, float] = {}
        self._changed = threading.Condition()

    def record_call(self, run_id: str, at: float) -> None:
        """Record that a provider was called to start this run, at a time of `time.perf_counter`."""
        with self._changed:
            self._called_at[run_id] = at
            self._changed.notify_all()

    def measure(self, runs: int, provider: ProviderType) -> Sequence[float]:
        """Return the milliseconds for each run.

        Raises:
            NotMeasured: a run was not sent in time.
        """
        chance = random.Random(1)
        waits = []
        with engine_on(self._uri) as engine:
            for n in range(runs):
                # The rows are queued at random moments of the daemon's work.
                time.sleep(chance.random() * _LONGEST_PAUSE)
                run_id = f"arriving-{n:06}"
                row = {"run_id": run_id, "state": RunState.QUEUED, "tags": {"provider_type": str(provider)}, **REQUEST}
                with engine.connect() as connection:
                    connection.execute(workflow_runs.insert(), row)
                    begun = time.perf_counter()
                    connection.commit()
                waits.append((self._arrival(run_id) - begun) * 1000)
        return waits

    def _arrival(self, run_id: str) -> float:
        with self._changed:
            if not self._changed.wait_for(lambda: run_id in self._called_at, self._within):
                raise NotMeasured(f"a queued run was not sent within {self._within:g} s")
            return self._called_at[run_id]
