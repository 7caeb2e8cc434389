"""How soon a provider is told that a service has cancelled or deleted a run, by a real daemon at its default intervals.

Each night: `pytest -m nightly -s tests/integration/test_cancel_latency.py` prints the figures.
"""

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.integration.conftest import Database
from tests.integration.persistence.conftest import disposed
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.transactions import writing

pytestmark = pytest.mark.nightly

_RUNS = 20
_BOUND = 300.0
_CWL = Path(__file__).parents[1] / "cwl" / "sleep.cwl"
_ACTIVE = "SELECT count(*) FROM workflow_runs WHERE state IN ('INITIALIZING', 'RUNNING')"
_STATEMENTS = {
    "CANCELING": "UPDATE workflow_runs SET state = 'CANCELING' WHERE run_id = :id",
    "CANCELED": "UPDATE workflow_runs SET state = 'CANCELED' WHERE run_id = :id",
    "deletion": "DELETE FROM workflow_runs WHERE run_id = :id",
}


class Service:
    """A WES service with connections of its own, and the log of a daemon beside it."""

    def __init__(self, engine: Engine, log: Path) -> None:
        self._engine = engine
        self._log = log

    def execute(self, statement: str, **values: object) -> None:
        """Execute and commit one statement."""
        with writing(self._engine) as connection:
            connection.execute(text(statement), values)
            connection.commit()

    def queue(self, run_id: str) -> None:
        """Queue a run that takes an hour."""
        self.execute(
            "INSERT INTO workflow_runs (run_id, state, workflow_params, workflow_type, workflow_type_version,"
            " workflow_url) VALUES (:id, 'QUEUED', :params, 'CWL', 'v1.2', :url)",
            id=run_id,
            params='{"seconds": 3600}',
            url=_CWL.as_uri(),
        )

    def active(self) -> int:
        """How many runs a provider executes."""
        with self._engine.connect() as connection:
            return int(connection.execute(text(_ACTIVE)).scalar_one())

    def told_at(self, run_id: str) -> datetime | None:
        """When the provider accepted the cancellation of this run, by the daemon's log."""
        found = re.search(rf"^(\S+) INFO cancel\.passed_on run_id={run_id} ", self._log.read_text(), re.MULTILINE)
        return datetime.fromisoformat(found[1]) if found else None


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    """A service beside a daemon that works."""
    log = tmp_path / "daemon.log"
    settings = {
        "DATABASE_URI": database.uri,
        "DAEMON_DEFAULT_PROVIDER": "local",
        "DAEMON_LOCAL_WORKDIR": str(tmp_path / "local"),
        "DAEMON_MAX_CONCURRENT_WORKFLOWS": str(_RUNS),
        "DAEMON_LOG_FILE": str(log),
    }
    daemon = subprocess.Popen(
        [sys.executable, "-m", "wes_daemon"], env=os.environ | settings, cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    with disposed(make_engine(database.uri, connections=2)) as engine:
        yield Service(engine, log)
    daemon.terminate()
    daemon.wait(60)


def until(holds: Callable[[], object]) -> None:
    """Wait until it holds, for a while."""
    limit = time.monotonic() + _BOUND
    while not holds():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize("kind", _STATEMENTS)
def test_a_provider_is_told_in_less_than_two_seconds(service: Service, database: Database, kind: str) -> None:
    run_ids = [f"{kind}-{number}" for number in range(_RUNS)]
    for run_id in run_ids:
        service.queue(run_id)
    until(lambda: service.active() == _RUNS)
    delays = []

    for run_id in run_ids:
        service.execute(_STATEMENTS[kind], id=run_id)
        committed = datetime.now(UTC)
        until(lambda run_id=run_id: service.told_at(run_id))  # type: ignore[misc]
        told = service.told_at(run_id)
        assert told is not None
        delays.append((told - committed).total_seconds())

    median = statistics.median(delays)
    print(f"{database.kind} {kind}: median {median:.2f} s, longest {max(delays):.2f} s of {_RUNS}")  # noqa: T201 - the figures
    assert median < 2
