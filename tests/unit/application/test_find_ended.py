"""What a list tells to have ended is asked for at once; the list itself is never believed."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from tests.builders import a_report, a_run, a_submission_policy, some_details
from tests.memory.watermarks import MemoryWatermarks
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.adapters.resilience.decorators import Batching
from wes_daemon.application.following.find_ended import FindEnded, SearchPolicy
from wes_daemon.application.ports.errors import CircuitOpen, Misconfigured, NotNow, Rejected
from wes_daemon.application.ports.providers import EndedPage, ProviderLimits
from wes_daemon.domain.runs import ProviderRunId, ProviderType
from wes_daemon.domain.states import RunState

EVERY = timedelta(seconds=15)
AN_HOUR = timedelta(hours=1)


class Listing(MemoryProvider):
    """A provider whose list is looked at; it may tell of what is not in it any more."""

    def __init__(self, world: World) -> None:
        super().__init__(clock=world.clock)
        self.asked_from: list[datetime] = []
        self.also_tells: list[ProviderRunId] = []

    def ended(self, since: datetime, *, after: str | None = None) -> EndedPage:
        self.asked_from.append(since)
        page = super().ended(since, after=after)
        return EndedPage(ids=[*self.also_tells, *page.ids], following=page.following)


@dataclass
class Office:
    """Daemons that read one list."""

    world: World
    hurries: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.provider = Listing(self.world)
        self.world.directory.providers[ProviderType.SEVENBRIDGES] = Batching(self.provider)
        self.watermarks = MemoryWatermarks(self.world.store)

    def finder(self, daemon: DaemonUnderTest) -> FindEnded:
        """The use case of one daemon, which refreshes when something was found."""
        return FindEnded(
            watermarks=self.watermarks,
            units=self.world.units,
            providers=self.world.directory,
            refresh=lambda: self.hurries.append(daemon.refresh().polled),
            clock=self.world.clock,
            stop=daemon.stop,
            policy=SearchPolicy(every=EVERY),
        )

    def followed(self, daemon: DaemonUnderTest, *ids: str) -> list[ProviderRunId]:
        """Runs of a respectable age that were asked for a moment ago."""
        self.world.queue(*(a_run(id) for id in ids))
        daemon.submit()
        self.world.clock.advance(AN_HOUR)
        daemon.refresh()
        self.world.clock.advance(timedelta(seconds=2))
        return [self.provider.id_of(a_run(id).idempotency_key) for id in ids]

    def end(self, *ids: ProviderRunId) -> None:
        """They end at the provider."""
        for id in ids:
            self.provider.put(id, a_report(RunState.COMPLETE), some_details())

    def let_pass(self, time: timedelta = EVERY) -> None:
        """Let time pass."""
        self.world.clock.advance(time)


@pytest.fixture
def office(world: World) -> Office:
    return Office(world)


@pytest.fixture
def find(office: Office, daemon: DaemonUnderTest) -> FindEnded:
    return office.finder(daemon)


def test_a_run_that_has_ended_is_seen_at_the_next_look(
    office: Office, daemon: DaemonUnderTest, find: FindEnded
) -> None:
    [id] = office.followed(daemon, "run-1")
    find()
    office.let_pass()
    office.end(id)

    assert find() == 1

    assert office.world.run().state is RunState.COMPLETE
    assert office.provider.calls.count("ended") == 2


def test_what_ended_is_told_in_as_many_parts_as_it_takes(office: Office) -> None:
    office.world.submission_policy = a_submission_policy(concurrency_limit=250)
    daemon = office.world.daemon()
    find = office.finder(daemon)
    ids = office.followed(daemon, *(f"run-{number}" for number in range(250)))
    office.end(*ids)

    assert find() == 250

    assert office.provider.calls.count("ended") == 3
    assert office.world.states() == {RunState.COMPLETE}


def test_a_list_is_not_believed(office: Office, daemon: DaemonUnderTest, find: FindEnded) -> None:
    [id] = office.followed(daemon, "run-1")
    office.provider.also_tells = [id, ProviderRunId("foreign")]

    find()

    assert office.world.run().state is RunState.INITIALIZING
    assert office.hurries == [1]


def test_where_nothing_is_followed_nobody_is_asked(office: Office, find: FindEnded) -> None:
    assert find() == 0
    assert office.provider.calls == []


def test_a_service_without_such_a_list_is_not_asked(
    office: Office, daemon: DaemonUnderTest, find: FindEnded, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.followed(daemon, "run-1")
    monkeypatch.setattr(Listing, "limits", ProviderLimits(status_batch=100))

    assert find() == 0
    assert office.provider.asked_from == []


def test_a_provider_that_is_not_set_up_is_passed_over(office: Office, daemon: DaemonUnderTest, find: FindEnded) -> None:
    office.followed(daemon, "run-1")
    office.world.directory.providers[ProviderType.SEVENBRIDGES] = Rejected("not set up here")

    assert find() == 0


def test_of_many_daemons_one_looks_at_a_time(office: Office, daemon: DaemonUnderTest, find: FindEnded) -> None:
    office.followed(daemon, "run-1")
    another = office.finder(office.world.daemon())

    for _ in range(4):
        find()
        another()
        office.let_pass()

    assert len(office.provider.asked_from) == 4


def test_a_daemon_goes_on_where_another_has_stopped(office: Office, daemon: DaemonUnderTest, find: FindEnded) -> None:
    office.followed(daemon, "run-1")
    find()
    office.let_pass()
    last_look = office.world.clock.now()
    find()
    office.let_pass(AN_HOUR)

    office.finder(office.world.daemon())()

    assert office.provider.asked_from[-1] == last_look - SearchPolicy().wide_margin


def test_it_is_looked_a_little_way_back_for_lists_lag_and_now_and_then_a_long_way(
    office: Office, daemon: DaemonUnderTest, find: FindEnded
) -> None:
    office.followed(daemon, "run-1")
    policy = SearchPolicy()
    begun = office.world.clock.now()

    for _ in range(3):
        find()
        office.let_pass(policy.widely_every / 2)

    assert [begun - since for since in office.provider.asked_from] == [
        policy.wide_margin,
        policy.margin,
        policy.wide_margin - policy.widely_every / 2,
    ]


@pytest.mark.parametrize("error", [NotNow("busy"), Misconfigured("token expired"), ZeroDivisionError("a bug")])
def test_a_look_that_fails_is_made_again_from_where_it_began(
    office: Office,
    daemon: DaemonUnderTest,
    find: FindEnded,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    [id] = office.followed(daemon, "run-1")
    find()
    office.end(id)
    office.provider.fail_next(*[error] * 100, operation="ended")
    for _ in range(100):
        office.let_pass()
        find()
    office.provider._faults.clear()
    office.let_pass()

    assert find() == 1

    assert 20 <= sum("refresh.no_list" in message for message in caplog.messages) <= 30


def test_an_open_circuit_is_no_news(
    office: Office, daemon: DaemonUnderTest, find: FindEnded, caplog: pytest.LogCaptureFixture
) -> None:
    office.followed(daemon, "run-1")
    office.provider.fail_next(CircuitOpen("left alone"), operation="ended")

    find()

    assert not any("refresh.no_list" in message for message in caplog.messages)


def test_a_run_that_is_told_again_and_again_is_not_hurried_each_time(
    office: Office, daemon: DaemonUnderTest, find: FindEnded
) -> None:
    [id] = office.followed(daemon, "run-1")
    office.provider.also_tells = [id]

    for _ in range(4):
        find()
        office.let_pass()

    assert office.hurries == [1]


def test_a_daemon_that_stops_looks_no_further(office: Office, daemon: DaemonUnderTest, find: FindEnded) -> None:
    office.end(*office.followed(daemon, "run-1"))
    daemon.stop.set()

    assert find() == 0
    assert office.provider.asked_from == []
