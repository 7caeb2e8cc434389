"""What a pass over many active runs costs, counted: calls, statements and rows, whatever the machine."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from tests.builders import a_report, a_submission
from tests.integration.persistence.costs import costs_of
from tests.integration.persistence.harness import SqlHarness
from tests.unit.application.conftest import World
from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory
from wes_daemon.adapters.persistence.tables import polls, submissions, workflow_runs
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.adapters.resilience.decorators import Batching
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

TYPE = ProviderType.SEVENBRIDGES
BATCH = 100
TWO_DAYS = timedelta(days=2)


class Followed:
    """Many runs that are active for two days and due."""

    def __init__(self, engine: Engine, runs: int) -> None:
        self.engine = engine
        self.provider = MemoryProvider(status_batch=BATCH)
        self.world = World(provider=self.provider)
        self.world.units = SqlHarness(engine).units
        self.world.directory = MemoryProviderDirectory({TYPE: Batching(self.provider)})
        self.daemon = self.world.daemon()
        self.ids = [self._started(f"run-{number:06}") for number in range(runs)]
        self._store()

    def change(self, part: float) -> None:
        """So many of them begin to run."""
        for id in self.ids[:: int(1 / part)]:
            self.provider.put(id, a_report(RunState.RUNNING, "RUNNING"))

    def _started(self, run_id: str) -> Any:
        submission = a_submission(f"wes-{run_id}")
        self.provider.submit(submission)
        return self.provider.id_of(submission.key)

    def _store(self) -> None:
        now = datetime.now(UTC)
        ids = [(f"run-{number:06}", id) for number, id in enumerate(self.ids)]
        alike = {"provider": TYPE, "provider_run_id": ""}
        held = {**alike, "state": SubmissionState.ACCEPTED, "returns_to": SubmissionState.ACCEPTED, "share": ""}
        times = {"enrolled_at": now, "not_before": now, "claim_seq": 1, "attempts": 0}
        due = {"next_check_at": now - timedelta(minutes=1), "followed_since": now - TWO_DAYS}
        known = {"known_state": RunState.INITIALIZING, "known_status": "waiting", "poll_seq": 1, "details_failures": 0}
        with writing(self.engine) as connection:
            connection.execute(
                insert(workflow_runs),
                [
                    {"run_id": run_id, "state": RunState.INITIALIZING, "workflow_type": "CWL", "workflow_url": "x"}
                    | {"workflow_type_version": "v1.2", "tags": {}, "workflow_params": {}}
                    for run_id, _ in ids
                ],
            )
            for table, values in ((submissions, held | times), (polls, alike | due | known)):
                connection.execute(insert(table), [values | {"run_id": a, "provider_run_id": b} for a, b in ids])
            connection.commit()


PAGES = {1_000: 2, 10_000: 20}
"""Pages of the pass, by the number of runs."""

NUMBERS = [1_000, pytest.param(10_000, marks=pytest.mark.nightly)]


@pytest.mark.parametrize("runs", NUMBERS)
def test_a_pass_that_finds_nothing_new_writes_each_look_once(engine: Engine, runs: int) -> None:
    followed = Followed(engine, runs)
    followed.provider.calls.clear()

    with costs_of(engine) as costs:
        report = followed.daemon.refresh()

    assert report.polled == runs
    assert followed.provider.calls == ["statuses"] * (runs // BATCH)
    assert costs.rows == {"polls": runs}
    # Of each page, one that takes and one that writes the taking; one more that finds nothing left; begins and ends.
    assert costs.statements <= 4 * (PAGES[runs] + 1)


@pytest.mark.parametrize("runs", NUMBERS)
def test_a_pass_writes_what_has_changed_and_nothing_else(engine: Engine, runs: int) -> None:
    followed = Followed(engine, runs)
    followed.change(0.01)
    followed.provider.calls.clear()
    changed = runs // 100

    with costs_of(engine) as costs:
        report = followed.daemon.refresh()

    assert report.polled == runs
    assert followed.provider.calls == ["statuses"] * (runs // BATCH)
    # SQLite does not count the rows of a statement that returns them.
    assert costs.rows["polls"] == runs + (changed if engine.dialect.name == "postgresql" else 0)
    assert costs.rows["workflow_runs"] == changed
    assert sum(costs.rows.values()) <= runs + 5 * changed
    assert costs.statements <= 14 * (PAGES[runs] + 1)


def test_a_look_at_what_is_not_due_writes_nothing(engine: Engine) -> None:
    followed = Followed(engine, 200)
    followed.daemon.refresh()
    followed.provider.calls.clear()

    with costs_of(engine) as costs:
        followed.daemon.refresh()

    assert followed.provider.calls == []
    assert costs.rows == {}
    assert costs.statements <= 2
