"""A row that another session keeps locked, such as an open transaction in somebody's psql; on PostgreSQL only."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import psycopg2
import pytest
from psycopg2.extensions import connection as Session  # noqa: N812 - the driver's name is no class's
from sqlalchemy import Engine

from tests.builders import a_report
from tests.contracts.persistence_harness import MINUTE, ServiceRow
from tests.integration.conftest import as_text
from tests.integration.persistence.harness import SqlHarness
from tests.unit.application.conftest import World
from wes_daemon.application.ports.errors import RunLocked, Unprovable
from wes_daemon.application.ports.late_updates import LateUpdate
from wes_daemon.application.ports.providers import ProviderTask, RunDetails
from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.reconciling.resolve_review import ResolveReview
from wes_daemon.application.requests.request_cancel import RequestCancel
from wes_daemon.domain.changes import RunChange
from wes_daemon.domain.runs import RunId
from wes_daemon.domain.states import RunState

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

ODD = RunId("odd")
GOOD = ["good-1", "good-2", "good-3"]
A_DAY = timedelta(days=1)
TASKS = (ProviderTask(id="1", name="step"),)
LOCKS = [
    "SELECT 1 FROM workflow_runs WHERE run_id = 'odd' FOR UPDATE",
    "UPDATE workflow_runs SET workflow_engine = 'mine' WHERE run_id = 'odd'",
    "DELETE FROM workflow_runs WHERE run_id = 'odd'",
]


class Site:
    """A daemon, and a person with a session of their own."""

    def __init__(self, store: SqlHarness) -> None:
        self.store = store
        self.world = World()
        self.world.units = store.units
        self.daemon = self.world.daemon()
        self.store.queue("good-1", "odd", "good-2", "good-3")

    @contextmanager
    def locking(self, statement: str) -> Iterator[Session]:
        """Another session has executed the statement and does not end its transaction."""
        uri = as_text(self.store.engine.url.set(drivername="postgresql"))
        with closing(psycopg2.connect(uri)) as session:
            session.cursor().execute(statement)
            yield session

    def complete(self) -> None:
        """All started runs end well."""
        for key in self.world.provider.started:
            id = self.world.provider.id_of(key)
            self.world.provider.put(id, a_report(RunState.COMPLETE, "COMPLETED"), RunDetails(tasks=TASKS))

    def refresh(self) -> None:
        """Poll all runs."""
        self.daemon.refresh(ahead=A_DAY)

    def write_late_updates(self) -> None:
        """A pass of the loop, when everything is due."""
        self.store.let_pass(2 * MINUTE)
        self.world.clock.advance(2 * MINUTE)
        self.daemon.recorder.write_late_updates()

    def record(self) -> RunRecord:
        """All that `show` prints of the odd run."""
        return self.store.queries.get(ODD)

    def states(self) -> set[str]:
        """The states of the good runs."""
        return {self.store.row(id).state for id in GOOD}


@pytest.fixture
def site(store: SqlHarness, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    """A daemon that never takes a lock of somebody else for an outage or a bug."""
    caplog.set_level(logging.INFO)
    engine: Engine = store.engine
    # A pass that waited for the lock would fail at once.
    options = engine.get_execution_options()
    impatient = engine.execution_options(**{**options, "wes_daemon_lock_timeout": timedelta(milliseconds=1)})
    yield Site(SqlHarness(impatient))
    assert not [record for record in caplog.records if record.exc_info]
    assert not [message for message in caplog.messages if message.startswith(("bug", "database."))]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_locked_row_keeps_no_run_from_its_provider_and_is_written_once_it_is_free(site: Site, lock: str) -> None:
    with site.locking(lock):
        report = site.daemon.submit()
        accepted = site.record()
        states = site.states()
    site.write_late_updates()

    assert report.accepted == 4
    assert states == {"INITIALIZING"}
    assert (accepted.run.state, accepted.submission) == (RunState.QUEUED, SubmissionState.ACCEPTED)
    assert site.record().run.state is RunState.INITIALIZING
    assert site.record().run.tag_values["provider_id"] == accepted.run.provider_run_id


@pytest.mark.parametrize("lock", LOCKS)
def test_a_locked_row_keeps_no_run_from_its_end(site: Site, lock: str, caplog: pytest.LogCaptureFixture) -> None:
    site.daemon.submit()
    site.complete()
    with site.locking(lock):
        site.refresh()
        for _ in range(3):
            site.write_late_updates()
        states, while_locked = site.states(), site.record()
    site.write_late_updates()

    assert states == {"COMPLETE"}
    assert (while_locked.run.state, while_locked.submission) == (RunState.INITIALIZING, SubmissionState.CLOSED)
    assert "keeps the run's row locked" in (while_locked.last_reason or "")
    assert site.record().run.state is RunState.COMPLETE
    assert len(site.record().tasks) == 1
    [locked] = [message for message in caplog.messages if message.startswith("run.locked")]
    assert "run_id=odd" in locked


def test_what_the_other_session_wrote_stays(site: Site) -> None:
    site.daemon.submit()
    site.complete()
    by_hand = "UPDATE workflow_runs SET state = 'CANCELED', tags = '{\"by\": \"hand\"}' WHERE run_id = 'odd'"
    with site.locking(by_hand) as session:
        site.refresh()
        session.commit()
    site.write_late_updates()

    assert site.record().run.state is RunState.CANCELED
    assert site.record().run.tags == {"by": "hand"}


def test_a_row_that_the_other_session_deleted_is_let_go(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.daemon.submit()
    site.complete()
    with site.locking("DELETE FROM workflow_runs WHERE run_id = 'odd'") as session:
        site.refresh()
        session.commit()
    site.write_late_updates()
    site.write_late_updates()

    [vanished] = [message for message in caplog.messages if message.startswith("run.row_vanished")]
    assert "run_id=odd" in vanished


def test_an_earlier_status_that_was_late_does_not_replace_that_of_the_end(site: Site) -> None:
    site.daemon.submit()
    for key in site.world.provider.started:
        site.world.provider.put(site.world.provider.id_of(key), a_report(RunState.RUNNING, "RUNNING"))
    with site.locking(LOCKS[0]):
        site.refresh()
    site.complete()
    site.store.let_pass(2 * MINUTE)
    site.refresh()
    at_its_end = site.record()

    site.write_late_updates()

    assert at_its_end.run.state is RunState.COMPLETE
    assert at_its_end.provider_status == site.record().provider_status == "COMPLETED"


def test_what_another_daemon_is_writing_is_kept_by_one_that_has_only_read_later_updates(site: Site) -> None:
    def add(tag: str) -> None:
        with site.store.units() as unit:
            unit.late_updates.add([LateUpdate(run_id=ODD, change=RunChange(tags={tag: 1}))], wait=timedelta(0))
            unit.commit()

    add("earlier")
    with site.store.units() as other:
        being_written = other.late_updates.get([ODD])[ODD]
        add("later")
        with site.store.units() as unit:
            later = unit.late_updates.get([ODD])[ODD]
            other.late_updates.postpone(being_written, wait=MINUTE, reason="locked")
            other.commit()
            unit.late_updates.remove([later])
            unit.commit()

    with site.store.units() as unit:
        assert unit.late_updates.get([ODD])[ODD].change.tags == {"earlier": 1}


def test_cancelled_runs_end_although_one_row_is_locked(site: Site) -> None:
    for id in ("odd", *GOOD):
        site.store.put(ServiceRow(run_id=id, state="CANCELING"))

    with site.locking(LOCKS[0]):
        site.daemon.cancel()
        states = site.states()
    site.write_late_updates()

    assert states == {"CANCELED"}
    assert site.record().run.state is RunState.CANCELED


def test_a_row_that_another_table_refers_to_is_not_locked_by_that(site: Site) -> None:
    site.daemon.submit()
    site.complete()

    with site.locking("INSERT INTO task_logs (id, run_id, name) VALUES ('mine', 'odd', 'by the service')"):
        site.refresh()
        state = site.record().run.state

    assert state is RunState.COMPLETE


def test_who_cancels_a_locked_run_is_told_so_soon(site: Site) -> None:
    cancel = RequestCancel(units=site.store.units, clock=site.world.clock, by="me")

    with site.locking(LOCKS[0]), pytest.raises(RunLocked, match="run odd: another session keeps its row locked"):
        cancel(ODD)

    assert cancel(ODD).state is RunState.CANCELING


def test_a_person_decides_about_a_locked_run_and_its_row_follows(site: Site) -> None:
    site.world.provider.fail_next(*[Unprovable("nobody knows")] * 4)
    site.daemon.submit()
    resolve = ResolveReview(
        units=site.store.units,
        queries=site.store.queries,
        providers=site.world.directory,
        clock=site.world.clock,
        by="me",
    )

    with site.locking(LOCKS[0]):
        resolve.give_up(ODD, "it is not there")
        while_locked = site.record()
    site.write_late_updates()

    assert (while_locked.run.state, while_locked.submission) == (RunState.QUEUED, SubmissionState.CLOSED)
    assert site.record().run.state is RunState.SYSTEM_ERROR
