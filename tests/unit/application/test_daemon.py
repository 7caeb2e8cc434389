"""When the use cases run, what their failures do, and how it all stops."""

import inspect
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.memory.change_feed import MemoryChangeFeed
from tests.unit.application.conftest import LEASE, World
from wes_daemon.adapters.memory.wakeup import SkippingWakeUp
from wes_daemon.adapters.system import SilentChangeFeed, TimedWakeUp
from wes_daemon.application.ports.errors import Contended, StorageRefused, StorageUnavailable
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.application.ports.wakeup import ChangeFeed, WakeUp
from wes_daemon.application.runtime.daemon import Daemon, PeriodicTask
from wes_daemon.application.runtime.daemon_session import DaemonSession, HostProcess
from wes_daemon.application.runtime.stop_signal import StopSignal

BOUND = 60.0
SHORT = timedelta(milliseconds=50)


class Passes:
    """The work of a loop: fails as it is told, and stops the daemon after so many passes."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.made = 0
        self.when_done: Callable[[], None] = lambda: None
        self.during: Callable[[], None] = lambda: None

    def __call__(self) -> None:
        self.during()
        error = self.errors[self.made] if self.made < len(self.errors) else None
        self.made += 1
        if self.made >= len(self.errors):
            self.when_done()
        if error:
            raise error


def test_each_loop_goes_on_until_the_daemon_is_stopped(world: World) -> None:
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


def test_a_pass_that_met_an_outage_is_repeated_before_the_next_one_is_due(world: World) -> None:
    wakeup = SkippingWakeUp(world.clock)

    _run(world, Passes(StorageUnavailable("away"), None), wakeup)

    assert timedelta(seconds=5) in wakeup.waits


def test_a_pass_that_met_contention_is_repeated_after_a_moment_and_is_no_outage(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    wakeup = SkippingWakeUp(world.clock)

    with caplog.at_level(logging.INFO):
        _run(world, Passes(Contended("deadlock detected"), None), wakeup)

    assert timedelta(milliseconds=200) in wakeup.waits
    assert any("database.contended" in message for message in caplog.messages)
    assert not any("database.unavailable" in message for message in caplog.messages)


def test_a_pass_whose_write_the_database_refuses_is_neither_a_bug_nor_an_outage(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    refused = StorageRefused("a trigger refuses it")

    with caplog.at_level(logging.INFO):
        _run(world, Passes(refused, refused, refused, None))

    # The daemon's own wait advances the clock, so that the message may be due again.
    assert any("database.refused during=submit" in message for message in caplog.messages)
    assert not any("database.unavailable" in message for message in caplog.messages)
    assert not any(record.exc_info for record in caplog.records)


def test_the_lease_is_given_back_at_the_end(world: World) -> None:
    daemon_session = _daemon_session(world)
    daemon_session.renew()

    _run(world, Passes(None), daemon_session=daemon_session)

    assert world.queries.daemons() == []


def test_a_database_that_is_away_at_the_end_does_not_keep_the_daemon(world: World) -> None:
    daemon_session = _daemon_session(world)
    daemon_session.renew()
    world.units = _always_away

    assert _run(world, Passes(None), daemon_session=daemon_session)


def test_a_database_that_never_answers_does_not_keep_the_daemon(world: World, silent: "SilentDatabase") -> None:
    daemon_session = _daemon_session(world)
    daemon_session.renew()
    world.units = silent.units

    ended = _run(world, Passes(None), daemon_session=daemon_session, longest_stop=SHORT)

    assert not ended
    assert silent.asked.wait(BOUND)


def test_a_provider_that_never_answers_does_not_keep_the_lease(world: World) -> None:
    begun, go_on = threading.Event(), threading.Event()
    daemon_session = _daemon_session(world)
    daemon_session.renew()

    def hang() -> None:
        begun.set()
        go_on.wait(BOUND)

    stop = StopSignal()
    daemon = Daemon(
        loops=[PeriodicTask(name="submit", work=hang, every=timedelta(hours=1))],
        daemon_session=daemon_session,
        wakeup=SkippingWakeUp(world.clock, on_wait=lambda _: stop.set() if begun.wait(BOUND) else None),
        change_feed=SilentChangeFeed(),
        clock=world.clock,
        stop=stop,
        outage_log=world.outage_log,
        longest_stop=timedelta(seconds=1),
    )

    ended = daemon.run()

    # On a busy machine the lease may be given back only after the daemon's own time is over.
    _join(name="close")
    go_on.set()
    assert not ended
    assert world.queries.daemons() == []


def test_a_stop_is_over_before_a_supervisor_kills() -> None:
    """`docker stop` kills after ten seconds unless another time is given."""
    longest = inspect.signature(Daemon).parameters["longest_stop"].default

    assert longest < timedelta(seconds=10)


def test_what_is_under_way_is_waited_for(world: World) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def long_call() -> None:
        begun.set()
        go_on.wait(BOUND)
        ended.set()

    stop, wakeup = StopSignal(), TimedWakeUp()
    daemon = Daemon(
        loops=[PeriodicTask(name="submit", work=long_call, every=timedelta(hours=1))],
        daemon_session=_daemon_session(world),
        wakeup=wakeup,
        change_feed=SilentChangeFeed(),
        clock=world.clock,
        stop=stop,
        outage_log=world.outage_log,
    )
    thread = threading.Thread(target=daemon.run)
    thread.start()
    begun.wait(BOUND)

    daemon.stop()
    go_on.set()
    thread.join(BOUND)

    assert ended.is_set()
    assert not thread.is_alive()


class TestHints:
    """A daemon whose loop is due once in an hour, on a clock that stands still."""

    def test_a_hint_is_followed_at_once(self, hinted: "HintedDaemon") -> None:
        hinted.wakeup.hint()

        hinted.until_made("hint")

        hinted.stop()
        assert hinted.made == ["work", "hint"]

    def test_changes_of_the_database_are_hints(self, hinted: "HintedDaemon") -> None:
        hinted.change_feed.report_change()

        hinted.until_made("hint")

    def test_a_thousand_hints_during_a_pass_lead_to_one_more(self, hinted: "HintedDaemon") -> None:
        hinted.hold()
        hinted.wakeup.hint()
        hinted.until_made("hint")
        for _ in range(1000):
            hinted.wakeup.hint()

        hinted.go_on()

        hinted.until_made("hint")
        hinted.stop()
        assert hinted.made == ["work", "hint", "hint"]

    def test_what_a_hint_asks_for_and_fails_is_tried_again(self, hinted: "HintedDaemon") -> None:
        hinted.fail_next(Contended("deadlock detected"))
        hinted.wakeup.hint()

        hinted.until_made("hint")
        hinted.until_made("hint")

        hinted.stop()
        assert hinted.made == ["work", "hint", "hint"]

    def test_hints_do_not_put_off_what_is_due(self, hinted: "HintedDaemon", world: World) -> None:
        world.clock.advance(timedelta(hours=1))
        hinted.wakeup.hint()

        hinted.until_made("work")
        hinted.until_made("hint")

        hinted.stop()
        assert hinted.made == ["work", "work", "hint"]

    def test_one_that_listens_for_ever_does_not_keep_the_daemon(self, hinted: "HintedDaemon") -> None:
        hinted.stop()

        assert not hinted.is_alive

    def test_after_a_pass_on_a_hint_the_next_one_waits(self, world: World) -> None:
        wakeup, passes = SkippingWakeUp(world.clock), Passes(None, None)
        daemon = _daemon(world, wakeup, passes, on_hint=passes, pause_after_hint=timedelta(seconds=7))
        passes.when_done = daemon.stop
        passes.during = wakeup.hint

        daemon.run()

        assert timedelta(seconds=7) in wakeup.waits

    def test_a_pause_that_is_a_function_is_asked_for_after_each_pass_on_a_hint(self, world: World) -> None:
        wakeup, passes, pauses = SkippingWakeUp(world.clock), Passes(None, None, None), [11, 7]
        daemon = _daemon(
            world, wakeup, passes, on_hint=passes, pause_after_hint=lambda: timedelta(seconds=pauses.pop())
        )
        passes.when_done = daemon.stop
        passes.during = wakeup.hint

        daemon.run()

        assert [wait for wait in wakeup.waits if wait in (timedelta(seconds=7), timedelta(seconds=11))] == [
            timedelta(seconds=7),
            timedelta(seconds=11),
        ]


class HintedDaemon:
    """A daemon in a thread, and what it has done."""

    def __init__(self, world: World) -> None:
        self.wakeup, self.change_feed, self.made = TimedWakeUp(), MemoryChangeFeed(), list[str]()
        self._daemon = _daemon(world, self.wakeup, self._work, on_hint=self._on_hint, change_feed=self.change_feed)
        self._made = {"work": threading.Semaphore(0), "hint": threading.Semaphore(0)}
        self._errors: list[Exception] = []
        self._may_go_on = threading.Event()
        self._may_go_on.set()
        self._thread = threading.Thread(target=self._daemon.run)

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Let it begin; return after its first pass, and after the one for what may have been missed before."""
        self._thread.start()
        self.until_made("work")
        self.until_made("hint")
        self.made.remove("hint")

    def stop(self) -> None:
        """Let it end."""
        self._may_go_on.set()
        self._daemon.stop()
        self._thread.join(BOUND)

    def hold(self) -> None:
        """Let each pass last, from its beginning, until `go_on`."""
        self._may_go_on.clear()

    def go_on(self) -> None:
        """Let passes end."""
        self._may_go_on.set()

    def fail_next(self, error: Exception) -> None:
        """Let the next pass fail."""
        self._errors.append(error)

    def until_made(self, kind: str) -> None:
        """Wait until one more pass of the kind has begun."""
        assert self._made[kind].acquire(timeout=BOUND), self.made

    def _work(self) -> None:
        self._pass("work")

    def _on_hint(self) -> None:
        self._pass("hint")

    def _pass(self, kind: str) -> None:
        self.made.append(kind)
        self._made[kind].release()
        self._may_go_on.wait(BOUND)
        if self._errors:
            raise self._errors.pop()


@pytest.fixture
def hinted(world: World) -> Iterator[HintedDaemon]:
    """One that has begun."""
    hinted = HintedDaemon(world)
    hinted.start()
    yield hinted
    hinted.stop()


class TestDaemonSession:
    def test_it_is_announced_with_host_and_process(self, world: World) -> None:
        daemon_session = _daemon_session(world)

        id = daemon_session.id

        [info] = world.queries.daemons()
        assert (info.id, info.host, info.pid, info.lease_left) == (id, "host", 7, LEASE)

    def test_renewing_keeps_the_identity(self, world: World) -> None:
        daemon_session = _daemon_session(world)
        id = daemon_session.id
        world.clock.advance(LEASE / 2)

        daemon_session.renew()

        assert daemon_session.id == id
        assert world.queries.daemons()[0].lease_left == LEASE

    def test_a_lost_lease_means_a_new_identity(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        daemon_session = _daemon_session(world)
        id = daemon_session.id
        world.clock.advance(LEASE)

        daemon_session.renew()

        assert daemon_session.id != id
        assert any("lease.lost" in record.getMessage() for record in caplog.records)

    def test_who_it_is_can_be_asked_while_the_lease_is_renewed(self, world: World, silent: "SilentDatabase") -> None:
        daemon_session = _daemon_session(world)
        id = daemon_session.id
        world.units = silent.units
        threading.Thread(target=daemon_session.renew, daemon=True).start()
        silent.asked.wait(BOUND)
        told: list[str] = []

        asking = threading.Thread(target=lambda: told.append(daemon_session.id), daemon=True)
        asking.start()
        asking.join(BOUND / 2)

        assert told == [id]

    def test_it_can_be_closed_while_the_lease_is_renewed_and_stays_closed(
        self, world: World, silent: "SilentDatabase"
    ) -> None:
        daemon_session = _daemon_session(world)
        daemon_session.renew()
        world.units = silent.units
        renewing = threading.Thread(target=daemon_session.renew, daemon=True)
        renewing.start()
        silent.asked.wait(BOUND)
        world.units = world.plain_units

        closing = threading.Thread(target=daemon_session.close, daemon=True)
        closing.start()
        closing.join(BOUND / 2)

        assert not closing.is_alive()
        silent.let_go.set()
        renewing.join(BOUND)
        assert world.queries.daemons() == []

    def test_many_who_ask_at_once_are_told_one_identity(self, world: World) -> None:
        daemon_session = _daemon_session(world)

        with ThreadPoolExecutor(8) as pool:
            told = set(pool.map(lambda _: daemon_session.id, range(64)))

        assert told == {info.id for info in world.queries.daemons()}
        assert len(told) == 1

    def test_closing_without_having_begun_does_nothing(self, world: World) -> None:
        world.units = _always_away

        _daemon_session(world).close()


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


def _join(name: str) -> None:
    """Wait for the end of the threads of that name."""
    for thread in [thread for thread in threading.enumerate() if thread.name == name]:
        thread.join(BOUND)


def _always_away() -> UnitOfWork:
    raise StorageUnavailable("the database is away")


def _daemon_session(world: World) -> DaemonSession:
    return DaemonSession(
        units=lambda: world.units(),
        ids=world.ids,
        clock=world.clock,
        process=HostProcess(host="host", pid=7, version="0"),
        lasting=LEASE,
    )


def _daemon(
    world: World,
    wakeup: WakeUp,
    work: Callable[[], None],
    *,
    on_hint: Callable[[], None],
    pause_after_hint: timedelta | Callable[[], timedelta] = timedelta(0),
    change_feed: ChangeFeed | None = None,
) -> Daemon:
    return Daemon(
        loops=[
            PeriodicTask(
                name="submit", work=work, every=timedelta(hours=1), on_hint=on_hint, pause_after_hint=pause_after_hint
            )
        ],
        daemon_session=_daemon_session(world),
        wakeup=wakeup,
        change_feed=change_feed or SilentChangeFeed(),
        clock=world.clock,
        stop=StopSignal(),
        outage_log=world.outage_log,
    )


def _run(
    world: World,
    passes: Passes,
    wakeup: SkippingWakeUp | None = None,
    daemon_session: DaemonSession | None = None,
    longest_stop: timedelta = timedelta(seconds=BOUND),
) -> bool:
    daemon = Daemon(
        loops=[PeriodicTask(name="submit", work=passes, every=timedelta(seconds=60))],
        daemon_session=daemon_session or _daemon_session(world),
        wakeup=wakeup or SkippingWakeUp(world.clock),
        change_feed=SilentChangeFeed(),
        clock=world.clock,
        stop=StopSignal(),
        outage_log=world.outage_log,
        longest_stop=longest_stop,
    )
    passes.when_done = daemon.stop
    return daemon.run()
