"""What it costs to bring runs from the queue to their end, counted: calls, statements and rows, on any machine."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from tests.builders import a_report, a_submission_policy, some_details
from tests.integration.persistence.costs import Costs, costs_of
from tests.integration.persistence.harness import SqlHarness
from tests.unit.application.conftest import World
from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory
from wes_daemon.adapters.resilience.decorators import Batching
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

RUNS = 400
BATCH = 100
OF_A_RUN = {
    # Enrolled and claimed with its intent; accepted; closed.
    "submissions": 4,
    # Accepted, ended.
    "workflow_runs": 2,
    "run_events": 2,
    # Followed, taken to be asked for, and off the schedule.
    "polls": 3,
    "run_details": 1,
}
"""Rows that are written of one run between the queue and its end."""


class Site:
    """Queued runs, and a provider that has each complete when it is asked for."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.provider = MemoryProvider(status_batch=BATCH)
        policy = a_submission_policy(concurrency_limit=2 * RUNS, batch=BATCH)
        world = World(provider=self.provider, submission_policy=policy)
        self.store = SqlHarness(engine)
        world.units = self.store.units
        world.directory = MemoryProviderDirectory({ProviderType.SEVENBRIDGES: Batching(self.provider)})
        self.daemon = world.daemon()
        self.store.queue(*(f"run-{number:04}" for number in range(RUNS)))

    def complete(self) -> None:
        """All runs end well."""
        for key in self.provider.started:
            self.provider.put(self.provider.id_of(key), a_report(RunState.COMPLETE, "COMPLETED"), some_details())


@pytest.fixture
def site(engine: Engine) -> Site:
    """The site on both databases."""
    return Site(engine)


def written(costs: Costs) -> dict[str, float]:
    """Rows of each table for one run."""
    return {table: rows / RUNS for table, rows in costs.rows.items()}


def test_a_run_costs_few_rows_and_a_small_part_of_a_statement_from_the_queue_to_its_end(site: Site) -> None:
    with costs_of(site.engine) as costs:
        submitted = site.daemon.submit()
        site.complete()
        site.daemon.refresh(ahead=timedelta(days=1))

    assert submitted.accepted == RUNS
    assert site.provider.calls.count("submit") == RUNS
    assert site.provider.calls.count("statuses") == RUNS // BATCH
    assert site.provider.calls.count("details") == RUNS
    # The two rows of the daemon itself are no cost of its runs.
    assert costs.rows.pop("daemons") + costs.rows.pop("provider_looks") <= 2
    for table, rows in written(costs).items():
        assert rows <= OF_A_RUN[table], (table, costs)
    assert costs.statements <= 0.3 * RUNS, costs


def test_a_single_run_that_was_announced_reaches_its_provider_with_few_statements(site: Site) -> None:
    site.daemon.submit()
    site.store.queue("announced")

    with costs_of(site.engine) as costs:
        report = site.daemon.submit.submit_announced()

    assert report.accepted == 1
    assert costs.statements <= 30
