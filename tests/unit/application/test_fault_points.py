"""The fault points are reached in the order of the effects that they name."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests import fault_points
from tests.builders import a_report, a_run
from tests.unit.application import reconciling
from tests.unit.application.conftest import LEASE, DaemonUnderTest, World
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.providers import PreparingMemoryProvider
from wes_daemon.adapters.system import SilentChangeFeed
from wes_daemon.domain.runs import ProviderRunId
from wes_daemon.domain.states import RunState


@pytest.fixture
def reached() -> Iterator[list[str]]:
    """The points that were reached, in order."""
    points: list[str] = []
    fault_points.listen(points.append)
    yield points
    fault_points.listen(None)


class Site:
    """A provider that makes drafts, and one daemon with fault points."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.provider = PreparingMemoryProvider(clock=self.clock)
        self.world = World(clock=self.clock, provider=self.provider)
        self.daemon: DaemonUnderTest = self.world.daemon()

    def accepted(self) -> ProviderRunId:
        """Submit a run and return its id at the provider."""
        self.world.queue(a_run())
        self.daemon.submit()
        id = self.world.store.tables.submissions[a_run().id].provider_run_id
        assert id is not None
        return id


@pytest.fixture
def site(reached: list[str]) -> Site:
    del reached
    return Site()


def test_a_point_that_nobody_listens_to_does_nothing() -> None:
    fault_points.reached("claim.after_commit")


def test_a_listener_is_told_each_point_in_order(reached: list[str]) -> None:
    fault_points.reached("claim.before_commit")
    fault_points.reached("claim.after_commit")

    assert reached == ["claim.before_commit", "claim.after_commit"]


def test_a_submission_reaches_its_points_in_the_order_of_its_effects(site: Site, reached: list[str]) -> None:
    site.accepted()

    assert reached == [
        "claim.before_commit",
        "claim.after_commit",
        "submit.before_call",
        "submit.after_answer",
        "prepared.before_commit",
        "prepared.after_commit",
        "start.before_call",
        "start.after_answer",
        "accepted.before_commit",
        "accepted.after_commit",
    ]


def test_a_poll_that_finds_a_change_reaches_its_points(site: Site, reached: list[str]) -> None:
    id = site.accepted()
    site.provider.put(id, a_report(RunState.RUNNING))
    site.clock.advance(timedelta(hours=1))
    reached.clear()

    site.daemon.refresh()

    assert reached == ["refresh.after_taking", "refresh.after_answer", "refresh.before_commit", "refresh.after_commit"]


def test_a_cancellation_reaches_its_points(site: Site, reached: list[str]) -> None:
    site.accepted()
    site.world.set_state("run-1", RunState.CANCELING)
    reached.clear()

    site.daemon.cancel()

    assert reached == ["cancel.before_call", "cancel.after_answer"]


def test_a_renewal_reaches_its_points_also_after_missed_heartbeats(site: Site, reached: list[str]) -> None:
    session = site.daemon.daemon_session
    session.renew()
    opened = list(reached)

    session.renew()
    site.clock.advance(LEASE * 2 / 3)
    session.renew_if_needed()

    assert opened == []
    assert reached == ["lease.before_renewal", "lease.after_renewal"] * 2


def test_the_deletion_of_a_draft_and_a_stop_reach_their_points(reached: list[str]) -> None:
    site = reconciling.Site()
    site.accepted()
    site.drafted()
    site.pass_time(2 * reconciling.DAY)

    site.delete_drafts()
    fault_points.ChangeFeedWithPoint(SilentChangeFeed()).close()

    assert reached == ["janitor.before_removal", "stop.begun"]
