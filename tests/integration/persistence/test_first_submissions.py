"""First submissions to HealthOmics: one call each, and never two runs, also after a database was restored."""

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import Engine

from tests.builders import a_submission_policy
from tests.contracts.persistence_harness import HOUR, MINUTE, SECOND, ServiceRow
from tests.integration.persistence.harness import SqlHarness
from tests.integration.providers.healthomics_harness import bare_provider, simulated, start_many
from tests.simulators.healthomics import faults
from tests.simulators.healthomics.faults import Fault
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.simulators.healthomics.service import Repeats
from tests.unit.application.conftest import World
from wes_daemon.adapters.memory.providers import MemoryProviderDirectory
from wes_daemon.adapters.persistence.reconcile_queries import SqlReconcileQueries, SqlRepairUnit
from wes_daemon.adapters.persistence.tables import daemon_metadata
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.adapters.system import SystemClock
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.reconciling.adopt_inherited_runs import AdoptInheritedRuns, InheritedReport
from wes_daemon.application.reconciling.repairing import Repairer
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderType

HORIZON = 12 * HOUR
RUNS = 5
TABLES = ("workflow_runs", *(table.name for table in daemon_metadata.sorted_tables))
LOST = (
    faults.cut(after_acting=False),
    faults.cut(after_acting=True),
    faults.internal(after_acting=False),
    faults.internal(after_acting=True),
    faults.bad_gateway(after_acting=True),
    faults.garbled(),
)


class Site:
    """A database, daemons on it, and HealthOmics."""

    def __init__(self, engine: Engine, simulator: HealthOmicsSimulator) -> None:
        self.engine = engine
        self.simulator = simulator
        self.store = SqlHarness(engine)
        policy = a_submission_policy(concurrency_limit=1_000, batch=100, default_provider=ProviderType.HEALTHOMICS)
        self.world = World(submission_policy=policy)
        self.world.units = self.store.units
        self.world.directory = MemoryProviderDirectory({ProviderType.HEALTHOMICS: bare_provider()})
        self.daemon = self.world.daemon()

    def queue(self, number: int, *, prefix: str = "run") -> None:
        """The service queues rows."""
        for n in range(number):
            self.store.put(ServiceRow(run_id=f"{prefix}-{n}", workflow_url="omics:1234567"))

    def submit(self) -> None:
        self.daemon.daemon_session.renew()
        self.daemon.submit()

    def submit_all(self) -> None:
        """Submit until nothing is left to be resolved."""
        for _ in range(50):
            self.submit()
            if self.states() <= {SubmissionState.ACCEPTED}:
                return
            self.let_pass(MINUTE)
        raise AssertionError(f"runs are left: {self.states()}")

    def inherit(self) -> None:
        """The first session of the database begins."""
        with self.store.units() as unit:
            unit.submissions.inherit()
            unit.commit()
        self.daemon.daemon_session.renew()

    def adopt_inherited(self) -> InheritedReport:
        units, clock = partial(SqlRepairUnit, self.engine), SystemClock()
        adopt = AdoptInheritedRuns(
            queries=SqlReconcileQueries(self.engine),
            units=units,
            providers=self.world.directory,
            repairer=Repairer(units=units, clock=clock, ids=self.world.ids, by="a test"),
            clock=clock,
            stop=StopSignal(),
            default_provider=ProviderType.HEALTHOMICS,
            destination=lambda run: run.destination_if_valid(ProviderType.HEALTHOMICS),
        )
        return adopt()

    def states(self) -> set[SubmissionState | None]:
        return {record.submission for record in self.store.queries.list(RunFilter(limit=1_000))}

    def let_pass(self, time: timedelta) -> None:
        self.store.let_pass(time)
        self.world.clock.advance(time)

    def back_up(self) -> None:
        self._copy("CREATE TABLE backup_of_{0} AS SELECT * FROM {0}")

    def restore(self) -> None:
        """All daemons die, and the database is as it was when it was backed up."""
        self._copy("DELETE FROM {0}")
        self._copy("INSERT INTO {0} SELECT * FROM backup_of_{0}")
        self.daemon = self.world.daemon()

    def drop_backup(self) -> None:
        self._copy("DROP TABLE IF EXISTS backup_of_{0}")

    def _copy(self, statement: str) -> None:
        with writing(self.engine) as connection:
            for table in TABLES:
                connection.exec_driver_sql(statement.format(table))
            connection.commit()

    def started(self) -> list[str]:
        return sorted(entry.request_id for entry in self.simulator.service.started)


@pytest.fixture
def site(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with simulated(monkeypatch) as simulator:
        site = Site(engine, simulator)
        try:
            yield site
        finally:
            site.drop_backup()


def keys(number: int) -> list[str]:
    return sorted(f"wes-run-{n}" for n in range(number))


def test_four_hundred_new_runs_need_one_call_each(site: Site) -> None:
    site.submit()
    site.queue(400)

    site.submit_all()

    assert site.started() == keys(400)
    assert site.simulator.operations == {"StartRun": 400}


def test_runs_that_are_queued_during_a_pass_and_in_later_ones_need_one_call_each(site: Site) -> None:
    site.queue(1, prefix="old")
    site.submit()
    for number in (5, 10, 15):
        site.let_pass(SECOND)
        site.queue(number)
        site.submit_all()

    assert len(site.started()) == 1 + 15
    assert site.simulator.operations["ListRuns"] == 1


@pytest.mark.parametrize("number", [60, pytest.param(200, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("lists_new_runs", [True, False])
def test_as_many_lost_answers_are_as_many_runs(site: Site, number: int, lists_new_runs: bool) -> None:
    site.simulator.service.lists_new_runs = lists_new_runs
    chance = random.Random(20_261_128)
    site.submit()
    site.queue(number)
    site.simulator.faults.put("StartRun", *chance.choices(LOST, k=number))
    site.simulator.faults.weather = lambda _: _weather(chance)

    site.submit_all()

    assert site.started() == keys(number)


def test_a_run_whose_answer_was_lost_is_searched_for(site: Site) -> None:
    site.submit()
    site.queue(1)
    site.simulator.faults.put("StartRun", faults.cut(after_acting=True))
    site.submit()
    site.let_pass(MINUTE)
    site.simulator.service.repeats = Repeats.FORGOTTEN

    site.submit_all()

    assert site.started() == keys(1)
    assert site.simulator.operations["StartRun"] == 1


def not_enrolled(site: Site) -> None:
    site.queue(RUNS)


def enrolled(site: Site) -> None:
    site.queue(RUNS)
    site.store.enrol()


def returned(site: Site) -> None:
    """Each run was claimed once, and certainly not sent."""
    site.queue(RUNS)
    site.simulator.faults.weather = lambda _: faults.throttled()
    site.submit()
    site.simulator.faults.weather = lambda _: None


def watched_and_not_enrolled(site: Site) -> None:
    site.submit()
    site.queue(RUNS)


def watched_and_enrolled(site: Site) -> None:
    site.submit()
    site.queue(RUNS)
    site.store.enrol()


def watched_and_returned(site: Site) -> None:
    site.submit()
    returned(site)


BACKED_UP = (not_enrolled, enrolled, returned, watched_and_not_enrolled, watched_and_enrolled, watched_and_returned)


@pytest.mark.parametrize("back_up", BACKED_UP)
@pytest.mark.parametrize("age", [10 * MINUTE, 2 * HOUR, HORIZON - MINUTE])
def test_a_younger_restored_database_starts_no_second_run_though_no_run_is_listed(
    site: Site, back_up: Callable[[Site], None], age: timedelta
) -> None:
    site.simulator.service.lists_new_runs = False
    back_up(site)
    site.back_up()
    site.let_pass(MINUTE)
    site.submit_all()

    site.restore()
    site.let_pass(age)
    site.submit_all()

    assert site.started() == keys(RUNS)


@pytest.mark.parametrize("back_up", BACKED_UP)
@pytest.mark.parametrize("age", [HORIZON + MINUTE, 10 * HORIZON])
def test_an_older_restored_database_starts_no_second_run_though_the_keys_are_forgotten(
    site: Site, back_up: Callable[[Site], None], age: timedelta
) -> None:
    back_up(site)
    site.back_up()
    site.let_pass(MINUTE)
    site.submit_all()
    site.simulator.service.repeats = Repeats.FORGOTTEN

    site.restore()
    site.let_pass(age)
    site.submit_all()

    assert site.started() == keys(RUNS)


def test_runs_of_a_database_that_was_restored_at_once_need_no_search(site: Site) -> None:
    watched_and_enrolled(site)
    site.back_up()
    site.submit_all()
    site.restore()
    site.let_pass(10 * MINUTE)

    site.submit_all()

    assert site.simulator.operations == {"StartRun": 2 * RUNS}
    assert site.started() == keys(RUNS)


@pytest.mark.parametrize("pause", [MINUTE, 2 * HOUR, HORIZON])
def test_a_restored_database_starts_no_second_run_though_the_runs_wait_again(site: Site, pause: timedelta) -> None:
    """A daemon enrols the runs soon after the restoration, and the concurrency limit keeps them waiting."""
    site.submit()
    site.queue(RUNS)
    site.back_up()
    site.submit_all()
    site.simulator.service.repeats = Repeats.FORGOTTEN
    site.restore()
    site.let_pass(pause)
    site.daemon.daemon_session.renew()
    site.simulator.faults.weather = lambda _: faults.throttled()
    site.submit()
    for _ in range(13):
        site.let_pass(HOUR)
        site.daemon.daemon_session.renew()
        site.submit()
    site.simulator.faults.weather = lambda _: None

    site.submit_all()

    assert site.started() == keys(RUNS)


def test_rows_that_the_first_session_finds_are_searched_for_together(site: Site) -> None:
    site.queue(400)
    site.inherit()

    report = site.adopt_inherited()
    site.submit_all()

    assert report.released == 400
    assert site.started() == keys(400)
    assert site.simulator.operations == {"StartRun": 400, "ListRuns": 2}


def test_a_database_that_was_restored_to_its_state_before_the_first_session_starts_no_second_run(site: Site) -> None:
    site.queue(RUNS)
    site.back_up()
    site.inherit()
    site.adopt_inherited()
    site.submit_all()
    site.simulator.service.repeats = Repeats.FORGOTTEN
    start_many(site.simulator, 3, prefix="wes-of-another-database-")
    before = site.simulator.operations["GetRun"]
    site.restore()
    site.let_pass(10 * HORIZON)
    site.inherit()

    report = site.adopt_inherited()

    assert report.adopted == RUNS
    assert site.simulator.operations["GetRun"] == before + RUNS
    site.submit_all()
    assert [key for key in site.started() if "another" not in key] == keys(RUNS)


def _weather(chance: random.Random) -> Fault | None:
    return chance.choice(LOST) if chance.random() < 0.1 else None
