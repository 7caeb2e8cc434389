"""How far a daemon trusts its lease."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.unit.application.conftest import LEASE, World
from wes_daemon.application.ports.errors import LeaseLost, StorageUnavailable
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.application.runtime.daemon_session import DaemonSession, HostProcess

SECOND = timedelta(seconds=1)


def an_incarnation(world: World, units: Callable[[], UnitOfWork] | None = None) -> DaemonSession:
    process = HostProcess(host="node", pid=7, version="1.0")
    return DaemonSession(units=units or world.units, ids=world.ids, clock=world.clock, process=process, lasting=LEASE)


def test_a_fresh_lease_is_trusted_until_a_sixth_before_its_end(world: World) -> None:
    daemon_session = an_incarnation(world)
    _ = daemon_session.id

    world.clock.advance(LEASE * 5 / 6 - SECOND)
    daemon_session.require_trust()
    world.clock.advance(SECOND)

    with pytest.raises(LeaseLost):
        daemon_session.require_trust()


def test_a_call_is_not_begun_that_could_outlive_the_lease(world: World) -> None:
    daemon_session = an_incarnation(world)
    _ = daemon_session.id
    world.clock.advance(LEASE / 2)

    daemon_session.require_trust(LEASE / 4)
    with pytest.raises(LeaseLost):
        daemon_session.require_trust(LEASE / 2)


def test_trust_counts_from_before_the_renewal_was_asked_for(world: World) -> None:
    def slow_units() -> UnitOfWork:
        world.clock.advance(LEASE / 3)
        return world.plain_units()

    daemon_session = an_incarnation(world, slow_units)
    _ = daemon_session.id
    world.clock.advance(LEASE / 2)

    with pytest.raises(LeaseLost):
        daemon_session.require_trust()


def test_trust_in_a_renewed_lease_counts_from_before_it_was_asked_for(world: World) -> None:
    delays = [timedelta(0), LEASE / 3]

    def slow_units() -> UnitOfWork:
        world.clock.advance(delays.pop(0))
        return world.plain_units()

    daemon_session = an_incarnation(world, slow_units)
    _ = daemon_session.id
    daemon_session.renew()
    world.clock.advance(LEASE / 2)

    with pytest.raises(LeaseLost):
        daemon_session.require_trust()


def test_a_renewal_that_fails_renews_no_trust(world: World) -> None:
    daemon_session = an_incarnation(world, lambda: world.units())
    _ = daemon_session.id
    world.clock.advance(LEASE * 5 / 6)

    def away() -> UnitOfWork:
        raise StorageUnavailable("away")

    world.units = away
    with pytest.raises(StorageUnavailable):
        daemon_session.ensure_trust()

    with pytest.raises(LeaseLost):
        daemon_session.require_trust()


def test_a_lost_lease_gives_way_to_a_new_identity_that_is_trusted(world: World) -> None:
    daemon_session = an_incarnation(world)
    first = daemon_session.id
    world.clock.advance(LEASE)

    daemon_session.ensure_trust()

    daemon_session.require_trust()
    assert daemon_session.id != first


def test_after_the_lease_was_given_back_nothing_more_is_sent(world: World) -> None:
    daemon_session = an_incarnation(world)
    _ = daemon_session.id

    daemon_session.close()

    with pytest.raises(LeaseLost):
        daemon_session.require_trust()


def test_who_never_had_a_lease_may_ask_a_provider(world: World) -> None:
    an_incarnation(world).require_trust(LEASE)


def test_a_clock_that_somebody_sets_changes_no_trust(world: World) -> None:
    daemon_session = an_incarnation(world)
    _ = daemon_session.id

    world.clock.set_back(timedelta(hours=1))
    world.clock.advance(LEASE / 2)
    daemon_session.require_trust()
    world.clock.set_back(-timedelta(hours=2))

    daemon_session.require_trust()
