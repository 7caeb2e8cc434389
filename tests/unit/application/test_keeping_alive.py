"""A lease that lasts as long as a piece of work."""

import threading
from datetime import timedelta

from tests.unit.application.conftest import World
from wes_daemon.application.keeping_alive import kept_alive
from wes_daemon.application.ports.errors import StorageUnavailable
from wes_daemon.application.ports.persistence import UnitOfWork

SHORT = timedelta(milliseconds=1)
BOUND = 10.0


def test_it_is_renewed_while_the_work_lasts_and_ended_afterwards(world: World) -> None:
    incarnation = world.daemon().incarnation
    seen = threading.Event()
    renew = incarnation.renew

    def watched() -> None:
        renew()
        seen.set()

    incarnation.renew = watched  # type: ignore[method-assign]

    with kept_alive(incarnation, every=SHORT):
        assert seen.wait(BOUND)
        assert len(world.queries.daemons()) == 1

    assert world.queries.daemons() == []


def test_a_database_that_is_away_for_a_moment_does_not_end_it(world: World) -> None:
    incarnation = world.daemon().incarnation
    tried = threading.Event()

    def away() -> UnitOfWork:
        tried.set()
        raise StorageUnavailable("away")

    with kept_alive(incarnation, every=SHORT):
        world.units = away
        assert tried.wait(BOUND)
        world.units = world.plain_units

    assert world.queries.daemons() == []
