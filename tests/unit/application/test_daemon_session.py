"""For how long a daemon considers its lease valid."""

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.builders import a_run
from tests.unit.application.conftest import LEASE, World
from wes_daemon.application.ports.errors import LeaseLost, StorageUnavailable
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.application.runtime.daemon_session import DaemonSession, HostProcess
from wes_daemon.domain.states import RunState

SECOND = timedelta(seconds=1)


def a_session(world: World, units: Callable[[], UnitOfWork] | None = None, *, inherits: bool = False) -> DaemonSession:
    process = HostProcess(host="node", pid=7, version="1.0")
    return DaemonSession(
        units=units or world.units,
        ids=world.ids,
        clock=world.clock,
        process=process,
        lasting=LEASE,
        inherits=inherits,
    )


def test_a_fresh_lease_is_valid_until_a_sixth_before_its_end(world: World) -> None:
    daemon_session = a_session(world)
    _ = daemon_session.id

    world.clock.advance(LEASE * 5 / 6 - SECOND)
    daemon_session.require_lease()
    world.clock.advance(SECOND)

    with pytest.raises(LeaseLost):
        daemon_session.require_lease()


def test_a_request_is_not_sent_that_could_outlast_the_lease(world: World) -> None:
    daemon_session = a_session(world)
    _ = daemon_session.id
    world.clock.advance(LEASE / 2)

    daemon_session.require_lease(LEASE / 4)
    with pytest.raises(LeaseLost):
        daemon_session.require_lease(LEASE / 2)


def test_a_new_lease_counts_from_before_it_was_requested(world: World) -> None:
    def slow_units() -> UnitOfWork:
        world.clock.advance(LEASE / 3)
        return world.plain_units()

    daemon_session = a_session(world, slow_units)
    _ = daemon_session.id
    world.clock.advance(LEASE / 2)

    with pytest.raises(LeaseLost):
        daemon_session.require_lease()


def test_a_renewed_lease_counts_from_before_the_renewal_was_requested(world: World) -> None:
    delays = [timedelta(0), LEASE / 3]

    def slow_units() -> UnitOfWork:
        world.clock.advance(delays.pop(0))
        return world.plain_units()

    daemon_session = a_session(world, slow_units)
    _ = daemon_session.id
    daemon_session.renew()
    world.clock.advance(LEASE / 2)

    with pytest.raises(LeaseLost):
        daemon_session.require_lease()


def test_a_renewal_that_fails_extends_nothing(world: World) -> None:
    daemon_session = a_session(world, lambda: world.units())
    _ = daemon_session.id
    world.clock.advance(LEASE * 5 / 6)

    def away() -> UnitOfWork:
        raise StorageUnavailable("away")

    world.units = away
    with pytest.raises(StorageUnavailable):
        daemon_session.renew_if_needed()

    with pytest.raises(LeaseLost):
        daemon_session.require_lease()


def test_a_lost_lease_is_replaced_by_a_valid_one_of_a_new_identity(world: World) -> None:
    daemon_session = a_session(world)
    first = daemon_session.id
    world.clock.advance(LEASE)

    daemon_session.renew_if_needed()

    daemon_session.require_lease()
    assert daemon_session.id != first


def test_after_the_lease_was_closed_nothing_may_be_sent(world: World) -> None:
    daemon_session = a_session(world)
    _ = daemon_session.id

    daemon_session.close()

    with pytest.raises(LeaseLost):
        daemon_session.require_lease()


def test_a_process_that_never_had_a_lease_may_call_a_provider(world: World) -> None:
    a_session(world).require_lease(LEASE)


def test_setting_the_clock_does_not_change_how_long_a_lease_is_valid(world: World) -> None:
    daemon_session = a_session(world)
    _ = daemon_session.id

    world.clock.set_back(timedelta(hours=1))
    world.clock.advance(LEASE / 2)
    daemon_session.require_lease()
    world.clock.set_back(-timedelta(hours=2))

    daemon_session.require_lease()


def test_the_first_session_of_a_database_inherits_in_the_same_transaction(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.store.insert(a_run("run-1"), a_run("run-2", RunState.CANCELED))

    first = a_session(world, inherits=True).id
    world.store.insert(a_run("run-3"))
    second = a_session(world, inherits=True).id

    assert first != second
    assert {row.state for row in world.store.tables.submissions.values()} == {SubmissionState.INHERITED}
    assert sorted(world.store.tables.submissions) == ["run-1", "run-2"]
    assert [record.getMessage() for record in caplog.records] == ["inherited.enrolled runs=2"]


def test_a_submission_pass_opens_its_session_before_it_enrols(world: World) -> None:
    world.store.insert(a_run("run-1"))
    daemon = world.daemon()
    # Like the sessions of the real daemon.
    daemon.daemon_session._inherits = True

    report = daemon.submit()

    assert (report.enrolled, report.accepted) == (0, 0)
