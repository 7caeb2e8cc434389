"""Drafts of several threads at the same time are committed in one transaction, and each has its own outcome."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest

from tests import fault_points
from tests.builders import a_run, a_submission_policy
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.application.ports.errors import ClaimLost
from wes_daemon.application.ports.submissions import Claim, SubmissionState
from wes_daemon.application.submitting.outcomes import OutcomeRecorder
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId

TIMEOUT = 60
IDS = ("run-1", "run-2", "run-3", "run-4")


class Office:
    """A daemon with claimed runs, whose first writer waits before its commit until all others have come."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.daemon: DaemonUnderTest = world.daemon()
        self.outcomes = OutcomeRecorder(recorder=self.daemon.recorder, clock=world.clock, policy=a_submission_policy())
        self.claims = {each.run_id: each for each in self._claims()}
        self.writings = 0
        self.at_writing: Callable[[int], None] = lambda _: None
        self._begun, self._may_go_on = Event(), Event()

    def heard(self, point: str) -> None:
        """What is done at the points of the code under test."""
        if point != "prepared.before_commit":
            return
        self.writings += 1
        if not self._begun.is_set():
            self._begun.set()
            assert self._may_go_on.wait(TIMEOUT)
        self.at_writing(self.writings)

    def prepare_at_once(self) -> dict[str, Future[None]]:
        """Each in a thread of its own."""
        with ThreadPoolExecutor(len(IDS)) as threads:
            first = threads.submit(self._prepare, IDS[0])
            assert self._begun.wait(TIMEOUT)
            others = [threads.submit(self._prepare, id) for id in IDS[1:]]
            while len(self.outcomes._drafts._waiting) < len(others):
                pass
            self._may_go_on.set()
        return dict(zip(IDS, [first, *others], strict=True))

    def lose(self, id: str) -> None:
        """Another daemon takes the run over."""
        claim = self.claims[RunId(id)]
        with self.world.units() as work:
            work.submissions.mark_in_doubt(claim, wait=timedelta(0), reason="test")
            work.commit()
        other = self.world.daemon().daemon_session.id
        with self.world.units() as work:
            taken = work.submissions.claim(
                other,
                limit=1,
                concurrency_limit=10,
                serving=[ProviderType.SEVENBRIDGES],
                destination=lambda _: ProviderType.SEVENBRIDGES,
            )
            assert [each.run.id for each in taken] == [id]
            work.commit()

    def states(self) -> list[SubmissionState | None]:
        """How far each has come."""
        return [self.world.queries.get(RunId(id)).submission for id in IDS]

    def _prepare(self, id: str) -> None:
        self.outcomes.commit_draft(self.claims[RunId(id)], ProviderRunId(f"draft-of-{id}"))

    def _claims(self) -> Sequence[Claim]:
        self.world.queue(*(a_run(id) for id in IDS))
        owner = self.daemon.daemon_session.id
        with self.world.units() as work:
            work.submissions.enrol(lambda _: ProviderType.SEVENBRIDGES, limit=10)
            found = work.submissions.claim(
                owner,
                limit=10,
                concurrency_limit=10,
                serving=[ProviderType.SEVENBRIDGES],
                destination=lambda _: ProviderType.SEVENBRIDGES,
            )
            work.commit()
        return [each.claim for each in found]


@pytest.fixture
def office(world: World) -> Iterator[Office]:
    """With four claimed runs."""
    office = Office(world)
    fault_points.listen(office.heard)
    yield office
    fault_points.listen(None)


def test_those_who_come_while_one_is_written_are_written_in_one_transaction(office: Office) -> None:
    ended = office.prepare_at_once()

    assert [each.exception() for each in ended.values()] == [None] * 4
    assert office.states() == [SubmissionState.PREPARED] * 4
    assert office.writings == 2


def test_one_whose_claim_is_gone_is_told_and_the_others_are_written(office: Office) -> None:
    office.lose("run-3")

    ended = office.prepare_at_once()

    assert isinstance(ended["run-3"].exception(), ClaimLost)
    assert [ended[id].exception() for id in IDS if id != "run-3"] == [None] * 3
    assert office.states() == [
        SubmissionState.PREPARED,
        SubmissionState.PREPARED,
        SubmissionState.INTENT,
        SubmissionState.PREPARED,
    ]


def test_a_bug_over_several_leaves_each_to_itself_and_nothing_counts_as_written_that_is_not(office: Office) -> None:
    def break_the_second(writing: int) -> None:
        if writing == 2:
            raise RuntimeError("nobody foresaw this")

    office.at_writing = break_the_second

    ended = office.prepare_at_once()

    assert [each.exception() for each in ended.values()] == [None] * 4
    assert office.states() == [SubmissionState.PREPARED] * 4
    assert office.writings == 5
