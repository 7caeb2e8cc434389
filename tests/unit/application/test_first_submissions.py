"""How long a run can have been queued at its first submission, as its provider is told."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.builders import a_run
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.adapters.memory.store import Tables
from wes_daemon.application.ports.errors import NotNow
from wes_daemon.application.ports.providers import Accepted, Prepared, Submission
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.domain.runs import RunId


class Noting(MemoryProvider):
    """A provider that notes the submissions."""

    def __init__(self) -> None:
        super().__init__()
        self.submissions: list[Submission] = []

    def submit(self, submission: Submission) -> Accepted | Prepared:
        self.submissions.append(submission)
        return super().submit(submission)

    @property
    def ages(self) -> Sequence[timedelta | None]:
        return [submission.queued_for for submission in self.submissions]


@pytest.fixture
def provider() -> Noting:
    return Noting()


@pytest.fixture
def world(provider: Noting) -> World:
    return World(provider=provider)


def test_a_run_that_appeared_while_the_queue_was_watched_has_an_age(world: World, provider: Noting) -> None:
    daemon = world.daemon()
    daemon.submit()
    world.queue(a_run())
    provider.fail_next(NotNow("busy"))
    daemon.submit()
    world.clock.advance(timedelta(hours=1))
    daemon.daemon_session.renew()

    daemon.submit()

    # Three hours for what may have happened before the enrolment.
    assert provider.ages == [timedelta(hours=3), timedelta(hours=4)]


def test_the_age_of_a_row_that_was_there_before_the_daemons_is_unknown(world: World, provider: Noting) -> None:
    world.queue(a_run())

    world.daemon().submit()

    assert provider.ages == [None]


@pytest.mark.parametrize(
    "traces", [{"end_time": datetime(2026, 1, 1, tzinfo=UTC)}, {"tags": {"provider_id": "at-1"}}], ids=["ended", "id"]
)
def test_the_age_of_a_run_that_was_queued_again_is_unknown(
    world: World, daemon: DaemonUnderTest, provider: Noting, traces: dict[str, Any]
) -> None:
    daemon.submit()
    world.queue(a_run(**traces))

    daemon.submit()

    assert provider.ages == [None]


def test_the_watch_begins_again_after_a_session_was_lost_for_long(
    world: World, daemon: DaemonUnderTest, provider: Noting
) -> None:
    daemon.submit()
    world.clock.advance(timedelta(hours=2))
    world.queue(a_run("waiting"))
    daemon.daemon_session.renew()
    daemon.submit()
    world.clock.advance(timedelta(seconds=1))
    daemon.submit()
    world.queue(a_run("new"))

    daemon.submit()

    ages = {submission.run_id: submission.queued_for for submission in provider.submissions}
    assert ages == {"waiting": None, "new": timedelta(hours=3)}


def test_a_queue_that_is_never_empty_is_watched_all_the_same(
    world: World, daemon: DaemonUnderTest, provider: Noting
) -> None:
    for number in range(4):
        world.queue(a_run(f"run-{number}"))
        daemon.submit()
        world.clock.advance(timedelta(seconds=1))

    assert provider.ages[0] is None
    assert provider.ages[-1] is not None


class Histories:
    """A database that is backed up and restored at any time, its daemons, and since when each run has existed.

    No run is accepted, so that each is submitted again and again for the first time.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.provider = Noting()
        self.world = World(provider=self.provider)
        self.daemons = [self.world.daemon()]
        self.backups: list[Tables] = []
        self.queued_at: dict[RunId, datetime] = {}

    def act(self) -> None:
        """Let anything happen."""
        acts = (self.queue, self.queue_through_this_package, self.submit, self.pass_time, self.stand_still)
        rare = (self.start_daemon, self.stop_daemon, self.back_up, self.restore, self.restore_beneath_daemons)
        self.chance.choice([*acts, *acts, *acts, *rare])()

    def queue(self) -> None:
        run = a_run(f"run-{len(self.queued_at)}")
        self.queued_at[run.id] = self.world.clock.now()
        self.world.queue(run)

    def queue_through_this_package(self) -> None:
        run = a_run(f"run-{len(self.queued_at)}")
        self.queued_at[run.id] = at = self.world.clock.now()
        with self.world.units() as work:
            entry = TimelineEntry(at=at, before=None, after=run.state, by="ada", why="queued")
            work.runs.add(run, attachments=(), entry=entry)
            work.commit()

    def submit(self) -> None:
        if self.daemons:
            daemon = self.chance.choice(self.daemons)
            self.provider.fail_next(*[NotNow("busy")] * len(self.queued_at))
            daemon.daemon_session.renew_if_needed()
            daemon.submit()

    def pass_time(self) -> None:
        """The daemons are at work meanwhile."""
        for _ in range(self.chance.choice([1, 3, 20])):
            self.world.clock.advance(self.chance.choice([timedelta(seconds=1), timedelta(minutes=30)]))
            self.submit()

    def stand_still(self) -> None:
        """No daemon is at work meanwhile."""
        self.world.clock.advance(self.chance.choice([timedelta(minutes=50), timedelta(hours=2), timedelta(hours=30)]))

    def start_daemon(self) -> None:
        self.daemons.append(self.world.daemon())

    def stop_daemon(self) -> None:
        if self.daemons:
            stopped = self.daemons.pop(self.chance.randrange(len(self.daemons)))
            stopped.daemon_session.close()

    def back_up(self) -> None:
        self.backups.append(self.world.store.tables.copy())

    def restore(self) -> None:
        self.daemons = [self.world.daemon()]
        self.restore_beneath_daemons()

    def restore_beneath_daemons(self) -> None:
        if self.backups:
            self.world.store.tables = self.chance.choice(self.backups).copy()


@pytest.mark.parametrize("seed", range(40))
def test_no_run_was_queued_longer_ago_than_its_provider_is_told(seed: int) -> None:
    histories = Histories(seed)
    known = 0
    for _ in range(150):
        histories.provider.submissions.clear()
        before = histories.world.clock.now()
        histories.act()
        for submission in histories.provider.submissions:
            if submission.queued_for is not None:
                known += 1
                assert submission.queued_for >= before - histories.queued_at[submission.run_id]
    assert known
