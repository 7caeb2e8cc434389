"""Many threads and processes at once, on real databases."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Lock

import pytest
from sqlalchemy import event, text

from tests.builders import ALL_DESTINATIONS, ALL_PROVIDERS
from tests.contracts.persistence_harness import ME, MINUTE, OTHER, Race, destination, ids_of
from tests.integration.conftest import Database, as_text
from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.workers import claim, in_processes
from wes_daemon.adapters.persistence import transactions
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.reconcile_queries import SqlRepairUnit
from wes_daemon.adapters.persistence.submissions import SqlSubmissionQueue
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.adapters.persistence.unit_of_work import SqlUnitOfWork, SqlUnitsOfWork
from wes_daemon.application.ports.errors import StorageUnavailable
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import Acceptance, ClaimedRun, SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState

Selection = Callable[[SqlUnitOfWork, int], list[str]]

CAP = 20
RUNS = 200
IMPATIENCE = timedelta(seconds=20)
IDLE_LIMIT = "idle_in_transaction_session_timeout"
# What is left to a planner then is to go through one thing for every row of the other.
NESTED_LOOPS = " ".join(
    f"-c enable_{way}=off" for way in ("hashjoin", "mergejoin", "hashagg", "sort", "material", "indexscan")
)


class Books:
    """What all threads together hold at this moment, and all that they ever claimed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.held = 0
        self.most = 0
        self.claimed: list[str] = []

    def enter(self, ids: list[str]) -> None:
        with self._lock:
            self.claimed += ids
            self.held += len(ids)
            self.most = max(self.most, self.held)

    def leave(self, ids: list[str]) -> None:
        with self._lock:
            self.held -= len(ids)


def test_eight_threads_that_claim_200_runs_never_pass_the_cap_and_hand_none_out_twice(store: SqlHarness) -> None:
    store.queue(*(f"run-{number:03}" for number in range(RUNS)))
    store.enrol(limit=RUNS)
    race, books = Race(8), Books()

    def work(number: int) -> None:
        owner = store.live(SessionId(f"daemon-{number}"), lasting=10 * MINUTE)
        while len(books.claimed) < RUNS:
            with store.units() as unit:
                claimed = unit.submissions.claim(
                    owner, limit=5, concurrency_limit=CAP, serving=ALL_DESTINATIONS, destination=destination
                )
                race.together()
                unit.commit()
            books.enter(ids_of(claimed))
            books.leave(ids_of(claimed))
            close(store, claimed)

    race.run(work)

    assert books.most <= CAP
    assert len(books.claimed) == len(set(books.claimed)) == RUNS


def close(store: SqlHarness, claimed: Sequence[ClaimedRun]) -> None:
    """End these without a provider."""
    with store.units() as unit:
        for each in claimed:
            unit.submissions.close(each.claim, reason="test")
        unit.commit()


def test_processes_that_claim_at_once_never_pass_the_cap_and_hand_none_out_twice(
    store: SqlHarness, database: Database
) -> None:
    store.queue(*(f"run-{number:02}" for number in range(40)))
    store.enrol()
    for number in range(3):
        store.live(SessionId(f"process-{number}"))

    claimed = [id for ids in in_processes(claim, database.uri, 3) for id in ids]

    assert len(claimed) == len(set(claimed)) == CAP


def test_sixteen_threads_that_write_without_pause_all_have_their_turn(store: SqlHarness) -> None:
    store.live(ME)
    race = Race(16)

    def work(_: int) -> None:
        for _turn in range(20):
            with store.units() as unit:
                unit.leases.renew(ME, lasting=MINUTE)
                unit.commit()

    race.run(work)

    assert [seen.id for seen in store.queries.daemons()] == [ME]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_threads_that_open_a_new_file_at_once_do_not_hinder_each_other(store: SqlHarness) -> None:
    race = Race(16)

    def work(number: int) -> None:
        race.together()
        store.live(SessionId(f"daemon-{number}"))
        store.queries.daemons()

    race.run(work)

    assert len(store.queries.daemons()) == 16


def lease_due(unit: SqlUnitOfWork, limit: int) -> list[str]:
    """The runs whose poll is due, at most so many."""
    now = timedelta(0)
    due = unit.polls.lease_due(limit=limit, ahead=now, lease=MINUTE, not_leased_for=now, serving=ALL_PROVIDERS)
    return sorted(poll.run_id for poll in due)


def to_cancel(unit: SqlUnitOfWork, limit: int) -> list[str]:
    """The runs to cancel at their providers, at most so many."""
    leased = unit.polls.to_cancel(limit=limit, lease=MINUTE, serving=ALL_PROVIDERS)
    return sorted(run.run_id for run in leased)


def cancelled(store: SqlHarness, *ids: str) -> None:
    """Runs whose poll is due and that are to be cancelled."""
    store.accepted(*ids)
    for id in ids:
        store.move(id, RunState.CANCELING)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("select", [lease_due, to_cancel])
def test_daemons_that_look_at_once_do_not_wait_for_each_other(store: SqlHarness, select: Selection) -> None:
    cancelled(store, "run-1", "run-2")

    hasty = make_engine(as_text(store.engine.url), connections=2, response_timeout=IMPATIENCE)
    with disposed(hasty), SqlUnitsOfWork(hasty)() as one, SqlUnitsOfWork(hasty)() as other:
        taken = [select(one, 1), select(other, 1)]

    assert taken == [["run-1"], ["run-2"]]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("select", [lease_due, to_cancel])
def test_a_limit_holds_whatever_plan_the_server_makes(store: SqlHarness, select: Selection) -> None:
    """A limit inside a condition may be evaluated again for every row, and then lets more through each time."""
    cancelled(store, *(f"run-{number}" for number in range(8)))
    awkward = store.engine.url.update_query_dict({"options": NESTED_LOOPS})

    with disposed(make_engine(as_text(awkward), connections=1)) as engine, SqlUnitsOfWork(engine)() as unit:
        taken = select(unit, 3)

    assert taken == ["run-0", "run-1", "run-2"]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_run_that_is_withdrawn_after_it_was_chosen_is_not_claimed(store: SqlHarness) -> None:
    store.queue("run-1", "run-2")
    store.enrol()

    def withdraw(statement: str) -> None:
        if "SELECT submissions.seq, submissions.run_id" in statement and store.row("run-1").state == "QUEUED":
            store.move("run-1", RunState.CANCELING)
            with store.units() as other:
                other.submissions.close_withdrawn(limit=1)
                other.commit()

    with disposed(make_engine(as_text(store.engine.url), connections=1)) as engine:
        event.listen(engine, "after_cursor_execute", lambda *arguments: withdraw(arguments[2]))
        claimed = SqlHarness(engine).claim(store.live(ME))

    assert ids_of(claimed) == ["run-2"]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_run_that_was_adopted_after_it_was_chosen_stays_adopted_though_its_row_is_deleted(store: SqlHarness) -> None:
    store.queue("run-1", "run-2")
    store.enrol()
    person, id, adopted = store.live(OTHER), ProviderRunId("at-1"), list[str]()

    def adopt(statement: str) -> None:
        if "SELECT submissions.seq, submissions.run_id" in statement and not adopted:
            with SqlRepairUnit(store.engine) as other:
                claim = other.claim_for_repair(RunId("run-1"), person, ProviderType.LOCAL)
                other.submissions.record_acceptances(
                    [Acceptance(claim=claim, provider=ProviderType.LOCAL, provider_run_id=id)], first_poll_after=MINUTE
                )
                other.commit()
            store.remove("run-1")
            adopted.append("run-1")

    with disposed(make_engine(as_text(store.engine.url), connections=1)) as engine:
        event.listen(engine, "after_cursor_execute", lambda *arguments: adopt(arguments[2]))
        claimed = SqlHarness(engine).claim(store.live(ME))

    with store.engine.connect() as connection:
        state = connection.execute(text("SELECT state FROM submissions WHERE run_id = 'run-1'")).scalar_one()
    assert (ids_of(claimed), state) == (["run-2"], SubmissionState.ACCEPTED)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_daemon_that_falls_asleep_while_it_claims_keeps_no_other_from_claiming(store: SqlHarness) -> None:
    store.queue("run-1")
    store.enrol()
    store.live(OTHER)

    with writing(store.engine) as asleep:
        SqlSubmissionQueue(asleep).claim(
            OTHER, limit=1, concurrency_limit=1, serving=ALL_DESTINATIONS, destination=destination
        )
        limit = asleep.execute(text(f"SELECT setting FROM pg_settings WHERE name = '{IDLE_LIMIT}'")).scalar_one()
        # Shortened for this transaction alone: on a busy machine all others need the normal limit.
        asleep.execute(text(f"SET LOCAL {IDLE_LIMIT} = '50ms'"))
        awake = store.claim(ME)
        with pytest.raises(StorageUnavailable):
            asleep.commit()

    assert timedelta(milliseconds=int(limit)) == transactions._IDLE_TIMEOUT
    assert ids_of(awake) == ["run-1"]
