"""How long a queued run waits for its provider to be called."""

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
    """Queues runs one after the other by a connection of its own, and hears when each is sent to its provider."""

    def __init__(self, uri: str, *, within: float = 10) -> None:
        """Queue nothing yet; a run that is not sent `within` so many seconds ends the measurement."""
        self._uri = uri
        self._within = within
        self._heard: dict[str, float] = {}
        self._changed = threading.Condition()

    def hear(self, run_id: str, at: float) -> None:
        """A provider was asked to start this run, at a moment of `time.perf_counter`."""
        with self._changed:
            self._heard[run_id] = at
            self._changed.notify_all()

    def measure(self, runs: int, provider: ProviderType) -> Sequence[float]:
        """Milliseconds for each run.

        Raises:
            NotMeasured: one was not sent in time.
        """
        chance = random.Random(1)
        waits = []
        with engine_on(self._uri) as engine:
            for n in range(runs):
                # So that the rows meet the daemon at any moment of whatever it does.
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
            if not self._changed.wait_for(lambda: run_id in self._heard, self._within):
                raise NotMeasured(f"a queued run was not sent within {self._within:g} s")
            return self._heard[run_id]
