"""How long a run can have been queued at its first submission, as its provider is told."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.builders import a_run
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.application.ports.errors import NotNow
from wes_daemon.application.ports.providers import Accepted, Prepared, Submission


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
