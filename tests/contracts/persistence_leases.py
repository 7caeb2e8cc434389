"""The heartbeats of daemons, and what one transaction is."""

from datetime import timedelta

import pytest

from tests.builders import NOON, a_run
from tests.contracts.persistence_harness import ME, MINUTE, OTHER, SECOND, PersistenceHarness, an_entry
from wes_daemon.application.ports.errors import LeaseLost, RunNotFound
from wes_daemon.application.ports.leases import DaemonInfo, SessionId
from wes_daemon.domain.runs import RunId


class LeaseRules:
    """`Lease`."""

    def renew(self, store: PersistenceHarness, daemon: SessionId, lasting: timedelta = MINUTE) -> None:
        with store.units() as unit:
            unit.leases.renew(daemon, lasting=lasting)
            unit.commit()

    def test_a_live_daemon_is_seen_with_what_is_left_of_its_lease(self, store: PersistenceHarness) -> None:
        store.live(ME, lasting=MINUTE)
        store.let_pass(20 * SECOND)

        [seen] = store.queries.daemons()

        assert (seen.id, seen.host, seen.pid, seen.version, seen.started_at) == (ME, "node-1", 7, "1.0", NOON)
        assert 30 * SECOND < seen.lease_left <= 40 * SECOND

    def test_a_daemon_whose_lease_ran_out_is_seen_no_longer(self, store: PersistenceHarness) -> None:
        store.live(ME, lasting=MINUTE)
        store.let_pass(MINUTE + SECOND)

        assert not store.queries.daemons()
        with store.units() as unit:
            assert not unit.leases.daemons()

    def test_a_renewed_lease_lasts_from_now_on(self, store: PersistenceHarness) -> None:
        store.live(ME, lasting=MINUTE)
        store.let_pass(50 * SECOND)
        self.renew(store, ME)
        store.let_pass(50 * SECOND)

        assert [seen.id for seen in store.queries.daemons()] == [ME]

    def test_a_lease_that_ran_out_cannot_be_renewed(self, store: PersistenceHarness) -> None:
        store.live(ME, lasting=MINUTE)
        store.let_pass(MINUTE + SECOND)

        with pytest.raises(LeaseLost):
            self.renew(store, ME)

    def test_an_unknown_daemon_has_no_lease_to_renew(self, store: PersistenceHarness) -> None:
        with pytest.raises(LeaseLost):
            self.renew(store, ME)

    def test_a_closed_lease_is_over(self, store: PersistenceHarness) -> None:
        store.live(ME)
        with store.units() as unit:
            unit.leases.close(ME)
            unit.leases.close(SessionId("nobody"))
            unit.commit()

        assert not store.queries.daemons()
        with pytest.raises(LeaseLost):
            self.renew(store, ME)

    def test_daemons_are_seen_oldest_first(self, store: PersistenceHarness) -> None:
        with store.units() as unit:
            for id, age in ((ME, 1), (OTHER, 2)):
                info = DaemonInfo(id=id, host="node-1", pid=7, version="1.0", started_at=NOON - age * MINUTE)
                unit.leases.open(info, lasting=MINUTE)
            unit.commit()

        with store.units() as unit:
            assert [seen.id for seen in unit.leases.daemons()] == [OTHER, ME]


class UnitOfWorkRules:
    """`UnitOfWork`."""

    def test_what_is_not_committed_never_was(self, store: PersistenceHarness) -> None:
        with store.units() as unit:
            unit.runs.add(a_run(), attachments=(), entry=an_entry(a_run()))

        with pytest.raises(RunNotFound):
            store.queries.get(RunId("run-1"))

    def test_an_error_undoes_everything_and_passes(self, store: PersistenceHarness) -> None:
        class Trouble(Exception):
            pass

        def add_and_fail() -> None:
            with store.units() as unit:
                unit.runs.add(a_run(), attachments=(), entry=an_entry(a_run()))
                raise Trouble

        with pytest.raises(Trouble):
            add_and_fail()

        with pytest.raises(RunNotFound):
            store.queries.get(RunId("run-1"))

    def test_what_a_unit_of_work_wrote_it_reads(self, store: PersistenceHarness) -> None:
        with store.units() as unit:
            unit.runs.add(a_run(), attachments=(), entry=an_entry(a_run()))

            assert unit.runs.get(RunId("run-1")) == a_run()

    def test_readers_wait_for_nobody_and_see_what_is_committed(self, store: PersistenceHarness) -> None:
        store.queue("run-1")

        with store.units() as unit:
            unit.runs.get(RunId("run-1"))
            unit.leases.close(ME)

            assert store.run("run-1").id == "run-1"
