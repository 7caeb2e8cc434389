"""When the use cases run, what their failures do, and how it all stops."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.unit.application.conftest import LEASE, World
from wes_daemon.adapters.memory.wakeup import SkippingWakeUp
from wes_daemon.adapters.system import TimedWakeUp
from wes_daemon.application.daemon import Beat, Daemon
from wes_daemon.application.incarnation import HostProcess, Incarnation
from wes_daemon.application.ports.errors import Contended, StorageUnavailable
from wes_daemon.application.ports.persistence import UnitOfWork
from wes_daemon.application.stopping import StopSignal

BOUND = 10.0
SHORT = timedelta(milliseconds=50)


class Passes:
    """A beat's work: fails as it is told, and stops the daemon after so many passes."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.made = 0
        self.when_done: Callable[[], None] = lambda: None

    def __call__(self) -> None:
        error = self.errors[self.made] if self.made < len(self.errors) else None
        self.made += 1
        if self.made >= len(self.errors):
            self.when_done()
        if error:
            raise error


def test_each_beat_goes_on_until_the_daemon_is_stopped(world: World) -> None:
    passes = Passes(None, None, None)

    assert _run(world, passes)

    assert passes.made == 3


def test_a_pass_that_fails_does_not_end_the_daemon(world: World, caplog: pytest.LogCaptureFixture) -> None:
    passes = Passes(ZeroDivisionError("a bug"), None)

    _run(world, passes)

    assert passes.made == 2
    assert any("daemon.pass_failed" in record.getMessage() for record in caplog.records)


def test_a_database_that_is_away_is_said_once_and_so_is_its_return(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    away = StorageUnavailable("connection refused")

    with caplog.at_level(logging.INFO):
        _run(world, Passes(away, away, away, None))

    messages = [record.getMessage() for record in caplog.records]
    assert sum("database.unavailable" in message for message in messages) == 1
    assert sum("database.back" in message for message in messages) == 1
    assert not any(record.exc_info for record in caplog.records)


def test_a_database_that_is_away_is_tried_sooner_than_the_next_beat(world: World) -> None:
    wakeup = SkippingWakeUp(world.clock)

    _run(world, Passes(StorageUnavailable("away"), None), wakeup)

    assert timedelta(seconds=5) in wakeup.waits


def test_a_pass_that_was_in_the_way_of_others_is_made_again_after_a_moment_and_is_no_outage(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    wakeup = SkippingWakeUp(world.clock)

    with caplog.at_level(logging.INFO):
        _run(world, Passes(Contended("deadlock detected"), None), wakeup)

    assert timedelta(milliseconds=200) in wakeup.waits
    assert any("database.contended" in message for message in caplog.messages)
    assert not any("database.unavailable" in message for message in caplog.messages)


def test_the_lease_is_given_back_at_the_end(world: World) -> None:
    incarnation = _incarnation(world)
    incarnation.renew()

    _run(world, Passes(None), incarnation=incarnation)

    assert world.queries.daemons() == []


def test_a_database_that_is_away_at_the_end_does_not_keep_the_daemon(world: World) -> None:
    incarnation = _incarnation(world)
    incarnation.renew()
    world.units = _always_away

    assert _run(world, Passes(None), incarnation=incarnation)


def test_a_database_that_never_answers_does_not_keep_the_daemon(world: World, silent: "SilentDatabase") -> None:
    incarnation = _incarnation(world)
    incarnation.renew()
    world.units = silent.units

    ended = _run(world, Passes(None), incarnation=incarnation, longest_stop=SHORT)

    assert not ended
    assert silent.asked.is_set()


def test_a_provider_that_never_answers_does_not_keep_the_lease(world: World) -> None:
    begun, go_on = threading.Event(), threading.Event()
    incarnation = _incarnation(world)
    incarnation.renew()

    def hang() -> None:
        begun.set()
        go_on.wait(BOUND)

    stop = StopSignal()
    daemon = Daemon(
        beats=[Beat(name="submit", work=hang, every=timedelta(hours=1))],
        incarnation=incarnation,
        wakeup=SkippingWakeUp(world.clock, on_wait=lambda _: stop.set() if begun.wait(BOUND) else None),
        stop=stop,
        watch=world.watch,
        longest_stop=timedelta(seconds=1),
    )

    ended = daemon.run()

    go_on.set()
    assert not ended
    assert world.queries.daemons() == []


def test_what_is_under_way_is_waited_for(world: World) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def long_call() -> None:
        begun.set()
        go_on.wait(BOUND)
        ended.set()

    stop, wakeup = StopSignal(), TimedWakeUp()
    daemon = Daemon(
        beats=[Beat(name="submit", work=long_call, every=timedelta(hours=1))],
        incarnation=_incarnation(world),
        wakeup=wakeup,
        stop=stop,
        watch=world.watch,
    )
    thread = threading.Thread(target=daemon.run)
    thread.start()
    begun.wait(BOUND)

    daemon.stop()
    go_on.set()
    thread.join(BOUND)

    assert ended.is_set()
    assert not thread.is_alive()


class TestIncarnation:
    def test_it_is_announced_with_host_and_process(self, world: World) -> None:
        incarnation = _incarnation(world)

        id = incarnation.id

        [info] = world.queries.daemons()
        assert (info.id, info.host, info.pid, info.lease_left) == (id, "host", 7, LEASE)

    def test_renewing_keeps_the_identity(self, world: World) -> None:
        incarnation = _incarnation(world)
        id = incarnation.id
        world.clock.advance(LEASE / 2)

        incarnation.renew()

        assert incarnation.id == id
        assert world.queries.daemons()[0].lease_left == LEASE

    def test_a_lost_lease_means_a_new_identity(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        incarnation = _incarnation(world)
        id = incarnation.id
        world.clock.advance(LEASE)

        incarnation.renew()

        assert incarnation.id != id
        assert any("lease.lost" in record.getMessage() for record in caplog.records)

    def test_who_it_is_can_be_asked_while_the_lease_is_renewed(self, world: World, silent: "SilentDatabase") -> None:
        incarnation = _incarnation(world)
        id = incarnation.id
        world.units = silent.units
        threading.Thread(target=incarnation.renew, daemon=True).start()
        silent.asked.wait(BOUND)
        told: list[str] = []

        asking = threading.Thread(target=lambda: told.append(incarnation.id), daemon=True)
        asking.start()
        asking.join(BOUND / 2)

        assert told == [id]

    def test_it_can_be_closed_while_the_lease_is_renewed_and_stays_closed(
        self, world: World, silent: "SilentDatabase"
    ) -> None:
        incarnation = _incarnation(world)
        incarnation.renew()
        world.units = silent.units
        renewing = threading.Thread(target=incarnation.renew, daemon=True)
        renewing.start()
        silent.asked.wait(BOUND)
        world.units = world.plain_units

        closing = threading.Thread(target=incarnation.close, daemon=True)
        closing.start()
        closing.join(BOUND / 2)

        assert not closing.is_alive()
        silent.let_go.set()
        renewing.join(BOUND)
        assert world.queries.daemons() == []

    def test_many_who_ask_at_once_are_told_one_identity(self, world: World) -> None:
        incarnation = _incarnation(world)

        with ThreadPoolExecutor(8) as pool:
            told = set(pool.map(lambda _: incarnation.id, range(64)))

        assert told == {info.id for info in world.queries.daemons()}
        assert len(told) == 1

    def test_closing_without_having_begun_does_nothing(self, world: World) -> None:
        world.units = _always_away

        _incarnation(world).close()


class SilentDatabase:
    """A database that leaves whoever asks it without an answer until it is told to go on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.asked = threading.Event()
        self.let_go = threading.Event()

    def units(self) -> UnitOfWork:
        """Give one, as soon as it may."""
        self.asked.set()
        self.let_go.wait(BOUND)
        return self._world.plain_units()


@pytest.fixture
def silent(world: World) -> Iterator[SilentDatabase]:
    """The world's database, silent for whoever is given its units."""
    database = SilentDatabase(world)
    yield database
    database.let_go.set()


def _always_away() -> UnitOfWork:
    raise StorageUnavailable("the database is away")


def _incarnation(world: World) -> Incarnation:
    return Incarnation(
        units=lambda: world.units(),
        ids=world.ids,
        clock=world.clock,
        process=HostProcess(host="host", pid=7, version="0"),
        lasting=LEASE,
    )


def _run(
    world: World,
    passes: Passes,
    wakeup: SkippingWakeUp | None = None,
    incarnation: Incarnation | None = None,
    longest_stop: timedelta = timedelta(seconds=BOUND),
) -> bool:
    daemon = Daemon(
        beats=[Beat(name="submit", work=passes, every=timedelta(seconds=60))],
        incarnation=incarnation or _incarnation(world),
        wakeup=wakeup or SkippingWakeUp(world.clock),
        stop=StopSignal(),
        watch=world.watch,
        longest_stop=longest_stop,
    )
    passes.when_done = daemon.stop
    return daemon.run()
