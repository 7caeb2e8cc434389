"""A lease that is renewed during a block."""

import logging
import threading
from datetime import timedelta

import pytest

from tests.unit.application.conftest import World
from wes_daemon.application.ports.errors import StorageMisconfigured, StorageUnavailable
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.application.runtime.daemon_session import renewing_lease

SHORT = timedelta(milliseconds=1)
BOUND = 60.0


def test_it_is_renewed_while_the_work_lasts_and_ended_afterwards(world: World) -> None:
    daemon_session = world.daemon().daemon_session
    seen = threading.Event()
    renew = daemon_session.renew

    def watched() -> None:
        renew()
        seen.set()

    daemon_session.renew = watched  # type: ignore[method-assign]

    with renewing_lease(daemon_session, every=SHORT, outage_log=world.outage_log):
        assert seen.wait(BOUND)
        assert len(world.queries.daemons()) == 1

    assert world.queries.daemons() == []


def test_a_database_that_is_away_for_a_moment_does_not_end_it(world: World) -> None:
    daemon_session = world.daemon().daemon_session
    tried = threading.Event()

    def away() -> UnitOfWork:
        tried.set()
        raise StorageUnavailable("away")

    with renewing_lease(daemon_session, every=SHORT, outage_log=world.outage_log):
        world.units = away
        assert tried.wait(BOUND)
        world.units = world.plain_units

    assert world.queries.daemons() == []


@pytest.mark.parametrize("error", [StorageUnavailable("away"), StorageMisconfigured("no such table")])
def test_a_database_that_is_away_to_the_end_takes_nothing_from_work_that_is_done(
    world: World, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    daemon_session = world.daemon().daemon_session
    daemon_session.renew()
    tried = [threading.Event() for _ in range(3)]

    def away() -> UnitOfWork:
        next(each for each in tried if not each.is_set() or each is tried[-1]).set()
        raise error

    with renewing_lease(daemon_session, every=SHORT, outage_log=world.outage_log):
        world.units = away
        assert tried[-1].wait(BOUND)

    assert [message.split()[0] for message in caplog.messages] == ["database.unavailable", "lease.not_closed"]
