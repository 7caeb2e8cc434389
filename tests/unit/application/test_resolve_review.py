"""A person decides what becomes of a run that needs review."""

from datetime import timedelta

import pytest

from tests.builders import a_report, a_run
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.application.ports.errors import NotInReview, NotNow, Unprovable
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.reconciling.resolve_review import ResolveReview
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, RunId
from wes_daemon.domain.states import RunState

RUN = RunId("run-1")


@pytest.fixture
def resolve(world: World) -> ResolveReview:
    return ResolveReview(
        units=world.units, queries=world.queries, providers=world.directory, clock=world.clock, by="ann@node"
    )


@pytest.fixture
def there(world: World, daemon: DaemonUnderTest) -> ProviderRunId:
    """A run that needs review and that its provider has."""
    world.queue(a_run())
    world.provider.lose_next_answer(error=Unprovable("nobody can tell"))
    daemon.submit()
    return world.provider.id_of(IdempotencyKey("wes-run-1"))


@pytest.fixture
def nowhere(world: World, daemon: DaemonUnderTest) -> None:
    """A run that needs review and that no provider has."""
    world.queue(a_run())
    world.provider.fail_next(Unprovable("nobody can tell"))
    daemon.submit()


def test_an_adopted_run_is_followed_to_its_end(
    world: World, daemon: DaemonUnderTest, resolve: ResolveReview, there: ProviderRunId
) -> None:
    resolve.adopt(RUN, there)
    world.provider.put(there, a_report(RunState.COMPLETE))
    daemon.refresh()

    assert world.run().state is RunState.COMPLETE
    assert world.run().tags == {"provider_type": "sevenbridges", "provider_id": there}
    assert world.provider.started == ["wes-run-1"]


@pytest.mark.usefixtures("nowhere")
def test_an_id_that_is_unknown_to_the_provider_is_not_adopted(world: World, resolve: ResolveReview) -> None:
    with pytest.raises(
        NotInReview, match="has no run no-such-run: search there for the run's idempotency key wes-run-1"
    ):
        resolve.adopt(RUN, ProviderRunId("no-such-run"))

    assert world.queries.get(RUN).submission is SubmissionState.REVIEW


def test_nothing_is_adopted_while_the_provider_cannot_be_asked(
    world: World, resolve: ResolveReview, there: ProviderRunId
) -> None:
    world.provider.fail_next(NotNow("busy"), operation="statuses")

    with pytest.raises(NotNow):
        resolve.adopt(RUN, there)

    assert world.queries.get(RUN).submission is SubmissionState.REVIEW


@pytest.mark.usefixtures("nowhere")
def test_a_run_that_is_sent_again_is_submitted_under_the_same_key(
    world: World, daemon: DaemonUnderTest, resolve: ResolveReview
) -> None:
    world.clock.advance(timedelta(days=3))

    resolve.send_again(RUN)
    daemon.submit()

    assert world.provider.started == ["wes-run-1"]
    assert world.run().state is RunState.INITIALIZING


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("before", "after"), [(RunState.QUEUED, RunState.SYSTEM_ERROR), (RunState.CANCELING, RunState.CANCELED)]
)
def test_a_run_that_is_given_up_ends_with_the_reason(
    world: World, resolve: ResolveReview, before: RunState, after: RunState
) -> None:
    world.set_state("run-1", before)

    resolve.give_up(RUN, "it is not there")

    assert (world.run().state, world.run().error) == (after, "it is not there")


@pytest.mark.usefixtures("nowhere")
def test_each_decision_is_in_the_timeline(world: World, resolve: ResolveReview) -> None:
    resolve.send_again(RUN)

    entries = [(entry.by, entry.why) for entry in world.store.timeline(RUN)]
    assert entries == [("daemon-1", "needs review: nobody can tell"), ("ann@node", "to be submitted again")]


@pytest.mark.usefixtures("nowhere")
def test_a_run_whose_row_is_gone_can_be_given_up(world: World, resolve: ResolveReview) -> None:
    del world.store.tables.runs[RUN]

    resolve.give_up(RUN, "it is not there")

    assert world.store.tables.submissions[RUN].state is SubmissionState.CLOSED


@pytest.mark.parametrize("decision", ["send again", "give up"])
def test_a_run_that_does_not_need_review_is_not_changed(world: World, resolve: ResolveReview, decision: str) -> None:
    world.queue(a_run())

    with pytest.raises(NotInReview):
        resolve.send_again(RUN) if decision == "send again" else resolve.give_up(RUN, "it is not there")

    assert world.run().state is RunState.QUEUED
