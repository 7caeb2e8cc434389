"""Whichever commit's answer is lost, the work comes out as if none had been, in memory, on SQLite and on PostgreSQL."""

import logging
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.builders import a_report, a_request, some_details
from tests.contracts.persistence_harness import HOUR, MINUTE, PersistenceHarness
from tests.lost_answers import LosingAnswers
from tests.unit.adapters.test_memory_persistence import MemoryHarness
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.adapters.memory.environment import CountingIds
from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory, PreparingMemoryProvider
from wes_daemon.application.ports.errors import Misconfigured, NotNow, OutcomeUnknown, Rejected, StorageUnavailable
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.application.requests.create_run import CreateRun
from wes_daemon.application.requests.request_cancel import RequestCancel
from wes_daemon.domain.runs import ProviderType, RunId
from wes_daemon.domain.states import RunState

RUNS = ("run-1", "run-2")
NUMBERS = range(1, 9)
"""The commits of a pass that submits."""

FEWER = range(1, 5)
"""The commits of a pass that follows or cancels."""


class Office:
    """A daemon on a store some of whose answers are lost."""

    def __init__(self, store: PersistenceHarness) -> None:
        self.store = store
        self.world = World()
        self.units = LosingAnswers(store.units)
        self.world.units = self.units
        self.provider: MemoryProvider = self.world.provider

    def serve(self, provider: MemoryProvider) -> None:
        """Have another provider than the usual one."""
        self.provider = provider
        self.world.directory = MemoryProviderDirectory({ProviderType.SEVENBRIDGES: provider})

    def work(self, act: Callable[[], object]) -> None:
        """Do it as a beat does: again after the database was away, and long enough for what was put off."""
        for _ in range(4):
            with suppress(StorageUnavailable):
                act()
            self.store.let_pass(10 * MINUTE)
            self.world.clock.advance(10 * MINUTE)

    def submitted(self) -> DaemonUnderTest:
        """All runs are with the provider, without any trouble."""
        daemon = self.world.daemon()
        self.store.queue(*RUNS)
        daemon.submit()
        return daemon

    def states(self) -> set[str]:
        """The states that rows are in, as a service reads them."""
        return {self.store.row(id).state for id in RUNS}

    def changes(self, run_id: str) -> list[RunState]:
        """Where the timeline says that the run went."""
        return [entry.after for entry in self.store.queries.get(RunId(run_id)).timeline]


@pytest.fixture
def office(store: PersistenceHarness, caplog: pytest.LogCaptureFixture) -> Office:
    """An office whose every word is heard."""
    caplog.set_level(logging.INFO)
    return Office(store)


class Refusing(MemoryProvider):
    """Puts off the first submission of each run, in a way of its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.fail_next(error, error)


class Rules:
    """What must hold on every store."""

    @pytest.mark.parametrize("number", NUMBERS)
    @pytest.mark.parametrize("provider", [MemoryProvider, PreparingMemoryProvider])
    def test_a_run_is_submitted_once(
        self, office: Office, provider: type[MemoryProvider], number: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        office.serve(provider())
        office.store.queue(*RUNS)
        office.units.lose(number)

        office.work(office.world.daemon().submit)

        assert sorted(office.provider.started) == ["wes-run-1", "wes-run-2"]
        assert office.states() == {"INITIALIZING"}
        assert all(office.changes(id) == [RunState.INITIALIZING] for id in RUNS)
        assert sum("submit.accepted" in message for message in caplog.messages) == 2
        assert not any("claim_lost" in message or "not_recorded" in message for message in caplog.messages)
        changes = sorted(office.world.telemetry.changes)
        assert changes == [(RunId(id), RunState.QUEUED, RunState.INITIALIZING) for id in RUNS]

    @pytest.mark.parametrize("number", NUMBERS)
    @pytest.mark.parametrize(("kind", "attempts"), [(NotNow, 1), (OutcomeUnknown, 1), (Misconfigured, 0)])
    def test_a_run_that_was_put_off_is_submitted_once_and_counted_once(
        self, office: Office, kind: type[Exception], attempts: int, number: int
    ) -> None:
        office.serve(Refusing(kind("not this time")))
        office.store.queue(*RUNS)
        office.units.lose(number)

        office.work(office.world.daemon().submit)

        assert sorted(office.provider.started) == ["wes-run-1", "wes-run-2"]
        assert {office.store.queries.get(RunId(id)).attempts for id in RUNS} == {attempts}

    @pytest.mark.parametrize("number", NUMBERS)
    def test_a_run_that_can_never_work_ends_once(self, office: Office, number: int) -> None:
        office.serve(Refusing(Rejected("no such workflow")))
        office.store.queue(*RUNS)
        office.units.lose(number)

        office.work(office.world.daemon().submit)

        assert office.provider.started == []
        assert all(len(office.changes(id)) == 1 for id in RUNS)
        assert {office.store.queries.get(RunId(id)).submission for id in RUNS} == {SubmissionState.CLOSED}

    @pytest.mark.parametrize("number", FEWER)
    def test_a_run_is_followed_to_its_end_once(self, office: Office, number: int) -> None:
        daemon = office.submitted()
        for id in RUNS:
            held = office.provider.id_of(office.store.run(id).idempotency_key)
            office.provider.put(held, a_report(RunState.COMPLETE), some_details())
        office.store.let_pass(HOUR)
        office.units.lose(number)

        office.work(lambda: daemon.refresh(ahead=HOUR))

        assert all(office.changes(id) == [RunState.INITIALIZING, RunState.COMPLETE] for id in RUNS)
        assert {office.store.queries.get(RunId(id)).submission for id in RUNS} == {SubmissionState.CLOSED}
        assert all(office.store.queries.get(RunId(id)).details.outputs == {"answer": 42} for id in RUNS)

    @pytest.mark.parametrize("number", FEWER)
    def test_a_run_that_moves_is_written_once(self, office: Office, number: int) -> None:
        daemon = office.submitted()
        for id in RUNS:
            office.provider.put(office.provider.id_of(office.store.run(id).idempotency_key), a_report(RunState.RUNNING))
        office.store.let_pass(HOUR)
        office.units.lose(number)

        office.work(lambda: daemon.refresh(ahead=HOUR))

        assert all(office.changes(id) == [RunState.INITIALIZING, RunState.RUNNING] for id in RUNS)

    @pytest.mark.parametrize("number", FEWER)
    def test_a_run_that_nobody_has_is_cancelled_once(self, office: Office, number: int) -> None:
        office.store.queue(*RUNS)
        office.store.enrol()
        for id in RUNS:
            office.store.move(id, RunState.CANCELING)
        office.units.lose(number)

        office.work(office.world.daemon().cancel)

        assert all(office.changes(id) == [RunState.CANCELED] for id in RUNS)

    @pytest.mark.parametrize("number", FEWER)
    def test_a_provider_that_holds_a_run_is_told_to_cancel_it(self, office: Office, number: int) -> None:
        daemon = office.submitted()
        for id in RUNS:
            office.store.move(id, RunState.CANCELING)
        office.units.lose(number)

        office.work(daemon.cancel)

        assert len(set(office.provider.cancelled)) == len(RUNS)

    @pytest.mark.parametrize("number", [1, 2])
    def test_a_lease_lasts_and_ends(self, office: Office, number: int) -> None:
        daemon_session = office.world.daemon().daemon_session
        office.units.lose(number)
        for _ in range(3):
            with suppress(StorageUnavailable):
                daemon_session.renew()

        assert daemon_session.id in {info.id for info in office.store.queries.daemons()}
        daemon_session.close()
        assert daemon_session.id not in [info.id for info in office.store.queries.daemons()][:-1]

    def test_a_new_run_is_queued_once_and_its_id_told(self, office: Office, caplog: pytest.LogCaptureFixture) -> None:
        create_run = CreateRun(units=office.units, clock=office.world.clock, ids=CountingIds("run"), by="ada@lab")
        office.units.lose(1)

        run_id = create_run(a_request())

        assert [record.run.id for record in office.store.queries.list(RunFilter())] == [run_id]
        assert any("run.queued" in message for message in caplog.messages)

    def test_a_new_run_that_cannot_be_looked_for_says_by_which_id_it_may_be_there(self, office: Office) -> None:
        def away() -> UnitOfWork:
            raise StorageUnavailable("connection refused")

        create_run = CreateRun(units=away, clock=office.world.clock, ids=CountingIds("run"), by="ada@lab")

        with pytest.raises(StorageUnavailable, match="run run-1 may have been queued: look for it before"):
            create_run(a_request())

    def test_a_cancel_may_be_asked_for_again(self, office: Office) -> None:
        request_cancel = RequestCancel(units=office.units, clock=office.world.clock, by="ada@lab")
        office.store.queue("run-1")
        office.units.lose(1)
        with pytest.raises(StorageUnavailable):
            request_cancel(RunId("run-1"))

        request_cancel(RunId("run-1"))

        assert office.changes("run-1") == [RunState.CANCELING]


class TestInMemory(Rules):
    """The fakes."""

    @pytest.fixture
    def store(self) -> PersistenceHarness:
        return MemoryHarness()


class TestInDatabases(Rules):
    """SQLite and PostgreSQL in turn."""
